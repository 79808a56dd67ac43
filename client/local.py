"""The ``--local`` mode: a store and a session in this process, without a socket.

This is the only module of the client that loads the server's code. It is imported only when ``--local`` is given.
"""

from __future__ import annotations

from client.connection import Connection, ConnectionLost, Pipeline
from server.commands import COMMANDS
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.session.context import ServerContext
from server.session.session import Session
from server.session.stream import RequestStream


def new_context() -> ServerContext:
    """Return the context of a server without listeners, with an empty store. The data is lost when the program ends."""
    # The engine is not started: it would start the thread of the active expire cycle. Keys expire on access anyway.
    # The client has no transport and the context no `shut_down`, so MONITOR and SHUTDOWN are refused.
    return ServerContext(EmbeddedEngine(Store()), COMMANDS)


class LocalConnection(Connection):
    """A connection to a session in this process."""

    name = "local"

    def __init__(self, context: ServerContext | None = None) -> None:
        self._context = new_context() if context is None else context
        self._stream = RequestStream(Session(self._context, self._context.clients.add()))
        self._output = b""

    def send(self, data: bytes) -> None:
        """Execute requests. Raises `ConnectionLost` after QUIT."""
        if self.is_closed():
            raise ConnectionLost("the session is over")
        self._output += self._stream.feed(data)

    def receive(self) -> bytes:
        """Return the next part of the output. Raises `ConnectionLost` after QUIT."""
        output, self._output = self._output, b""
        # `feed` returns at most about `OUTPUT_SIZE` bytes at a time, and more only when it is called again.
        while not output and self._stream.pending:
            output = self._stream.feed(b"")
        if not output:
            raise ConnectionLost("the session is over")
        return output

    def is_closed(self) -> bool:
        """Return whether QUIT has ended the session."""
        return self._stream.closing

    def stream(self, pipeline: Pipeline) -> None:
        """Execute the requests of a pipeline, to the end of the input."""
        # Without `select`: nothing but the input can be waited for.
        while not pipeline.input_ended:
            pipeline.consume(self._stream.feed(pipeline.read_requests()))
            while self._stream.pending:
                pipeline.consume(self._stream.feed(b""))

    def set_timeout(self, seconds: float | None) -> None:
        """Nothing here waits."""

    def another(self) -> LocalConnection:
        """Return another session on the same store."""
        return LocalConnection(self._context)

    def close(self) -> None:
        """Close the session."""
        self._stream.close()
