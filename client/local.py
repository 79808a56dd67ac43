"""The ``--local`` mode: a store and a session in this process, without a socket.

This is the only module of the client that loads the server's code. It is imported only when ``--local`` is given.
"""

from __future__ import annotations

from client.connection import ConnectionLost, ReadRequests, ShowReplies
from client.protocol import ClientProtocol
from client.source import Source
from common.replies import Reply
from server.commands import COMMANDS
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.session.context import ServerContext
from server.session.session import Session
from server.session.stream import RequestStream


class LocalConnection:
    """A session on a store of its own. The data is lost when the program ends."""

    name = "local"

    def __init__(self) -> None:
        # The engine is not started: it would start the thread of the active expire cycle. Keys expire on access anyway.
        # The client has no transport and the context no `shut_down`, so MONITOR and SHUTDOWN are refused.
        context = ServerContext(EmbeddedEngine(Store()), COMMANDS)
        self._stream = RequestStream(Session(context, context.clients.add()))

    def exchange(self, protocol: ClientProtocol, request: bytes) -> list[Reply]:
        """Execute a request and return the replies to show. Raises `ConnectionLost` after QUIT."""
        if self._stream.closing:
            raise ConnectionLost("the session is over")
        replies = protocol.receive(self._stream.feed(request))
        # `feed` returns at most about `OUTPUT_SIZE` bytes at a time, and more only when it is called again.
        while self._stream.pending:
            replies += protocol.receive(self._stream.feed(b""))
        return replies

    def stream(self, protocol: ClientProtocol, source: Source, read_requests: ReadRequests, show: ShowReplies) -> None:
        """Execute what ``read_requests`` returns and show the replies, to the end of the input."""
        # Without `select`: nothing but the input can be waited for.
        while not protocol.closing and (request := read_requests()) is not None:
            show(protocol.receive(self._stream.feed(request)))
            while self._stream.pending:
                show(protocol.receive(self._stream.feed(b"")))

    def close(self) -> None:
        """Close the session."""
        self._stream.close()
