"""What the tests of the package share: the wheel, environments that it is installed in, and a user's project."""

from __future__ import annotations

import importlib.metadata
import sys
import sysconfig
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
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment in which the wheel is installed, without any extra."""
    environment = Environment(tmp_path_factory.mktemp("bare"))
    environment.install(wheel)
    return environment


@pytest.fixture(scope="session")
def full(bare: Environment, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with kvline and the packages of the test run, which has all extras and may download nothing."""
    environment = Environment(tmp_path_factory.mktemp("full"))
    environment.add_packages_of(bare.site_packages, sysconfig.get_path("purelib"))
    return environment


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project that has packages called ``server``, ``common`` and ``client``."""
    folder = tmp_path / "project"
    for name in ("server", "common", "client"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text('OWNER = "the user"\n')
    return folder
