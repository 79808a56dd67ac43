"""The chart of throughput shows the figures of the tables in benchmarks/README.md."""

from __future__ import annotations

from xml.etree import ElementTree

from scripts import ratio_chart


def test_the_chart_shows_the_ratios_of_the_tables() -> None:
    bars = list(ratio_chart.read_bars(ratio_chart.RESULTS.read_text(encoding="utf-8")))
    assert len(bars) == 5 * len(ratio_chart.COMMANDS)
    svg = ratio_chart.CHART.read_text(encoding="utf-8")
    assert svg == ratio_chart.chart(bars), "run: python -m scripts.ratio_chart"
    shown = [each.text for each in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert {f"{bar.ratio:.2f}" for bar in bars} <= set(shown)


def test_the_documents_show_the_chart() -> None:
    assert "](../docs/ratios.svg)" in ratio_chart.RESULTS.read_text(encoding="utf-8")
    assert "](docs/ratios.svg)" in (ratio_chart.ROOT / "README.md").read_text(encoding="utf-8")
