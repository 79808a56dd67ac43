"""ioredis, a client for node.js: `ioredis/check.cjs` runs against a server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.harness.certificates import TLSFiles, certificates
from tests.harness.npm import node_modules
from tests.harness.processes import ServerProcess, StartServer
from tests.harness.waiting import TIMEOUT

__all__ = ["certificates"]

FOLDER = Path(__file__).parent / "ioredis"


@pytest.fixture(scope="module")
def modules(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with ioredis. Skip the test where it can't be had."""
    return node_modules(FOLDER, pytestconfig, tmp_path_factory)


@pytest.mark.parametrize("protocol", ["2", "3"], ids=["RESP2", "RESP3"])
def test_ioredis_gets_what_it_expects_of_a_redis(server: ServerProcess, modules: Path, protocol: str) -> None:
    check(modules, str(server.port), protocol)


def test_ioredis_gets_the_same_over_tls(start_server: StartServer, modules: Path, certificates: TLSFiles) -> None:
    server = start_server(*certificates.options())
    check(modules, str(server.port), "3", "", str(certificates.authority.certificate))


def check(modules: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["node", FOLDER / "check.cjs", *arguments],
        env=os.environ | {"NODE_PATH": str(modules)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "all as it should be\n"), done.stderr
