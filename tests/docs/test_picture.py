"""The picture of a terminal in the README shows what the programs print."""

from __future__ import annotations

import shutil
from xml.etree import ElementTree

import pytest

from tests.harness.processes import ROOT, environment

terminal_picture = pytest.importorskip("scripts.terminal_picture", reason="pexpect is not installed")


def test_the_picture_shows_what_the_programs_print(monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("nc") is None:
        pytest.skip("nc is not installed")
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    lines = terminal_picture.record()
    svg = terminal_picture.PICTURE.read_text(encoding="utf-8")
    assert svg == terminal_picture.picture(lines), "run: python -m scripts.terminal_picture"
    rows = ElementTree.fromstring(svg).findall("{http://www.w3.org/2000/svg}text")
    assert ["".join(row.itertext()) for row in rows] == lines


def test_every_line_fits_into_the_picture() -> None:
    rows = ElementTree.parse(terminal_picture.PICTURE).getroot().findall("{http://www.w3.org/2000/svg}text")
    assert max(len("".join(row.itertext())) for row in rows) <= terminal_picture.COLUMNS


def test_the_readme_shows_the_picture() -> None:
    path = terminal_picture.PICTURE.relative_to(ROOT)
    assert f"]({path})" in (ROOT / "README.md").read_text(encoding="utf-8")
