"""Make the table of settings in docs/operations.md: ``python -m scripts.settings_table`` rewrites it."""

from __future__ import annotations

from pathlib import Path

from server.settings import SETTINGS, Setting

OPERATIONS = Path(__file__).resolve().parent.parent / "docs" / "operations.md"
BEGIN = "<!-- settings: made by `python -m scripts.settings_table`, and checked by the tests -->\n"
END = "<!-- end of settings -->"


def settings_table() -> str:
    """Return the table: a line for each setting that has an option."""
    lines = ["| option | variable | CONFIG | default | meaning |", "| --- | --- | --- | --- | --- |"]
    lines += [_line(entry) for entry in SETTINGS if entry.option]
    return "\n".join(lines) + "\n"


def _line(entry: Setting) -> str:
    metavar = f" {entry.kind.metavar}" if entry.kind.metavar else ""
    config = f"`{entry.config}`{'*' if entry.mutable else ''}" if entry.config else ""
    default = entry.default_text()
    return f"| `{entry.option}{metavar}` | `{entry.variable}` | {config} | {default} | {entry.help} |"


def operations_with(table: str) -> str:
    """Return docs/operations.md with this table in its place."""
    before, rest = OPERATIONS.read_text(encoding="utf-8").split(BEGIN)
    return before + BEGIN + table + END + rest.split(END)[1]


if __name__ == "__main__":
    OPERATIONS.write_text(operations_with(settings_table()), encoding="utf-8")
