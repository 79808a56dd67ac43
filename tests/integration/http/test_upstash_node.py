"""@upstash/redis, Upstash's client for node.js and edge functions: `upstash/check.cjs` runs against a server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.harness.http_wire import start_with_http
from tests.harness.npm import node_modules
from tests.harness.processes import StartServer
from tests.harness.waiting import TIMEOUT

FOLDER = Path(__file__).parent / "upstash"
TOKEN = "a-token-of-the-test"


@pytest.fixture(scope="module")
def modules(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with @upstash/redis. Skip the test if it can't be installed."""
    return node_modules(FOLDER, pytestconfig, tmp_path_factory)


def test_upstash_for_node_gets_what_it_expects(start_server: StartServer, modules: Path) -> None:
    server = start_with_http(start_server, KVLINE_PASSWORD=TOKEN)
    done = subprocess.run(
        ["node", FOLDER / "check.cjs", server.http_url, TOKEN],
        env=os.environ | {"NODE_PATH": str(modules)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "all as it should be\n"), done.stderr
