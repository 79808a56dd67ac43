"""The lingering close of a connection whose thread may not wait. See `server.net.connection.LINGER_TIMEOUT`."""

from __future__ import annotations

import socket
from collections.abc import Callable

from server.net.connection import LINGER_TIMEOUT, MAX_LINGER_BYTES
from server.net.io_thread import IOThread
from server.net.poller import READABLE

DISCARD_SIZE = 64 * 1024
"""Bytes that are discarded at once."""


class Lingering:
    """Ends the sending direction of a socket, then discards what the peer sends until it ends its own.

    ``end`` is called then, by the I/O thread, and again after the timeout. Raises `OSError`.
    """

    __slots__ = ("_end", "_socket", "_unread")

    def __init__(self, io_thread: IOThread, sock: socket.socket, end: Callable[[], None]) -> None:
        self._socket = sock
        self._end = end
        self._unread = MAX_LINGER_BYTES
        sock.shutdown(socket.SHUT_WR)
        io_thread.watch(sock.fileno(), READABLE, self._discard)
        io_thread.call_later(LINGER_TIMEOUT, end)

    def _discard(self) -> None:
        try:
            data = socket.socket.recv(self._socket, DISCARD_SIZE)  # over TLS, too, without decrypting it
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._unread -= len(data)
        if not data or self._unread <= 0:
            self._end()
