"""One HTTP connection: uvicorn's protocol, with a session of its own and a bound on what stands before a body."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.addresses import format_address
from server.clients import Push, TooManyClients
from server.errors import TOO_MANY_CLIENTS
from server.http.asgi import Receive, Scope, Send, send_whole
from server.http.exchange import Problem
from server.instance import Instance
from server.session import Session
from server.tcp import GRACE

MOST_HEAD = 64 * 1024
"""Bytes that the first line and the headers of a request may have. The parser itself knows no bound."""

TOO_LARGE = b"the request's first line and headers are too long"


RETRY_AFTER = 1
"""Seconds after which a client that was one too many may ask again."""


async def refuse_for_now(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a client that is one too many, as ASGI has it."""
    headers = [(b"retry-after", b"%d" % RETRY_AFTER), (b"connection", b"close")]
    await send_whole(Problem(503, TOO_MANY_CLIENTS.text.decode(), headers).answer(), send)


class Connection(HttpToolsProtocol):
    """Serve one connection. Its session serves one request at a time, as HTTP/1.1 answers them in order."""

    session: Session | None = None
    """None where there are too many clients already; all that its own is told is to come again later."""

    def __init__(self, instance: Instance, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._instance = instance
        self._head = 0  # bytes of an unfinished request's head, the last data's not counted
        self._in_head = False
        self._is_busy = False
        self.is_lost = False

    # ---------------------------------------------------------------- what the application uses

    def begin(self) -> Session:
        """Lend the session for one request; every ``begin`` has its ``end``."""
        assert self.session is not None, "whoever has none is not let through to the application"
        self._is_busy = True
        return self.session

    def end(self) -> None:
        """Take the session back."""
        self._is_busy = False
        if self.is_lost:
            self._close_session()

    # ---------------------------------------------------------------- what other sessions use

    def open_channel(self) -> Push | None:
        """Return None: in HTTP nothing is sent but answers."""
        return None

    def kill(self) -> None:
        """End the connection. May be called from any thread."""
        self.loop.call_soon_threadsafe(self.transport.abort)

    # ---------------------------------------------------------------- what uvicorn's loop calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        address, local_address = (format_address(each) for each in (self.client or ("", 0), self.server or ("", 0)))
        try:
            self.session = Session(self._instance, self._instance.clients.add(address, local_address, self))
        except TooManyClients:
            self.app = refuse_for_now

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.is_lost = True
        if not self._is_busy:  # else a thread may be using it, and end() closes it
            self._close_session()

    def _close_session(self) -> None:
        if self.session is not None:
            self.session.close()

    def shutdown(self) -> None:
        """End the connection, at once if it is idle; an answer that is under way has a moment to be taken."""
        super().shutdown()
        self.loop.call_later(GRACE, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > MOST_HEAD:
                self._refuse_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head = 0
        self.scope["state"]["connection"] = self

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def _refuse_head(self) -> None:
        body = b'{"error":"%b"}' % TOO_LARGE
        head = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
        self.transport.write(b"%bconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        self.transport.close()
