"""What the tests of the package share: the wheel, environments that it is installed in, and a user's project."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.processes import ROOT
from tests.harness.waiting import TIMEOUT

SETUPTOOLS = 77
"""The major version that pyproject.toml requires."""

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


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built offline with the setuptools that is installed."""
    try:
        version = importlib.metadata.version("setuptools")
    except importlib.metadata.PackageNotFoundError:
        version = "0"
    if int(version.partition(".")[0]) < SETUPTOOLS:
        pytest.skip(f"the wheel is built with setuptools {SETUPTOOLS} or later (requirements.txt); this is {version}")
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "source").mkdir()
    source = copy_sources(folder / "source")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index", "--no-build-isolation"]
    succeed(*pip, "--wheel-dir", folder, source)
    (path,) = folder.glob("kvline-*.whl")
    return path


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


@pytest.fixture(scope="session")
def new_environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Environment]:
    """Make environments that have nothing but the wheel."""
    return lambda: Environment(tmp_path_factory.mktemp("environment"), wheel)


@pytest.fixture(scope="session")
def bare(new_environment: Callable[[], Environment]) -> Environment:
    """An environment without any extra."""
    return new_environment()


@pytest.fixture(scope="session")
def full(new_environment: Callable[[], Environment]) -> Environment:
    """An environment with the packages of all extras that the test run has."""
    environment = new_environment()
    environment.add_packages_of_the_test_run()
    return environment


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project that has packages called ``server``, ``common`` and ``client``."""
    folder = tmp_path / "project"
    for name in ("server", "common", "client"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text('OWNER = "the user"\n')
    return folder
