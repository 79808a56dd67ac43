"""Generate docs/commands.md from the command table: ``python -m scripts.command_table`` rewrites it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from server.commands import COMMANDS
from server.registry import Command

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "commands.md"

HEAD = """\
# Commands

This page is generated from the command table by `python -m scripts.command_table`. `HELP` and `HELP command` show the
same.

Keys and values are bytes. Integers are signed, have 64 bits, and have one spelling each: `" 11"`, `"+1"`, `"01"` and
`"1.0"` are not integers. Replies and error texts are those of Redis 7. The flags are those that `COMMAND INFO` reports.

"""


def document() -> str:
    """Return the page: a table per group."""
    by_group = sorted(COMMANDS, key=lambda command: command.group)
    parts = [HEAD]
    for group, commands in groupby(by_group, key=lambda command: command.group):
        rows = [_row(each) for command in commands for each in _with_subcommands(command)]
        parts.append(f"## {group.capitalize()}\n\n| command | what it does | flags |\n| --- | --- | --- |\n")
        parts.append("".join(rows) + "\n")
    return "".join(parts).removesuffix("\n")


def _with_subcommands(command: Command) -> Iterator[Command]:
    """Yield a command, and its subcommands instead of itself if it has no meaning without one."""
    if not command.subcommands or command.max_args == 1:
        yield command
    yield from command.subcommands.values()


def _row(command: Command) -> str:
    usage = command.name if command.subcommands else command.usage
    flags = ", ".join(command.flag_names)
    return f"| `{_cell(usage)}` | {_cell(command.summary)} | {flags} |\n"


def _cell(text: bytes) -> str:
    return text.decode().replace("|", "\\|")


if __name__ == "__main__":
    DOCUMENT.write_text(document())
