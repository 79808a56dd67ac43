"""The version bounds of optional dependencies."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.harness.processes import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
BOUNDED = PROJECT["optional-dependencies"]["proxy"]
"""Requirements of code that relies on undocumented behaviour, so that a new major version may break it."""


@pytest.mark.parametrize("requirement", BOUNDED)
def test_a_requirement_has_a_lowest_and_a_highest_version(requirement: str) -> None:
    assert re.fullmatch(r"[\w-]+>=[\d.]+,<[\d.]+", requirement)


@pytest.mark.parametrize("requirement", BOUNDED)
def test_the_tests_require_the_same_versions(requirement: str) -> None:
    assert requirement in REQUIREMENTS


def test_only_the_adapter_imports_redis_py() -> None:
    importing = re.compile(r"^\s*(?:from|import) redis\b", re.MULTILINE)
    modules = [path for path in (ROOT / "server").rglob("*.py") if importing.search(path.read_text())]
    assert [path.name for path in modules] == ["redis_py_adapter.py"]
