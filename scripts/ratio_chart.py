"""Draw docs/ratios.svg from the throughput tables in benchmarks/README.md: requests per second as a ratio to Redis.

python3 -m scripts.ratio_chart      rewrites the picture
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "README.md"
CHART = ROOT / "docs" / "ratios.svg"
TITLE = "Requests per second of kvline as a ratio to Redis, by connections and pipelining"

COMMANDS = ("SET", "GET", "INCR")
_HEADING = re.compile(r"^#### (.+)$")
_ROW = re.compile(r"^\| (\w+) +\| kvline +\| +[\d,]+ \| +([\d.]+) \|")

LEFT, RIGHT, TOP, BAR, GAP = 340, 30, 50, 16, 12
UNIT = 320
"""Pixels of the ratio 1."""
COLOURS = {"SET": "#4c72b0", "GET": "#55a868", "INCR": "#dd8452"}
STYLE = """\
text { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #57606a }
.ratio { font-size: 11px; fill: #fff; text-anchor: end }
"""


class Bar(NamedTuple):
    """A ratio of the tables."""

    load: str
    command: str
    ratio: float


def read_bars(results: str) -> Iterator[Bar]:
    """Yield the ratios of `COMMANDS` in the order of the tables."""
    load = ""
    for line in results.splitlines():
        if heading := _HEADING.match(line):
            load = heading[1]
        elif (row := _ROW.match(line)) and row[1] in COMMANDS:
            yield Bar(load, row[1], float(row[2]))


def chart(bars: list[Bar]) -> str:
    """Return the SVG of horizontal bars in groups, one for each load, with a line at the ratio 1."""
    loads = list(dict.fromkeys(bar.load for bar in bars))
    width = round(LEFT + UNIT * max(1.0, *(bar.ratio for bar in bars)) + RIGHT)
    group = len(COMMANDS) * BAR + GAP
    height = TOP + len(loads) * group + GAP
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img">']
    lines += [f"<title>{TITLE}</title>", f"<style>\n{STYLE}</style>", '<rect width="100%" height="100%" fill="#fff"/>']
    for number, (command, colour) in enumerate(COLOURS.items()):
        x = 20 + 70 * number
        lines.append(f'<rect x="{x}" y="14" width="12" height="12" fill="{colour}"/>')
        lines.append(f'<text x="{x + 18}" y="25">{command}</text>')
    for place, load in enumerate(loads):
        y = TOP + place * group
        lines.append(f'<text x="20" y="{y + group / 2:g}">{escape(load)}</text>')
        for number, bar in enumerate(each for each in bars if each.load == load):
            top = y + number * BAR
            length = round(bar.ratio * UNIT)
            lines.append(
                f'<rect x="{LEFT}" y="{top}" width="{length}" height="{BAR - 2}" fill="{COLOURS[bar.command]}"/>'
            )
            lines.append(f'<text class="ratio" x="{LEFT + length - 5}" y="{top + 11.5}">{bar.ratio:.2f}</text>')
    lines.append(f'<line x1="{LEFT + UNIT}" y1="34" x2="{LEFT + UNIT}" y2="{height - 6}" stroke="#57606a"/>')
    lines.append(f'<text x="{LEFT + UNIT}" y="28" text-anchor="middle">Redis</text>')
    return "\n".join([*lines, "</svg>\n"])


if __name__ == "__main__":
    CHART.write_text(chart(list(read_bars(RESULTS.read_text(encoding="utf-8")))), encoding="utf-8")
