"""What is written to one HTTP connection, no faster than its client reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from common.limits import KIB

TLS_PART_SIZE = 128 * KIB
"""Bytes of a response's body that are encrypted at a time."""

NextPart: TypeAlias = Callable[[], Awaitable[bytes]]
"""Makes the next part of a body; ``b""`` is the end."""


class Output:
    """The sending side of a connection. It belongs to the thread of the event loop."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.written = 0
        """Bytes passed to the transport."""
        self.is_paused = False
        """Whether the client must read before more is written."""
        self.is_lost = False
        """Whether the client has disconnected."""
        self._drained: asyncio.Future[None] | None = None

    def write(self, data: bytes) -> None:
        """Write data now."""
        if not self._transport.is_closing():  # else uvloop would raise RuntimeError
            self.written += len(data)
            self._transport.write(data)

    def needs_parts(self, body: bytes) -> bool:
        """Return whether a body must be encrypted in parts.

        A transport of TLS encrypts all that is written, and reports as unsent only what is not encrypted. So it would
        seem that the client has taken the body, and the connection would be closed as an idle one, or at once.
        """
        return len(body) > TLS_PART_SIZE and self._transport.get_extra_info("sslcontext") is not None

    async def write_in_parts(self, body: bytes) -> None:
        """Write a body, each part when the client has taken most of those before. Ends if the client disconnects."""
        for at in range(0, len(body), TLS_PART_SIZE):
            await self._drain()
            if self.is_lost:
                return
            self.write(body[at : at + TLS_PART_SIZE])
            await asyncio.sleep(0)  # other connections have their turns

    async def stream(self, next_part: NextPart, *, is_chunked: bool) -> None:
        """Write a body that is made meanwhile, each part when the client has taken the ones before.

        Raises what making them raises. Ends if the client disconnects.
        """
        while not self.is_lost:
            # Wait before making a part, so that at most one waits in memory if the client reads slowly.
            await self._drain()
            part = await next_part()
            if not part:  # also, a chunk of size 0 would end the body (RFC 9112, 7.1)
                break
            self.write(b"%x\r\n%b\r\n" % (len(part), part) if is_chunked else part)
        if is_chunked:
            self.write(b"0\r\n\r\n")

    def abort(self) -> None:
        """Close the connection now, and discard what has not been sent."""
        self._transport.abort()

    # ---------------------------------------------------------------- what the transport reports

    def pause(self) -> None:
        """Let writers wait: the client reads too slowly."""
        self.is_paused = True

    def resume(self) -> None:
        """Let writers go on."""
        self.is_paused = False
        self._wake_writer()

    def lose(self) -> None:
        """Note that the client has disconnected. Writers must not wait for one that reads no more."""
        self.is_lost = True
        self._wake_writer()

    def _wake_writer(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    async def _drain(self) -> None:
        """Wait until the client has read enough of the output, or has disconnected."""
        if self.is_paused and not self.is_lost:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained
