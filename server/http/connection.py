"""One HTTP connection: uvicorn's protocol, with a session of its own and a bound on all that it keeps.

uvicorn leaves four traps to its users. It turns all that has come into requests, however many wait for their turn
already, and a request takes a hundred times its bytes. Its parser keeps heads, and what follows a body in chunks, of
any length. A request that offers another protocol loses its body. And of the requests that came at once, only the last
learns that the connection is lost. Each is met below.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from common.errors import TOO_MANY_CLIENTS
from server.clients.registry import Push, TooManyClients
from server.http.asgi import Receive, Scope, Send, send_whole
from server.http.exchange import Problem
from server.net.addresses import format_address
from server.net.listener import GRACE, LINGER
from server.session.context import ServerContext
from server.session.session import Session

MOST_HEAD = 64 * 1024
"""Bytes that the first line and the headers of a request may have, and those that follow a body."""

PIECE = 4 * 1024
"""Bytes that are parsed at a time, and so what may be parsed too early, or counted too much."""

UNREADABLE = 400, b"this is not HTTP that can be read"
UPGRADE = 400, b"only HTTP/1.1 is spoken here; send a request that has a body without Upgrade"
TOO_LARGE = 431, b"the request's first line and headers are too long"

PHRASES = {400: b"Bad Request", 431: b"Request Header Fields Too Large"}

logger = logging.getLogger(__name__)


class _Refused(Exception):
    """The request can't be taken, and nothing that comes behind it."""


class _Flow(FlowControl):
    """uvicorn's, which reads on for each request that is answered; but first comes what has been read."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection.transport)
        self._connection = connection

    def resume_reading(self) -> None:
        if not self._connection.unparsed:
            super().resume_reading()


RETRY_AFTER = 1
"""Seconds after which a client that was one too many may ask again."""


async def refuse_for_now(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a client that is one too many, as ASGI has it."""
    headers = [(b"retry-after", b"%d" % RETRY_AFTER), (b"connection", b"close")]
    await send_whole(Problem(503, TOO_MANY_CLIENTS.text.decode(), headers).answer(), send)


def _nobody_waits() -> None:
    """Stand in for ``sched_yield`` where the system has none."""


give_way = getattr(os, "sched_yield", _nobody_waits)
"""Let threads run that wait for this core. All HTTP is one thread's work, which under load never rests by itself."""


class Connection(HttpToolsProtocol):
    """Serve one connection. Its session serves one request at a time, as HTTP/1.1 answers them in order."""

    session: Session | None = None
    """None where there are too many clients already; all that its own is told is to come again later."""

    def __init__(self, context: ServerContext, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._instance = context
        self.unparsed = bytearray()
        """What came behind requests that wait for their turn."""
        self._silent = 0  # bytes that were parsed and made neither a head complete nor a part of a body
        self._in_head = False
        self._refusal: tuple[int, bytes] | None = None
        self._running: RequestResponseCycle | None = None
        self._is_busy = False
        self.is_lost = False

    # ---------------------------------------------------------------- what the application uses

    def begin(self) -> Session:
        """Lend the session for one request; every ``begin`` has its ``end``."""
        assert self.session is not None, "whoever has none is not let through to the application"
        self._is_busy = True
        return self.session

    def end(self) -> None:
        """Take the session back, and let the connections of other ports have their turn."""
        self._is_busy = False
        if self.is_lost:
            self._close_session()
        # Without this they wait for the kernel to end the busy thread's slice, which was measured to make the 99th
        # percentile of their replies several times as late.
        give_way()

    async def cut(self) -> None:
        """End the connection in the middle of an answer."""
        self.transport.abort()
        while not self.is_lost:
            await asyncio.sleep(0)

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
        self.flow = _Flow(self)
        address, local_address = (format_address(each) for each in (self.client or ("", 0), self.server or ("", 0)))
        try:
            self.session = Session(self._instance, self._instance.clients.add(address, local_address, self))
        except TooManyClients:
            self.app = refuse_for_now
            self.loop.call_later(LINGER, transport.abort)  # one that asks nothing must not keep its place in the system

    def connection_lost(self, exc: Exception | None) -> None:
        if self._running is not None and self._running is not self.cycle:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)
        self.is_lost = True
        if not self._is_busy:  # else a thread may be using it, and end() closes it
            self._close_session()

    def _close_session(self) -> None:
        if self.session is not None:
            self.session.close()

    def shutdown(self) -> None:
        """Close when the running request is answered, or the peer has had its time to take the answer."""
        super().shutdown()
        self.loop.call_later(GRACE, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._refusal is None:
            self.unparsed += data
            self._parse()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            self._parse()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    # ---------------------------------------------------------------- parsing

    def _parse(self) -> None:
        """Parse what has come, as far as no request waits for another."""
        while self.unparsed and not self.pipeline:
            piece = bytes(self.unparsed[:PIECE])
            del self.unparsed[:PIECE]
            try:
                self._feed(piece)
            except (_Refused, httptools.HttpParserError) as problem:
                logger.debug("a request was refused: %s", problem)
                self._refusal = self._refusal or UNREADABLE
                self.unparsed.clear()
                self._drop_unfinished()
        answered = self.cycle is None or self.cycle.response_complete or self.cycle.disconnected
        if self.unparsed:
            self.flow.pause_reading()
        elif answered:
            self.flow.resume_reading()
        if self._refusal is not None and answered and not self.pipeline:
            self._send_refusal(*self._refusal)

    def _drop_unfinished(self) -> None:
        """Give up the request whose body can't be read to its end: nobody is to wait for the rest of it."""
        cycle = self.cycle
        if cycle is None or not cycle.more_body or cycle.response_complete:
            return
        if self.pipeline:  # it is the last there, and one before it runs
            self.pipeline.popleft()
            assert self._running is not None
            self.cycle = self._running
        else:
            cycle.disconnected = True  # by which the application learns it; the connection itself is to be answered
            cycle.message_event.set()

    def _feed(self, piece: bytes) -> None:
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:  # which is not taken up: what follows is a request as any other
            self.unparsed[:0] = piece[upgrade.args[0] :]
        self._silent += len(piece)
        if self._silent > MOST_HEAD:
            self._refuse(TOO_LARGE)

    def _refuse(self, refusal: tuple[int, bytes]) -> None:
        """Say later, behind the answers to earlier requests, why this one has none. Raises `_Refused`."""
        self._refusal = refusal
        raise _Refused(refusal[1].decode())

    def _send_refusal(self, status: int, sentence: bytes) -> None:
        """Answer, and close when the peer has had the time to read that; to close at once would reset."""
        body = b'{"error":"%b"}' % sentence
        head = b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\n" % (status, PHRASES[status])
        self.transport.write(b"%bconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        self.transport.write_eof()
        self._unset_keepalive_if_required()
        self.loop.call_later(LINGER, self.transport.abort)

    # ---------------------------------------------------------------- what the parser calls

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._silent = 0
        self._in_head = True
        self.scope["state"]["connection"] = self

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # those behind a body would be kept without end
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._silent = 0
        self._in_head = False
        if self.parser.should_upgrade() and self._has_body():  # the parser would take the body for the next request
            self._refuse(UPGRADE)
        super().on_headers_complete()

    def _has_body(self) -> bool:
        headers = dict(self.headers)
        return b"transfer-encoding" in headers or headers.get(b"content-length", b"0").strip(b"0") != b""

    def on_body(self, body: bytes) -> None:
        self._silent = 0
        super().on_body(body)
