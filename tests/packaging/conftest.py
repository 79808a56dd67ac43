"""What the tests of the package share: the wheel, environments that it is installed in, and a user's project."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.installation import Environment, copy_sources, succeed

SETUPTOOLS = 77
"""The major version that pyproject.toml requires."""


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
