"""Standard error that cannot be written: nothing that the server does may depend on it."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO

import pytest

from tests.harness.processes import RUN_SERVER, Peer, environment
from tests.harness.redis_server import free_port
from tests.harness.waiting import TIMEOUT, wait_until

LOG_LINES = 3000
"""More than fit into a pipe of 4096 bytes and the server's queue together."""


class FullPipe:
    """A pipe that is full, and that nothing reads until `read`."""

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(self.writer, False)
        try:
            while os.write(self.writer, b"x" * 4096):
                pass
        except BlockingIOError:
            os.set_blocking(self.writer, True)
        os.set_blocking(self._reader, False)
        self.text = ""

    def read(self) -> str:
        """Read what is in the pipe. Return everything that was read so far."""
        try:
            while data := os.read(self._reader, 65536):
                self.text += data.decode().replace("x" * 4096, "")
        except BlockingIOError:
            pass
        return self.text

    def close(self) -> None:
        os.close(self._reader)
        os.close(self.writer)


class SilentServer:
    """A server whose port is chosen before, because it cannot be read from its log."""

    def __init__(self, *options: str, stderr: IO[bytes] | int | None = None, shell: str = 'exec "$0" "$@"') -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            ["bash", "-c", shell, RUN_SERVER, "--port", str(self.port), *options], stderr=stderr, env=environment()
        )
        wait_until(self.is_listening, "the server listens")

    def is_listening(self) -> bool:
        assert self.process.poll() is None, "the server has ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ask(self, command: bytes) -> bytes:
        with ExitStack() as stack:
            peer = Peer(self.port)
            stack.callback(peer.close)
            return peer.ask(command)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(TIMEOUT)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def log_much(server: SilentServer) -> None:
    """Make the server log more lines than can wait. Each connection that is reset is one at this level."""
    for _ in range(LOG_LINES // 2):
        peer = Peer(server.port)
        peer.send(b"PING\n")
        peer.line()
        peer.reset()


def stop(server: SilentServer) -> int:
    server.process.send_signal(signal.SIGTERM)
    return server.process.wait(TIMEOUT)


def test_a_pipe_that_is_full_blocks_no_thread_and_dropped_messages_are_counted(stack: ExitStack) -> None:
    pipe = FullPipe()
    stack.callback(pipe.close)
    server = SilentServer("--log-level", "debug", stderr=pipe.writer)
    stack.callback(server.close)
    log_much(server)
    assert server.ask(b"PING") == b"PONG"
    wait_until(lambda: "log messages were dropped" in pipe.read(), "the number of dropped messages is logged")
    assert server.ask(b"PING") == b"PONG"
    assert stop(server) == 0


@pytest.mark.parametrize(
    "shell",
    ['exec "$0" "$@" 2>/dev/full', 'exec "$0" "$@" 2>&-', 'exec "$0" "$@" 2> >(exec true)'],
    ids=["/dev/full", "closed", "a pipe whose reader has ended"],
)
def test_standard_error_that_cannot_be_written_stops_nothing(stack: ExitStack, shell: str) -> None:
    server = SilentServer("--log-level", "debug", shell=shell)
    stack.callback(server.close)
    log_much(server)
    assert server.ask(b"SET key value") == b"OK"
    assert server.ask(b"GET key") == b"value"
    assert stop(server) == 0


def test_sigterm_stops_a_server_whose_standard_error_is_full(stack: ExitStack) -> None:
    pipe = FullPipe()
    stack.callback(pipe.close)
    server = SilentServer("--log-level", "debug", stderr=pipe.writer)
    stack.callback(server.close)
    log_much(server)
    assert stop(server) == 0


def test_a_client_never_gets_the_log_when_standard_error_is_closed(stack: ExitStack) -> None:
    server = SilentServer("--log-level", "debug", shell='exec "$0" "$@" 0>&- 1>&- 2>&-')
    stack.callback(server.close)
    peers = [Peer(server.port) for _ in range(10)]  # one of them would have the descriptor 2
    for peer in peers:
        stack.callback(peer.close)
        assert peer.ask(b"PING") == b"PONG"
    log_much(server)
    assert [peer.ask(b"PING") for peer in peers] == [b"PONG"] * 10
