"""Accept HTTPS connections: asyncio's own servers cannot replace their certificates, and do not bound handshakes."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack, suppress

from common.errors import HTTP_TLS_ONLY
from common.tls_socket import HANDSHAKE_RECORD, MAX_RECORD_SIZE, describe
from server.http.encoder import encode_head
from server.http.messages import HTTPError
from server.net.addresses import format_address
from server.net.certificates import Certificates
from server.net.connection import LINGER_TIMEOUT
from server.net.handshakes import HANDSHAKE_FAILED, HANDSHAKE_TIMEOUT, NO_TLS, TOO_LONG
from server.net.listener import MAX_ACCEPT_PAUSE
from server.stderr_log import RepeatedMessage

MAX_HANDSHAKES = 1000
"""Handshakes at a time. Further connections wait to be accepted."""

logger = logging.getLogger(__name__)


class TLSAcceptor:
    """Accepts the connections of a socket on the event loop, and performs their handshakes.

    A client that does not speak TLS gets status 400.

    ``new_connection`` makes the protocol of a connection, ``accept_failed`` is called with an error of the system.
    ``close_timeout`` is for a client to read what is left of its last response, and to close its side.
    """

    def __init__(
        self,
        sock: socket.socket,
        certificates: Certificates,
        new_connection: Callable[[], asyncio.Protocol],
        accept_failed: Callable[[OSError], None],
        close_timeout: float,
    ) -> None:
        self._socket = sock
        self._certificates = certificates
        self._new_connection = new_connection
        self._accept_failed = accept_failed
        self._close_timeout = close_timeout
        self._loop = asyncio.get_running_loop()
        self._places = asyncio.Semaphore(MAX_HANDSHAKES)
        self._handshakes: set[asyncio.Task[None]] = set()
        self._failed = RepeatedMessage(logger, logging.WARNING, HANDSHAKE_FAILED)
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
                accepted, peer = await self._loop.sock_accept(self._socket)
            except OSError as problem:
                self._accept_failed(problem)
                self._places.release()
                await asyncio.sleep(MAX_ACCEPT_PAUSE)
                continue
            task = self._loop.create_task(self._perform_handshake(accepted, format_address(peer)))
            self._handshakes.add(task)
            task.add_done_callback(self._end_handshake)

    def _end_handshake(self, task: asyncio.Task[None]) -> None:
        self._handshakes.discard(task)
        self._places.release()

    async def _perform_handshake(self, accepted: socket.socket, address: str) -> None:
        time_limit = self._loop.time() + HANDSHAKE_TIMEOUT
        try:
            with ExitStack() as stack:
                stack.enter_context(accepted)
                if not await self._speaks_tls(accepted, time_limit):
                    self._failed.log(address, NO_TLS)
                    await self._refuse_plaintext(accepted)
                    return
                seconds_left = time_limit - self._loop.time()
                if seconds_left <= 0:  # the event loop would raise a ValueError, and not close the socket
                    self._failed.log(address, TOO_LONG)
                    return
                stack.pop_all()  # the event loop closes it
            await self._loop.connect_accepted_socket(
                self._new_connection,
                accepted,
                ssl=self._certificates.context,
                ssl_handshake_timeout=seconds_left,
                ssl_shutdown_timeout=self._close_timeout,
            )
        except (TimeoutError, ConnectionAbortedError):  # the latter by the event loop
            self._failed.log(address, TOO_LONG)
        except ssl.SSLError as problem:
            self._failed.log(address, describe(problem))
        except OSError:
            logger.debug("%s disconnected during the TLS handshake", address)

    async def _speaks_tls(self, accepted: socket.socket, time_limit: float) -> bool:
        """Wait for the first byte, and leave it in the socket. Raises `OSError`, also after the time limit."""
        accepted.setblocking(False)
        readable = asyncio.Event()
        self._loop.add_reader(accepted, readable.set)
        try:
            async with asyncio.timeout_at(time_limit):
                await readable.wait()
        finally:
            self._loop.remove_reader(accepted)
        return accepted.recv(1, socket.MSG_PEEK) in (HANDSHAKE_RECORD, b"")

    async def _refuse_plaintext(self, accepted: socket.socket) -> None:
        """Reply with status 400, as nginx does, and discard what the client still sends, as every lingering close."""
        response = HTTPError(HTTP_TLS_ONLY).response()
        assert isinstance(response.body, bytes)
        with suppress(OSError):  # TimeoutError, too
            async with asyncio.timeout(LINGER_TIMEOUT):
                await self._loop.sock_sendall(accepted, encode_head(response, keep_alive=False) + response.body)
                accepted.shutdown(socket.SHUT_WR)
                while await self._loop.sock_recv(accepted, MAX_RECORD_SIZE):
                    pass
