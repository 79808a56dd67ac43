"""Skip what needs a package or a platform that is missing, with the reason, instead of failing to collect it.

With pytest and pytest-timeout alone, the tests of everything that kvline does without dependencies run.
"""

from __future__ import annotations

import pytest

PACKAGES = {
    "cachetools",
    "httptools",
    "httpx",
    "hypothesis",
    "pexpect",
    "redis",
    "textual",
    "textual_plotext",
    "upstash_redis",
    "yaml",
}
"""What requirements.txt lists, by the names that are imported. Any other missing module is an error of a test."""

POSIX_MODULES = {"fcntl", "pty", "resource", "termios", "tty"}


class SkipMissingPackages:
    """A plugin of pytest."""

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> object:
        """Report a module, or the folder of a conftest, that cannot import an optional package as skipped."""
        report = yield
        if report.failed and (reason := _reason(report.call.excinfo.value)):
            report.outcome = "skipped"
            report.longrepr = (str(collector.path), 0, f"Skipped: {reason}")
        return report


def _reason(problem: BaseException) -> str | None:
    """Return why the tests are skipped, or None if the error has nothing to do with a missing package."""
    # pytest raises a CollectError from the error of a test module, and a ConftestImportFailure with a cause.
    problem = getattr(problem, "cause", None) or problem.__cause__ or problem
    package = (problem.name or "").partition(".")[0] if isinstance(problem, ModuleNotFoundError) else ""
    if package in PACKAGES:
        return f"{package} is not installed (requirements.txt)"
    if package in POSIX_MODULES:
        return f"this platform has no {package}"
    return None
