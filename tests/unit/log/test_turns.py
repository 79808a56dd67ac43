"""Connections of a server with a log, whose output waits for a commit: one turn after another, without a thread."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import cast

import pytest

from server.clients.stats import CommandStats
from server.net.committing import CommitGroup, CommittingConnection
from server.net.io_thread import IOThread
from tests.harness.logs import LoggedServer, fail_once

LARGE = 50_000


class ManualIOThread:
    """What an I/O thread does for connections, when the test says so. It has no worker threads."""

    def __init__(self) -> None:
        self.ready: dict[int, Callable[[], None]] = {}
        self._soon: list[Callable[[], None]] = []
        self.call = self.call_before_wait = self._soon.append

    def watch(self, fd: int, events: int, function: Callable[[], None]) -> None:
        self.ready[fd] = function

    def unwatch(self, fd: int) -> None:
        self.ready.pop(fd, None)

    def call_in_worker(self, function: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    def end_turns(self) -> None:
        """Do what follows the turns of the sockets that are ready."""
        while self._soon:
            self._soon.pop(0)()


class Turns:
    """A server with a log, and connections to it whose turns the test takes."""

    def __init__(self, opened: ExitStack) -> None:
        self.server = LoggedServer()
        self.io = ManualIOThread()
        self._group = CommitGroup(cast("IOThread", self.io), self.server.service.commit)
        self._stats: CommandStats = self.server.context.stats.new_shard()
        self._opened = opened

    def connect(self) -> tuple[socket.socket, int]:
        """Return the client's socket, and the file descriptor of the server's."""
        client, sock = socket.socketpair()
        self._opened.enter_context(client)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        connection = CommittingConnection(self.server.context, sock, "test", self._group, self._stats)

        def close() -> None:
            connection.close()
            sock.close()

        connection.begin(close)
        self.io.end_turns()
        client.settimeout(0)
        return client, sock.fileno()


@pytest.fixture
def turns() -> Iterator[Turns]:
    with ExitStack() as opened:
        yield Turns(opened)


def test_without_worker_threads_no_reply_is_sent_to_what_a_failure_of_the_log_has_undone(turns: Turns) -> None:
    turns.server.run(f"SET large {'x' * LARGE}")
    long, long_fd = turns.connect()
    short, short_fd = turns.connect()
    # The long request has to wait until the reply before it is sent, which happens after the turn of the other client.
    long.sendall(b"GET large\nKEYS *\n")
    turns.io.ready[long_fd]()
    turns.io.end_turns()
    received = long.recv(2 * LARGE)
    assert len(received) < LARGE, "the reply does not fit into the socket"
    short.sendall(b"SET a 1\n")
    turns.io.ready[short_fd]()
    turns.server.disk.on_call = fail_once("append")
    while long_fd in turns.io.ready and len(received) < LARGE + 1:
        turns.io.ready[long_fd]()
        received += long.recv(2 * LARGE)
    turns.io.end_turns()
    assert turns.server.log.failures == 1
    assert turns.server.store.get(b"a") is None
    assert (short.recv(100), long.recv(100)) == (b"", b""), "both connections are closed without a reply"
