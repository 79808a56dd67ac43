"""The fixtures of the tests of servers with a durable log."""

import contextlib
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.processes import Peer, ServerProcess, StartServer, start_server

__all__ = ["start_server"]

Start = Callable[..., ServerProcess]


@pytest.fixture
def start(start_server: StartServer, tmp_path: Path) -> Start:  # a fixture
    """Start servers on one directory."""

    def start_on(*options: str) -> ServerProcess:
        return start_server("--port", "0", "--data", str(tmp_path / "data"), *options)

    return start_on


def kill(server: ServerProcess) -> None:
    """Kill a server, and close the connections to it."""
    server.signal(signal.SIGKILL)
    server.exit_status()
    server.close_peers()


def ask_anew(server: ServerProcess, command: bytes) -> bytes:
    """Send a command on a connection of its own: a write that fails closes its connection, and has no reply."""
    with contextlib.closing(Peer(server.port)) as peer:
        return peer.ask(command)


def compact(server: ServerProcess) -> bytes:
    """Return the keys of a server as COMPACT prints them."""
    peer = server.connect()
    peer.send(b"COMPACT\nQUIT\n")
    return peer.rest().removesuffix(b"OK\n")
