"""docs/libraries.md has each library at its pinned version. Untrue exclusions of redis-py's tests are errors."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.harness.processes import ROOT
from tests.harness.waiting import TIMEOUT

TABLE = ROOT / "scripts" / "library_table"
SUITE = ROOT / "scripts" / "redis_py_tests"
GROUPS = tomllib.loads((TABLE / "libraries.toml").read_text())["group"]
LIBRARIES = [library for group in GROUPS for library in group["libraries"]]


def pinned_versions() -> dict[str, str]:
    """Return the version of each package, by registry and name."""
    python = re.findall(r"^([\w.-]+)(?:\[\w+\])?==(\S+)$", (TABLE / "requirements.txt").read_text(), re.MULTILINE)
    node = json.loads((TABLE / "package.json").read_text())["dependencies"]
    return {f"{name} (PyPI)": version for name, version in python} | {f"{name} (npm)": node[name] for name in node}


@pytest.mark.parametrize("library", LIBRARIES, ids=[each["package"] for each in LIBRARIES])
def test_each_library_has_a_row_with_its_pinned_version(library: dict[str, str]) -> None:
    registry = "PyPI" if library.get("program", "").endswith(".py") else "npm"
    version = pinned_versions()[f"{library['package']} ({registry})"]
    row = f"| {library.get('name', library['package'])} | {version} ({registry}) | "
    assert row in (ROOT / "docs" / "libraries.md").read_text()


def test_every_program_is_in_the_table() -> None:
    programs = {path.name for path in (TABLE / "programs").iterdir() if path.suffix in (".py", ".mjs")}
    assert programs == {library["program"] for library in LIBRARIES if "program" in library}


# ---------------------------------------------------------------- the exclusions

TESTS = """
import pytest

def test_passes(): pass

def test_lists(): raise ValueError("unknown command 'LPUSH', with args")

def test_fails(): raise ValueError("something else")

@pytest.mark.cluster
def test_cluster(): raise ValueError

def test_fixed_port(): raise ValueError
"""

NOT_RUN = """
files = ["test_suite.py"]
[[not_run]]
reason = "no cluster"
markers = ["cluster"]
tests = ["test_suite.py::test_fixed_*"]
"""


def excused(reason: str, **fields: list[str]) -> str:
    return f'[[expected_failure]]\nreason = "{reason}"\n' + "".join(f"{k} = {v!r}\n" for k, v in fields.items())


TRUE = excused("no lists", commands=["LPUSH"]) + excused(
    "something", errors=["something else"], tests=["test_suite.py::test_fails"]
)
UNTRUE = excused("no sets", commands=["SADD"]) + excused("old", errors=["x"], tests=["*::test_passes"])


def run_suite(folder: Path, expected: str) -> subprocess.CompletedProcess[str]:
    """Run the suite with these expected failures."""
    shutil.copy(SUITE / "exclusions.py", folder)
    (folder / "exclusions.toml").write_text(NOT_RUN + expected)
    (folder / "tests").mkdir()
    (folder / "tests" / "test_suite.py").write_text(TESTS)
    (folder / "conftest.py").write_text("def pytest_addoption(parser): parser.addoption('--redis-url')")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "exclusions", "-p", "no:cacheprovider", "-q", "-W", "ignore"],
        cwd=folder,
        env={
            "PYTHONPATH": str(folder),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "KVLINE_URLS": "redis://127.0.0.1:1/0",
        },
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def test_true_exclusions_let_the_run_pass(tmp_path: Path) -> None:
    done = run_suite(tmp_path, TRUE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed, 2 deselected, 2 xfailed" in done.stdout


def test_untrue_exclusions_and_other_failures_fail_the_run(tmp_path: Path) -> None:
    done = run_suite(tmp_path, UNTRUE)
    assert done.returncode == 1
    for line in (
        "FAILED: no test had the error \"unknown command 'SADD'\"",
        "It passes now: remove it from exclusions.toml (old)",
        "FAILED tests/test_suite.py::test_fails - ValueError: something else",
        "FAILED tests/test_suite.py::test_lists - ValueError: unknown command 'LPUSH'",
    ):
        assert line in done.stdout


def test_an_exclusion_that_no_test_needs_fails_the_run(tmp_path: Path) -> None:
    assert run_suite(tmp_path, TRUE + excused("no sets", commands=["SADD"])).returncode == 1
