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
NEEDLESS_PLUGINS = ("anyio", "hypothesispytest", "pytest_cov", "schemathesis")
"""Plugins of pytest that the test run has and users' tests of kvline do not need. They take most of the start."""


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
    """A new virtual environment, with nothing but Python."""

    def __init__(self, folder: Path) -> None:
        succeed(sys.executable, "-m", "venv", "--without-pip", folder)
        self.programs = folder / "bin"
        self.python = self.programs / "python"
        self.site_packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))

    def install(self, wheel: Path) -> None:
        """Install a wheel, without what it requires."""
        pip = [sys.executable, "-m", "pip", "--python", self.python, "install", "--no-deps", "--no-index"]
        succeed(*pip, "--quiet", "--disable-pip-version-check", wheel)

    def add_packages_of(self, *folders: Path | str) -> None:
        """Make packages that are installed elsewhere importable, those of the first folder first."""
        (self.site_packages / "others.pth").write_text("".join(f"{folder}\n" for folder in folders))

    def run_pytest(self, *options: str, cwd: Path) -> str:
        """Run the tests in a folder, which must pass. Return what is printed."""
        needless = [part for name in NEEDLESS_PLUGINS for part in ("-p", f"no:{name}")]
        return succeed(self.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *needless, *options, cwd=cwd)
