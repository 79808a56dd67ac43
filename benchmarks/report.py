"""Write results as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def section(title: str, *paragraphs: str) -> str:
    """Return a section with a heading."""
    return "\n\n".join([f"## {title}", *paragraphs]) + "\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose source is aligned too. Columns of numbers are right-aligned."""
    lines = [list(headings), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    numeric = [all(line[column][:1].isdigit() for line in lines[1:]) for column in range(len(headings))]
    rule = ["-" * (width - 1) + (":" if right else "-") for width, right in zip(widths, numeric, strict=True)]
    return "\n".join(_row(line, widths, numeric) for line in [lines[0], rule, *lines[1:]])


def _row(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    columns = zip(cells, widths, numeric, strict=True)
    return "| " + " | ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in columns) + " |"


def thousands(number: float) -> str:
    """Format a whole number with thousands separators."""
    return f"{number:,.0f}"


def times(ratio: float) -> str:
    """Format a ratio."""
    return f"{ratio:.3f}"


def spread(low: float, high: float) -> str:
    """Format a range of ratios."""
    return f"{times(low)} to {times(high)}"
