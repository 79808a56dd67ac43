"""Accept HTTPS connections: asyncio's own servers cannot replace their certificates, and do not bound handshakes."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from common.tls_socket import describe
from server.net.certificates import Certificates
from server.net.connection import LINGER_TIMEOUT
from server.net.handshakes import HANDSHAKE_TIMEOUT
from server.net.listener import MAX_ACCEPT_PAUSE

MAX_HANDSHAKES = 1000
"""Handshakes at a time. Further connections wait to be accepted."""

logger = logging.getLogger(__name__)


class TLSAcceptor:
    """Accepts the connections of a socket on the event loop, and performs their handshakes.

    ``new_connection`` makes the protocol of a connection, ``accept_failed`` is called with an error of the system.
    """

    def __init__(
        self,
        sock: socket.socket,
        certificates: Certificates,
        new_connection: Callable[[], asyncio.Protocol],
        accept_failed: Callable[[OSError], None],
    ) -> None:
        self._socket = sock
        self._certificates = certificates
        self._new_connection = new_connection
        self._accept_failed = accept_failed
        self._loop = asyncio.get_running_loop()
        self._places = asyncio.Semaphore(MAX_HANDSHAKES)
        self._handshakes: set[asyncio.Task[None]] = set()
        self._accepting = self._loop.create_task(self._accept())

    def close(self) -> None:
        """Accept no more connections, and end handshakes that are not complete."""
        for task in (self._accepting, *self._handshakes):
            task.cancel()
        self._loop.call_soon(self._socket.close)  # after the event loop has ceased to wait for it

    async def _accept(self) -> None:
        self._socket.setblocking(False)
        while True:
            await self._places.acquire()
            try:
                accepted, _ = await self._loop.sock_accept(self._socket)
            except OSError as problem:
                self._accept_failed(problem)
                self._places.release()
                await asyncio.sleep(MAX_ACCEPT_PAUSE)
                continue
            task = self._loop.create_task(self._perform_handshake(accepted))
            self._handshakes.add(task)
            task.add_done_callback(self._end_handshake)

    def _end_handshake(self, task: asyncio.Task[None]) -> None:
        self._handshakes.discard(task)
        self._places.release()

    async def _perform_handshake(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._new_connection,
                accepted,
                ssl=self._certificates.context,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
                ssl_shutdown_timeout=LINGER_TIMEOUT,
            )
        except OSError as problem:
            logger.debug("an HTTPS handshake failed: %s", describe(problem))
