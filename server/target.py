"""The target of MIGRATE: the connection to another server, which is asked to restore keys.

The connection is for one command. Every wait, for the connection, for the target to take a piece of a request and for
a piece of a reply, is bounded by the timeout of the command, as in Redis. The resolution of a host name has the limits
of the operating system.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator

from common.codec import Args
from common.errors import TARGET_NOT_CONNECTED, TARGET_NOT_READ, TARGET_NOT_WRITTEN, CommandError
from common.resp_client import encode_request

SEND_SIZE = 64 * 1024
"""Bytes that are sent at a time, each within the timeout."""

MAX_REPLY_LINE = 64 * 1024
"""Bytes of a reply. Statuses and errors are the only ones that a target may send."""

RECEIVE_SIZE = 16 * 1024


class Target:
    """An open connection. Raises `CommandError` (IOERR) if there is none within ``timeout`` seconds."""

    def __init__(self, host: bytes, port: bytes, timeout: float) -> None:
        self._received = b""
        try:
            self._socket = socket.create_connection((host.decode(), int(port)), timeout)
        except ConnectionRefusedError:  # as in Redis, which notices it when it writes
            raise CommandError(TARGET_NOT_WRITTEN) from None
        # A name that IDNA cannot encode, and a port that is no number or out of range.
        except (OSError, ValueError, OverflowError):
            raise CommandError(TARGET_NOT_CONNECTED) from None
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def ask(self, requests: Iterable[Args]) -> Iterator[bytes | None]:
        """Send requests, and yield for each of them the target's error, or None if it has none.

        All requests are sent before the first reply is read, so their replies must fit into the target's buffers.
        Raises `CommandError` (IOERR) when the target does not take a request or does not reply.
        """
        count = 0
        for request in requests:
            self._send(encode_request(request))
            count += 1
        for _ in range(count):
            reply = self._read_line()
            if reply[:1] not in (b"+", b"-"):
                raise CommandError(TARGET_NOT_READ)
            yield reply[1:] if reply[:1] == b"-" else None

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            for at in range(0, len(view), SEND_SIZE):
                self._socket.sendall(view[at : at + SEND_SIZE])
        except OSError:
            raise CommandError(TARGET_NOT_WRITTEN) from None

    def _read_line(self) -> bytes:
        while b"\r\n" not in self._received:
            try:
                data = self._socket.recv(RECEIVE_SIZE)
            except OSError:
                data = b""
            if not data or len(self._received) > MAX_REPLY_LINE:
                raise CommandError(TARGET_NOT_READ)
            self._received += data
        line, _, self._received = self._received.partition(b"\r\n")
        return line
