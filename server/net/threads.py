"""The scheduler that serves each connection in a thread of its own, with blocking reads and writes."""

from __future__ import annotations

import logging
from collections.abc import Callable

from server.net.connection import RECEIVE_SIZE, Connection

logger = logging.getLogger(__name__)


class ThreadPerConnection:
    """Serves every connection in a thread that `socketserver` starts. See `server.net.listener.Scheduler`."""

    def schedule(self, connection: Connection, start_thread: Callable[[], None]) -> None:
        """Start the connection's thread, which calls `serve`."""
        start_thread()

    def serve(self, connection: Connection) -> None:
        """Serve the connection until the peer, the session or the server ends it."""
        try:
            _read_loop(connection)
            if connection.session.closing:
                connection.linger()
        except OSError as problem:
            logger.debug("%s disconnected: %s", connection.address, problem)


def _read_loop(connection: Connection) -> None:
    session, stream = connection.session, connection.stream
    receive, send, feed = connection.socket.recv, connection.socket.sendall, stream.feed
    while not connection.ending:
        if connection.may_push:
            connection.send_pushes_until_input()
        data = receive(RECEIVE_SIZE)
        if not data:
            return
        output = feed(data)
        while stream.pending:  # backpressure: what was produced is sent before more is
            send(output)
            output = feed(b"")
        if output:
            send(output)
        if session.closing:
            return
