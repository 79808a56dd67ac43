"""The terminal mode: a store and a session in this process, and no socket at all.

This is the one module of the client that loads the server's code, and it is loaded only when ``--local`` asks for it.
"""

from __future__ import annotations

from client.connection import ConnectionLost, Show, TakeInput
from client.conversation import Conversation
from common.replies import Reply
from server.commands import COMMANDS
from server.engine import EmbeddedEngine
from server.instance import Instance
from server.session import Session
from server.store import Store


class LocalConnection:
    """A session on a store of its own, which is gone when the program ends."""

    name = "local"

    def __init__(self) -> None:
        self._session = Session(Instance(EmbeddedEngine(Store()), COMMANDS))

    def exchange(self, conversation: Conversation, request: bytes) -> list[Reply]:
        """Run a request and return the replies to show. Raises `ConnectionLost` after QUIT."""
        if self._session.closing:
            raise ConnectionLost("the session is over")
        replies = conversation.receive(self._session.feed(request))
        while self._session.pending:
            replies += conversation.receive(self._session.feed(b""))
        return replies

    def stream(self, conversation: Conversation, source: int, take_input: TakeInput, show: Show) -> None:
        """Run whatever ``take_input`` makes of the input and show the replies, to the end."""
        while not conversation.closing and (request := take_input()) is not None:
            show(conversation.receive(self._session.feed(request)))
            while self._session.pending:
                show(conversation.receive(self._session.feed(b"")))

    def close(self) -> None:
        """Forget the store."""
