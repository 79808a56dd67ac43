"""The terminal mode: a store and a session in this process, and no socket at all.

This is the one module of the client that loads the server's code, and it is loaded only when ``--local`` asks for it.
"""

from __future__ import annotations

from client.connection import ConnectionLost, ReadRequests, ShowReplies
from client.protocol import ClientProtocol
from common.replies import Reply
from server.commands import COMMANDS
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.session.context import ServerContext
from server.session.session import Session


class LocalConnection:
    """A session on a store of its own, which is gone when the program ends."""

    name = "local"

    def __init__(self) -> None:
        self._session = Session(ServerContext(EmbeddedEngine(Store()), COMMANDS))

    def exchange(self, protocol: ClientProtocol, request: bytes) -> list[Reply]:
        """Run a request and return the replies to show. Raises `ConnectionLost` after QUIT."""
        if self._session.closing:
            raise ConnectionLost("the session is over")
        replies = protocol.receive(self._session.feed(request))
        while self._session.pending:
            replies += protocol.receive(self._session.feed(b""))
        return replies

    def stream(self, protocol: ClientProtocol, source: int, read_requests: ReadRequests, show: ShowReplies) -> None:
        """Run whatever ``take_input`` makes of the input and show the replies, to the end."""
        while not protocol.closing and (request := read_requests()) is not None:
            show(protocol.receive(self._session.feed(request)))
            while self._session.pending:
                show(protocol.receive(self._session.feed(b"")))

    def close(self) -> None:
        """Forget the store."""
