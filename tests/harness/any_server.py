"""A server for tests of the client: kvline or a real Redis, which the test can kill, restart and let hang."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from common.resp_client import encode_request
from tests.harness.processes import Peer, ServerProcess
from tests.harness.redis_server import RedisServer, find_redis, free_port
from tests.harness.resp_wire import Reply, read_reply
from tests.harness.waiting import wait_until


class AnyServer(Protocol):
    """A server that the client talks to."""

    kind: str
    port: int

    def kill(self) -> None:
        """Kill the process. Its connections are reset."""
        ...

    def start_again(self) -> None:
        """Start on the same port, with an empty keyspace."""
        ...

    def signal(self, number: signal.Signals) -> None: ...

    def close(self) -> None: ...


class Kvline:
    """kvline."""

    kind = "kvline"

    def __init__(self) -> None:
        self.port = free_port()  # not 0: another socket could get an ephemeral port before `start_again` binds it
        self._process = ServerProcess("--port", str(self.port))

    def kill(self) -> None:
        self._process.signal(signal.SIGKILL)
        self._process.exit_status()

    def start_again(self) -> None:
        self._process = ServerProcess("--port", str(self.port))

    def signal(self, number: signal.Signals) -> None:
        self._process.signal(number)

    def close(self) -> None:
        self._process.signal(signal.SIGCONT)
        self._process.close()


class RealRedis:
    """A real Redis."""

    kind = "redis"

    def __init__(self) -> None:
        found = find_redis()
        if found is None:
            pytest.skip("redis-server is not installed")
        self._server = RedisServer(*found)
        self.port = self._server.port

    def kill(self) -> None:
        self._server.kill()

    def start_again(self) -> None:
        self._server.start_again()
        wait_until(self._replies, "Redis replies")

    def _replies(self) -> bool:
        try:
            return ask(self, b"PING") == b"+PONG\r\n"
        except OSError:
            return False

    def signal(self, number: signal.Signals) -> None:
        self._server.signal(number)

    def close(self) -> None:
        self._server.signal(signal.SIGCONT)
        self._server.close()


def wait_until_sent(server: AnyServer) -> None:
    """Wait until a stopped server has a request that it does not read. See /proc/net/tcp in proc(5)."""

    def is_sent() -> bool:
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        queues = [row[4].partition(":")[2] for row in rows if row[1].endswith(f":{server.port:04X}") and row[3] == "01"]
        return any(int(received, 16) for received in queues)

    wait_until(is_sent, "the client has sent a request")


def ask(server: AnyServer, *args: bytes) -> Reply:
    """Send a request on a connection of its own, and return the bytes of the reply."""
    peer = Peer(server.port)
    try:
        peer.send(encode_request(args))
        return read_reply(peer)
    finally:
        peer.close()


@pytest.fixture(scope="module", params=[Kvline, RealRedis], ids=["kvline", "redis"])
def shared_target(request: pytest.FixtureRequest) -> Iterator[AnyServer]:
    """kvline, and a real Redis, for the tests of a module that leave them running."""
    server: AnyServer = request.param()
    yield server
    server.close()


@pytest.fixture
def target(shared_target: AnyServer) -> AnyServer:
    """kvline, and a real Redis, empty."""
    ask(shared_target, b"FLUSHALL")
    return shared_target


@pytest.fixture(params=[Kvline, RealRedis], ids=["kvline", "redis"])
def mortal_target(request: pytest.FixtureRequest) -> Iterator[AnyServer]:
    """kvline, and a real Redis, for a test that kills them."""
    server: AnyServer = request.param()
    yield server
    server.close()
