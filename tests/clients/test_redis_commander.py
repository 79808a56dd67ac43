"""redis-commander, a web console for Redis, shows and changes the keys of kvline."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.harness.http_wire import new_http_client
from tests.harness.npm import NodeModules
from tests.harness.processes import ServerProcess
from tests.harness.redis_server import free_port
from tests.harness.waiting import TIMEOUT, wait_until

FOLDER = Path(__file__).parent / "redis_commander"


@pytest.fixture
def console(server: ServerProcess, node_modules: NodeModules, tmp_path: Path) -> Iterator[httpx.Client]:
    """An HTTP client of a redis-commander that is connected to the server."""
    port = free_port()
    program = node_modules(FOLDER) / "redis-commander" / "bin" / "redis-commander.js"
    options = ["--redis-host", "127.0.0.1", "--redis-port", str(server.port), "--nosave"]
    options += ["--address", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(["node", program, *options], stdout=log, stderr=log, cwd=tmp_path)
    try:
        with new_http_client(f"http://127.0.0.1:{port}") as client:
            wait_until(lambda: process.poll() is not None or answers(client), "redis-commander replies")
            assert process.poll() is None, (tmp_path / "log").read_text()
            yield client
    finally:
        process.kill()
        process.wait(TIMEOUT)


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/").is_success
    except httpx.TransportError:
        return False


def test_redis_commander_shows_and_changes_keys(server: ServerProcess, console: httpx.Client) -> None:
    peer = server.connect()
    peer.ask(b"SET greeting:en hello EX 1000")
    connection = f"R:127.0.0.1:{server.port}:0"
    (shown,) = console.get("/apiv2/server/info").json()["data"]
    fields = {each["key"]: each["value"] for each in shown["info"]}
    assert fields["Redis version"].startswith("7.0.")
    assert [each["keyName"] for each in console.get(f"/apiv2/keystree/{connection}/").json()["data"]] == ["greeting:"]
    key = console.get(f"/apiv2/key/{connection}/greeting:en").json()
    assert (key["type"], key["value"], key["ttl"] > 0) == ("string", "hello", True)
    new = {"stringValue": "10", "key": "n", "keyType": "string"}
    assert console.post(f"/apiv2/key/{connection}/n", data=new).is_success
    assert console.post(f"/apiv2/exec/{connection}", data={"cmd": "INCR n"}).json()["data"] == 11
    assert peer.ask(b"GET n") == b"11"
