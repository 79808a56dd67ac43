"""The scheduler that serves all connections in a few threads, each of which waits for many sockets at once.

accept thread -> IOThreads.schedule -> IOThread: poll, then one turn of each connection that is ready
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from server.clients.stats import CommandStats
from server.net.committing import CommitGroup, CommittingConnection
from server.net.io_thread import IOThread
from server.net.nonblocking import NonblockingConnection
from server.session.context import ServerContext


class IOThreads:
    """Serves connections by ``count`` threads. See `server.net.listener.Scheduler`."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._threads: list[IOThread] = []
        self._groups: dict[IOThread, CommitGroup] = {}  # with a durable log
        self._stats: dict[IOThread, CommandStats] = {}

    def connect(self, context: ServerContext, sock: socket.socket, peer_address: Any) -> NonblockingConnection:
        """Return the connection of an accepted socket. Raises `TooManyClients`."""
        thread = min(self._threads, key=len)
        stats = self._stats.get(thread) or self._stats.setdefault(thread, context.stats.new_shard())
        if context.commit is None:
            return NonblockingConnection(context, sock, peer_address, thread, stats)
        group = self._groups.setdefault(thread, CommitGroup(thread, context.commit))
        return CommittingConnection(context, sock, peer_address, group, stats)

    def schedule(
        self,
        connection: NonblockingConnection,
        start_thread: Callable[[Callable[[], None]], None],
        close: Callable[[], None],
    ) -> None:
        """Pass a connection to its I/O thread."""
        connection.begin(close)

    def start(self) -> None:
        """Start the threads."""
        for number in range(self._count):
            thread = IOThread(f"I/O {number}")
            thread.start()
            # A long request in the I/O thread itself would keep it from reading SCRIPT KILL and CLIENT UNPAUSE.
            thread.start_worker()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop the threads."""
        for thread in self._threads:
            thread.stop()
