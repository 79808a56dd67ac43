"""The version bounds of dependencies, and the lock files with exact versions and hashes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.harness.processes import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = PYPROJECT["project"]["optional-dependencies"]


def read_requirements(path: Path) -> list[Requirement]:
    """Parse a file without its comments and hashes."""
    lines = path.read_text().replace("\\\n", " ").splitlines()
    texts = [re.sub(r"(^|\s)(#|--hash=).*", "", line) for line in lines]
    return [Requirement(text) for text in texts if text.strip()]


TESTS = read_requirements(ROOT / "requirements.txt")
LOCK = ROOT / "requirements.lock"
IMAGE_LOCK = ROOT / "requirements-image.lock"
ALL_EXTRAS = [Requirement(text) for texts in EXTRAS.values() for text in texts]
IN_PYPROJECT = [each for each in ALL_EXTRAS if each.name != "kvline"]  # some extras consist of others
OF_THE_SITE = [Requirement(text) for text in EXTRAS["docs"]]
BUILD_BACKEND = [Requirement(text) for text in PYPROJECT["build-system"]["requires"]]
IMAGE = [Requirement(text) for extra in ("http", "proxy") for text in EXTRAS[extra]] + BUILD_BACKEND


@pytest.mark.parametrize("requirement", TESTS + IN_PYPROJECT + BUILD_BACKEND, ids=str)
def test_a_requirement_has_a_lower_and_an_upper_bound(requirement: Requirement) -> None:
    operators = sorted(each.operator for each in requirement.specifier)
    assert operators in (["<", ">="], ["=="])


@pytest.mark.parametrize("requirement", [each for each in IN_PYPROJECT if each not in OF_THE_SITE], ids=str)
def test_the_tests_require_the_versions_of_the_extras(requirement: Requirement) -> None:
    assert requirement in TESTS


@pytest.mark.parametrize(
    ("lock", "requirement"),
    [(LOCK, each) for each in TESTS] + [(IMAGE_LOCK, each) for each in IMAGE],
    ids=lambda value: value.name if isinstance(value, Path) else str(value),
)
def test_a_lock_file_has_a_version_within_the_bounds(lock: Path, requirement: Requirement) -> None:
    locked = {canonicalize_name(each.name): each for each in read_requirements(lock)}
    (version,) = locked[canonicalize_name(requirement.name)].specifier
    assert requirement.specifier.contains(version.version), "run make lock"


@pytest.mark.parametrize("lock", [LOCK, IMAGE_LOCK], ids=lambda path: path.name)
def test_every_entry_of_a_lock_file_has_an_exact_version_and_hashes(lock: Path) -> None:
    entries = re.findall(r"^[a-z].*", lock.read_text().replace("\\\n", " "), re.MULTILINE)
    assert len(entries) == len(read_requirements(lock)) > 0
    for entry in entries:
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==[\w.]+ ", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


def test_a_lock_file_names_no_package_index() -> None:
    assert not re.search(r"--(extra-)?index-url|--find-links|https?://", LOCK.read_text() + IMAGE_LOCK.read_text())


def test_only_the_adapter_imports_redis_py() -> None:
    importing = re.compile(r"^\s*(?:from|import) redis\b", re.MULTILINE)
    modules = [path for path in (ROOT / "server").rglob("*.py") if importing.search(path.read_text())]
    assert [path.name for path in modules] == ["redis_py_adapter.py"]
