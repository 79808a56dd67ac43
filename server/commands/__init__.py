"""The commands, one module a family. A new family is one more name here; a new command in a family is not."""

from __future__ import annotations

from server.commands import connection, keys, server, strings, transactions
from server.registry import CommandTable

COMMANDS = CommandTable([connection.group, keys.group, server.group, strings.group, transactions.group])
