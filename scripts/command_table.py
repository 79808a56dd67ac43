"""Make the README's table of commands from the command table: ``python -m scripts.command_table`` rewrites it."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from server.commands import COMMANDS

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN = "<!-- commands: made by `python -m scripts.command_table`, and checked by the tests -->\n"
END = "<!-- end of commands -->"


def commands_table() -> str:
    """Return the table, a section a group."""
    lines = ["| command | what it does |", "| --- | --- |"]
    by_group = sorted(COMMANDS, key=lambda command: command.group)
    for group, commands in groupby(by_group, key=lambda command: command.group):
        lines.append(f"| **{group}** | |")
        lines += [f"| `{_cell(each.usage)}` | {_cell(each.summary)} |" for each in commands]
    return "\n".join(lines) + "\n"


def _cell(text: bytes) -> str:
    return text.decode().replace("|", "\\|")


def readme_with(table: str) -> str:
    """Return the README with this table in its place."""
    before, rest = README.read_text().split(BEGIN)
    return before + BEGIN + table + END + rest.split(END)[1]


if __name__ == "__main__":
    README.write_text(readme_with(commands_table()))
