"""Programs for node.js and their packages, installed once from a lock file. Tests skip if they can't be installed."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.waiting import TIMEOUT

WANTED_NODE = 20
INSTALL = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0"]
INSTALL_SECONDS = 40
UNREACHABLE = re.compile(
    r"E[45]\d\d|EAI_AGAIN|ECONNREFUSED|ECONNRESET|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|ENOTCACHED|ERR_SOCKET_TIMEOUT"
    r"|ETIMEDOUT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_\w+"
)
"""The error codes of npm if it could not reach the registry."""


NodeModules = Callable[[Path], Path]
CheckWithNode = Callable[..., None]


@pytest.fixture(scope="session")
def node_modules(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> NodeModules:
    """Return the ``node_modules`` of a folder's lock file. Skip the test if they can't be installed."""
    return functools.cache(lambda folder: _node_modules(folder, pytestconfig, tmp_path_factory))


@pytest.fixture(scope="session")
def check_with_node(node_modules: NodeModules) -> CheckWithNode:
    """Run a program, which must print that all is as it should be.

    It can use the packages of the lock file in its own folder, or in the folder ``packages``.
    """

    def check(program: Path, *arguments: object, packages: Path | None = None) -> None:
        done = subprocess.run(
            ["node", program, *map(str, arguments)],
            env=os.environ | {"NODE_PATH": str(node_modules(packages or program.parent))},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, "all as it should be\n"), done.stderr

    return check


def _node_modules(folder: Path, config: pytest.Config, temporary: pytest.TempPathFactory) -> Path:
    """Return the ``node_modules`` of a folder's lock file. Install them if they are not cached."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=TIMEOUT, check=True).stdout
    if int(version.lstrip("v").partition(".")[0]) < WANTED_NODE:
        pytest.skip(f"this needs node {WANTED_NODE}, but {version.strip()} is installed")
    pins = (folder / "package-lock.json").read_bytes()
    cache = _kept_folder(config, folder.name) or temporary.mktemp(folder.name)
    installed = cache / hashlib.sha256(pins).hexdigest()[:16]
    if not installed.exists():
        with tempfile.TemporaryDirectory(dir=cache) as made:
            fresh = Path(made) / "fresh"
            fresh.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copy(folder / name, fresh)
            _install(fresh, folder.name)
            try:
                fresh.rename(installed)  # atomic, so another run never sees an incomplete folder
            except OSError:  # ENOTEMPTY: another process has installed it meanwhile
                if not installed.exists():
                    raise
    return installed / "node_modules"


def _kept_folder(config: pytest.Config, name: str) -> Path | None:
    """Return a folder that pytest keeps between runs, or None if it keeps none (``-p no:cacheprovider``)."""
    cache: pytest.Cache | None = getattr(config, "cache", None)
    return cache.mkdir(name) if cache else None


def _install(folder: Path, what: str) -> None:
    """Install the packages of a folder's lock file. Skip the test if the registry can't be reached."""
    try:
        done = subprocess.run(
            ["npm", *INSTALL], cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm could not install {what} within {INSTALL_SECONDS} seconds")
    if done.returncode:
        reason = re.search(r"^npm (?:error|ERR!) code (\w+)$", done.stderr, re.MULTILINE)
        assert reason, done.stderr
        assert UNREACHABLE.fullmatch(reason[1]), done.stderr
        pytest.skip(f"npm can't install {what} from its registry: {reason[1]}")
