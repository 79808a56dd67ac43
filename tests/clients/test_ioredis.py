"""ioredis, a client for node.js: `ioredis/check.cjs` runs against a server."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.processes import PATIENCE, ServerProcess

FOLDER = Path(__file__).parent / "ioredis"
WANTED_NODE = 20
INSTALL = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0"]
INSTALL_SECONDS = 40
UNREACHABLE = re.compile(
    r"E[45]\d\d|EAI_AGAIN|ECONNREFUSED|ECONNRESET|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|ENOTCACHED|ERR_SOCKET_TIMEOUT"
    r"|ETIMEDOUT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_\w+"
)
"""How npm says that it could not fetch a package."""


@pytest.fixture(scope="module")
def modules(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with ioredis; install it where that was not done yet. Skip the test where it can't be had."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} here")
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
    if int(told.lstrip("v").partition(".")[0]) < WANTED_NODE:
        pytest.skip(f"ioredis needs node {WANTED_NODE}, and here is {told.strip()}")
    pins = (FOLDER / "package-lock.json").read_bytes()
    cache = kept_folder(pytestconfig) or tmp_path_factory.mktemp("ioredis")
    installed = cache / hashlib.sha256(pins).hexdigest()[:16]
    if not installed.exists():
        with tempfile.TemporaryDirectory(dir=cache) as made:
            fresh = Path(made) / "fresh"
            fresh.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copy(FOLDER / name, fresh)
            install(fresh)
            fresh.rename(installed)  # whole or not at all
    return installed / "node_modules"


def kept_folder(config: pytest.Config) -> Path | None:
    """Return a folder that lasts from run to run; None where pytest keeps none (``-p no:cacheprovider``)."""
    cache: pytest.Cache | None = getattr(config, "cache", None)
    return cache.mkdir("ioredis") if cache else None


def install(folder: Path) -> None:
    """Install what the lock file in a folder names; skip the test where the registry can't be reached."""
    try:
        done = subprocess.run(
            ["npm", *INSTALL], cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm could not install ioredis within {INSTALL_SECONDS} seconds")
    if done.returncode:
        reason = re.search(r"^npm (?:error|ERR!) code (\w+)$", done.stderr, re.MULTILINE)
        assert reason, done.stderr
        assert UNREACHABLE.fullmatch(reason[1]), done.stderr
        pytest.skip(f"npm can't install ioredis from its registry: {reason[1]}")


@pytest.mark.parametrize("protocol", ["2", "3"], ids=["RESP2", "RESP3"])
def test_ioredis_gets_what_it_expects_of_a_redis(server: ServerProcess, modules: Path, protocol: str) -> None:
    done = subprocess.run(
        ["node", FOLDER / "check.cjs", str(server.port), protocol],
        env=os.environ | {"NODE_PATH": str(modules)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "all as it should be\n"), done.stderr
