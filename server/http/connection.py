"""One HTTP connection: uvicorn's protocol, with a session of its own and a bound on what stands before a body."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.addresses import format_address
from server.clients import Push
from server.instance import Instance
from server.session import Session

MOST_HEAD = 64 * 1024
"""Bytes that the first line and the headers of a request may have. The parser itself knows no bound."""

TOO_LARGE = b"the request's first line and headers are too long"


def _nobody_waits() -> None:
    """Stand in for ``sched_yield`` where the system has none."""


give_way = getattr(os, "sched_yield", _nobody_waits)
"""Let threads run that wait for this core. All HTTP is one thread's work, which under load never rests by itself."""


class Connection(HttpToolsProtocol):
    """Serve one connection. Its session serves one request at a time, as HTTP/1.1 answers them in order."""

    session: Session

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
        self._is_busy = True
        return self.session

    def end(self) -> None:
        """Take the session back, and let the connections of other ports have their turn."""
        self._is_busy = False
        if self.is_lost:
            self.session.close()
        # Without this they wait for the kernel to end the busy thread's slice, which was measured to make the 99th
        # percentile of their replies several times as late.
        give_way()

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
        self.session = Session(self._instance, self._instance.clients.add(address, local_address, self))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.is_lost = True
        if not self._is_busy:  # else a thread may be using it, and end() closes it
            self.session.close()

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
