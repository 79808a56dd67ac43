"""The commands, one module per family.

Commands in a listed module register themselves. A new family is one more module in ``_FAMILIES``.
"""

from __future__ import annotations

from server.commands import (
    admin,
    bitfields,
    bitmaps,
    client,
    config,
    connection,
    databases,
    dump,
    expire,
    info,
    introspection,
    keys,
    lcs,
    lolwut,
    memory,
    migrate,
    numbers,
    pubsub,
    scan,
    scripting,
    strings,
    tracking,
    transactions,
)
from server.registry import CommandTable

_FAMILIES = (
    admin,
    bitfields,
    bitmaps,
    client,
    config,
    connection,
    databases,
    dump,
    expire,
    info,
    introspection,
    keys,
    lcs,
    lolwut,
    memory,
    migrate,
    numbers,
    pubsub,
    scan,
    scripting,
    strings,
    tracking,
    transactions,
)

COMMANDS = CommandTable(family.group for family in _FAMILIES)
