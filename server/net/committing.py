"""Connections of a server with a durable log: one commit for the output of all that had a turn."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from server.clients.stats import CommandStats
from server.net.io_thread import IOThread
from server.net.nonblocking import TURN_SIZE, NonblockingConnection, State
from server.session.context import ServerContext


class CommitGroup:
    """The output of all connections that had a turn, until one commit covers it, as in Redis (``beforeSleep``)."""

    def __init__(self, io_thread: IOThread, commit: Callable[[], None]) -> None:
        self.io_thread = io_thread
        self.commit = commit
        self._outputs: list[tuple[CommittingConnection, bytes]] = []

    def add(self, connection: CommittingConnection, output: bytes) -> None:
        """Send the output of a connection after the next commit."""
        if not self._outputs:
            self.io_thread.call_before_wait(self._commit)
        self._outputs.append((connection, output))

    def _commit(self) -> None:
        outputs, self._outputs = self._outputs, []
        try:
            self.commit()
        except Exception as problem:  # what they have executed was undone, so none of them may be sent its replies
            for connection, _ in outputs:
                connection.fail(problem)
            return
        for connection, output in outputs:
            connection.send_committed(output)


class CommittingConnection(NonblockingConnection):
    """A connection of a server with a durable log: its output is sent after a commit of its group."""

    __slots__ = ("_group",)

    def __init__(
        self, context: ServerContext, sock: socket.socket, peer_address: Any, group: CommitGroup, stats: CommandStats
    ) -> None:
        self._group = group
        super().__init__(context, sock, peer_address, group.io_thread, stats)

    def send_committed(self, output: bytes) -> None:
        """Send output whose commit has succeeded."""
        if self._state is not State.COMMITTING:  # it was closed meanwhile
            return
        try:
            if not output or self.stream.pending or self.session.closing or self._may_push:
                self._proceed(output)
                return
            sent = self._try_send(output)  # the usual case, with fewer steps
            if sent == len(output):
                self._wait_for_input()
            else:
                self._proceed(memoryview(output)[sent:])
        except Exception as problem:
            self.fail(problem)

    def _read(self) -> None:
        try:
            data = self.socket.recv(TURN_SIZE)
            if not data or self.ending:
                self._end()
            else:
                self._deliver(self.stream.feed(data))
        except BlockingIOError:
            pass
        except Exception as problem:
            self.fail(problem)

    def _deliver(self, output: bytes) -> None:
        # Without output, too: what was executed is written, and what comes next is decided when that has succeeded.
        self._state = State.COMMITTING
        self._group.add(self, output)

    def _execute_deferred(self) -> bytes:
        output = super()._execute_deferred()
        self._group.commit()
        return output
