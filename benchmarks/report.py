"""Write results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def section(title: str, *paragraphs: str) -> str:
    """Return a section with a heading."""
    return "\n\n".join([f"## {title}", *paragraphs]) + "\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, its columns aligned for those who read the source; numbers stand to the right."""
    lines = [list(headings), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    numeric = [all(line[place][:1].isdigit() for line in lines[1:]) for place in range(len(headings))]
    rule = ["-" * (width - 1) + (":" if right else "-") for width, right in zip(widths, numeric, strict=True)]
    return "\n".join(_row(line, widths, numeric) for line in [lines[0], rule, *lines[1:]])


def _row(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    columns = zip(cells, widths, numeric, strict=True)
    return "| " + " | ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in columns) + " |"


def thousands(number: float) -> str:
    """Write a whole number with its thousands apart."""
    return f"{number:,.0f}"


def times(ratio: float) -> str:
    """Write a ratio."""
    return f"{ratio:.3f}"


def spread(low: float, high: float) -> str:
    """Write the ratios between which others lie."""
    return f"{times(low)} to {times(high)}"
