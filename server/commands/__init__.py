"""The commands, one module a family. A new family is one more name here; a new command in a family is not."""

from __future__ import annotations

from server.commands import (
    clients,
    command,
    common_subsequence,
    configuration,
    connection,
    expiry,
    info,
    keys,
    numbers,
    scanning,
    server,
    strings,
    transactions,
)
from server.registry import CommandTable

COMMANDS = CommandTable(
    module.group
    for module in (
        clients,
        command,
        common_subsequence,
        configuration,
        connection,
        expiry,
        info,
        keys,
        numbers,
        scanning,
        server,
        strings,
        transactions,
    )
)
