"""The commands, one module per family.

Commands in a listed module register themselves. A new family is one more module in ``_FAMILIES``.
"""

from __future__ import annotations

from server.commands import (
    admin,
    client,
    config,
    connection,
    databases,
    expire,
    info,
    introspection,
    keys,
    lcs,
    lolwut,
    memory,
    numbers,
    scan,
    strings,
    transactions,
)
from server.registry import CommandTable

_FAMILIES = (
    admin,
    client,
    config,
    connection,
    databases,
    expire,
    info,
    introspection,
    keys,
    lcs,
    lolwut,
    memory,
    numbers,
    scan,
    strings,
    transactions,
)

COMMANDS = CommandTable(family.group for family in _FAMILIES)
