"""A plugin of pytest that applies exclusions.toml. It imports nothing of kvline.

A test that fails with an expected error counts as "xfailed". A test that is listed by name and passes, and an expected
error that no test had, fail the run.
"""

from __future__ import annotations

import os
import re
import tomllib
import tracemalloc
from collections import Counter
from collections.abc import Generator, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import pytest

PROPERTY = "kvline: expected failure"
"""The name of the property with which a report states which expected failure it is."""


class ExpectedFailure(NamedTuple):
    """An error that tests are expected to have. ``tests`` are patterns of the only tests that may have it, or empty."""

    reason: str
    error: str
    tests: list[str]

    def applies_to(self, test: str) -> bool:
        """Whether this test is listed by name."""
        return any(fnmatchcase(test, f"tests/{pattern}") for pattern in self.tests)


class Exclusions(NamedTuple):
    """The content of exclusions.toml."""

    files: list[str]
    markers: list[str]
    not_run: list[str]
    expected: list[ExpectedFailure]


def read_exclusions() -> Exclusions:
    """Read the file beside this module."""
    table = tomllib.loads(Path(__file__).with_name("exclusions.toml").read_text(encoding="utf-8"))
    not_run = table["not_run"]
    return Exclusions(
        table["files"],
        [marker for entry in not_run for marker in entry.get("markers", ())],
        [pattern for entry in not_run for pattern in entry.get("tests", ())],
        list(_expected_failures(table["expected_failure"])),
    )


def _expected_failures(entries: list[dict[str, object]]) -> Iterator[ExpectedFailure]:
    """Yield each expected failure. A command is an abbreviation for the error of a server that does not have it."""
    for entry in entries:
        reason, tests = entry["reason"], entry.get("tests", [])
        for command in entry.get("commands", []):
            yield ExpectedFailure(reason, f"unknown command '{re.escape(command)}'", tests)
        for error in entry.get("errors", []):
            yield ExpectedFailure(reason, error, tests)


def pytest_configure(config: pytest.Config) -> None:
    """Use the server of this process, and register the rest of the plugin."""
    # A fixture of the suite calls it. No test uses it, and it costs half the time.
    tracemalloc.start = lambda _frames=1: None
    urls = os.environ["KVLINE_URLS"].split()
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    config.option.redis_url = urls[int(worker.removeprefix("gw"))]
    exclusions = read_exclusions()
    complete = not config.args or config.args_source is not pytest.Config.ArgsSource.ARGS
    if complete:
        config.args = [f"tests/{name}" for name in exclusions.files]
    config.option.markexpr = " and ".join(f"not {marker}" for marker in exclusions.markers)
    config.pluginmanager.register(Plugin(exclusions, complete=complete and not config.option.keyword))


class Plugin:
    """Deselects tests, excuses expected failures, and reports those that did not occur."""

    def __init__(self, exclusions: Exclusions, *, complete: bool) -> None:
        self._exclusions = exclusions
        self._complete = complete
        self._seen: Counter[int] = Counter()

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Remove the tests that are not run."""
        patterns = self._exclusions.not_run
        removed = [item for item in items if any(fnmatchcase(item.nodeid, f"tests/{each}") for each in patterns)]
        config.hook.pytest_deselected(items=removed)
        items[:] = [item for item in items if item not in removed]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Change the outcome of an expected failure, and of a test that should have failed."""
        number = self._expected_failure(item, call)
        if number is not None:
            # Before the report is made, because formatting the tracebacks takes longer than all tests together.
            with pytest.raises(pytest.xfail.Exception) as call.excinfo:
                pytest.xfail(self._exclusions.expected[number].reason)
        report = yield
        if number is not None:
            report.user_properties.append((PROPERTY, number))
        elif report.passed and report.when == "call":
            for expected in self._exclusions.expected:
                if expected.applies_to(item.nodeid):
                    report.outcome = "failed"
                    report.longrepr = f"It passes now: remove it from exclusions.toml ({expected.reason})"
        return report

    def _expected_failure(self, item: pytest.Item, call: pytest.CallInfo[None]) -> int | None:
        """Return the number of the expected failure that this is, or None."""
        if call.excinfo is None:
            return None
        error = f"{call.excinfo.typename}: {call.excinfo.value}"
        for number, expected in enumerate(self._exclusions.expected):
            if (not expected.tests or expected.applies_to(item.nodeid)) and re.search(expected.error, error):
                return number
        return None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count an expected failure, in the process that collects the reports."""
        self._seen.update(number for name, number in report.user_properties if name == PROPERTY)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """List how many tests were excused by which reason."""
        reasons: Counter[str] = Counter()
        for number, tests in self._seen.items():
            reasons[self._exclusions.expected[number].reason] += tests
        terminalreporter.section("expected failures")
        for reason, tests in reasons.most_common():
            terminalreporter.line(f"{tests:5}  {reason}")
        for expected in self._not_seen():
            terminalreporter.line(f"FAILED: no test had the error {expected.error!r}: remove it from exclusions.toml")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run if an expected failure did not occur in a complete run."""
        if self._not_seen() and not hasattr(session.config, "workerinput"):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _not_seen(self) -> list[ExpectedFailure]:
        if not self._complete:
            return []
        return [each for number, each in enumerate(self._exclusions.expected) if number not in self._seen]
