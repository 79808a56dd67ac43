"""Build and install the package, and run programs that the test run has installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.harness.processes import ROOT
from tests.harness.waiting import TIMEOUT

BUILT_FROM = ("client", "common", "server", "packaging", "pyproject.toml", "setup.py", "README.md", "LICENSE")


def run(*command: str | Path, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command without the environment of the test run."""
    keep = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(
        command, cwd=cwd, env=keep | variables, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )


def succeed(*command: str | Path, cwd: Path | None = None, **variables: str) -> str:
    """Run a command that must succeed. Return what it printed."""
    ended = run(*command, cwd=cwd, **variables)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def copy_sources(folder: Path) -> Path:
    """Copy what a build reads, so that it leaves nothing in the checkout."""
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


class Environment:
    """A new virtual environment in which the wheel is installed."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        succeed(sys.executable, "-m", "venv", "--without-pip", folder)
        self.programs = folder / "bin"
        self.python = self.programs / "python"
        pip = [sys.executable, "-m", "pip", "--python", self.python, "install", "--no-deps", "--no-index"]
        succeed(*pip, "--quiet", "--disable-pip-version-check", wheel)
        self.site_packages = Path(
            succeed(self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        )

    def add_packages_of_the_test_run(self) -> None:
        """Make pytest, redis-py and so on importable, which no test may download. The wheel comes before them."""
        (self.site_packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
