"""Relative links in the documents lead to files that exist, and to headings in them."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.harness.processes import ROOT

MORE = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "tests/README.md", "benchmarks/README.md"]
DOCUMENTS = [*(ROOT / name for name in MORE), *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^()\s]+)\)")
OTHER_SITE = re.compile(r"[a-z]+:")


@cache
def prose(document: Path) -> str:
    """Return a document without its blocks of code."""
    return FENCE.sub("", document.read_text(encoding="utf-8"))


@cache
def anchors(document: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub and mkdocs make them."""
    found: set[str] = set()
    repeated: Counter[str] = Counter()
    for heading in re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE):
        anchor = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        found.add(f"{anchor}-{repeated[anchor]}" if repeated[anchor] else anchor)
        repeated[anchor] += 1
    return found


def links(document: Path) -> list[str]:
    """Return the targets of the links that do not lead to another site."""
    return [target for target in LINK.findall(prose(document)) if not OTHER_SITE.match(target)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_exist(document: Path) -> None:
    for target in links(document):
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_links_are_found() -> None:
    assert sum(len(links(document)) for document in DOCUMENTS) > 80
    assert {"docs/terminal.svg", "docs/http.md", "#guarantees-under-concurrency"} <= set(links(ROOT / "README.md"))


def test_the_index_links_to_every_document() -> None:
    index = ROOT / "docs" / "index.md"
    assert {path.name for path in index.parent.glob("*.md")} - {index.name} <= set(links(index))


def test_the_navigation_of_the_site_names_every_document() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    named = {path for entry in navigation for path in entry.values()}
    assert named == {path.name for path in (ROOT / "docs").glob("*.md")}


def test_linked_files_are_in_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    tracked = {ROOT / name for name in listed.stdout.splitlines()}
    for document in DOCUMENTS:
        files = {(document.parent / target.partition("#")[0]).resolve() for target in links(document)}
        assert {file for file in files if file.is_file()} <= tracked, document
