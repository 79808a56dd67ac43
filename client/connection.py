"""Connections: the interface, and the TCP connection to a server. `client.local` has the one without a server."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Protocol

from client.protocol import ClientProtocol
from client.source import Source
from common.replies import Reply

RECEIVE_SIZE = 64 * 1024

HIGH_WATER = 256 * 1024
"""Bytes of unsent requests at which no more input is read, until the server has taken some of them."""

CONNECT_TIMEOUT = 10.0
"""Seconds to wait until a server accepts the connection."""

ReadRequests = Callable[[], bytes | None]
"""Read the next piece of input and return the requests that it completes. None at the end of the input."""

ShowReplies = Callable[[list[Reply]], None]


class ConnectionLost(Exception):
    """Raised if the connection is closed or fails while replies are pending. The text is shown to the user."""


class Connection(Protocol):
    """Takes requests and returns their replies."""

    name: str
    """What the prompt shows: the server's address, or ``local``."""

    def exchange(self, protocol: ClientProtocol, request: bytes) -> list[Reply]:
        """Send a request and return the replies to show. Raises `ConnectionLost`."""
        ...

    def stream(self, protocol: ClientProtocol, source: Source, read_requests: ReadRequests, show: ShowReplies) -> None:
        """Send what ``read_requests`` returns, and show each reply when it arrives, to the end of the input.

        ``read_requests`` reads from ``source``, and is not called before that is readable.
        Raises `ConnectionLost`.
        """
        ...

    def close(self) -> None: ...


class SocketConnection:
    """A TCP connection. Raises `OSError` if it cannot connect."""

    def __init__(self, host: str, port: int) -> None:
        # The colons of an IPv6 address would be taken for the one before the port (RFC 3986, 3.2.2).
        self.name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._socket = socket.create_connection((host, port), CONNECT_TIMEOUT)
        # The timeout was for the connection alone. A command may take as long as it needs.
        self._socket.settimeout(None)
        # A request is sent at once, even if the previous one is not acknowledged yet (Nagle's algorithm, RFC 896).
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, protocol: ClientProtocol, request: bytes) -> list[Reply]:
        """Send a request and return the replies to show. Raises `ConnectionLost`."""
        outgoing = bytearray(request)
        replies: list[Reply] = []
        # All at once is safe for one request: a server reads it to its end before it replies.
        while outgoing:
            self._send(outgoing)
        while protocol.has_pending_replies:
            replies += protocol.receive(self._receive())
        return replies

    def stream(self, protocol: ClientProtocol, source: Source, read_requests: ReadRequests, show: ShowReplies) -> None:
        """Send requests and show replies at the same time. See `Connection`.

        If all requests were sent before the first reply is read, client and server could both wait for the other to
        read, with full socket buffers.
        """
        outgoing = bytearray()
        at_end = False
        server, standard_input = self._socket.fileno(), source.fileno()
        self._socket.setblocking(False)
        while outgoing or protocol.has_pending_replies or not at_end:
            # The server is always among them: it may close the connection, or send an error, without a request.
            sources = [server] if at_end or len(outgoing) >= HIGH_WATER else [server, standard_input]
            readable, writable, _ = select.select(sources, [server] if outgoing else [], [])
            if server in readable:
                show(protocol.receive(self._receive()))
            # After the replies: if the server has closed the connection, the reason that it sent is shown first.
            if writable:
                self._send(outgoing)
            if standard_input in readable:
                requests = read_requests()
                outgoing += requests or b""
                # After QUIT nothing is sent any more, so the rest of the input is not read.
                at_end = requests is None or protocol.closing

    def close(self) -> None:
        """Close the connection. The server reads the end of the stream."""
        self._socket.close()

    def _send(self, outgoing: bytearray) -> None:
        """Send as much as the socket accepts, and remove it from ``outgoing``."""
        try:
            del outgoing[: self._socket.send(outgoing)]
        except OSError as problem:
            raise self._failed(problem) from None

    def _receive(self) -> bytes:
        try:
            data = self._socket.recv(RECEIVE_SIZE)
        except OSError as problem:
            raise self._failed(problem) from None
        if not data:
            raise ConnectionLost(f"the server at {self.name} closed the connection")
        return data

    def _failed(self, problem: OSError) -> ConnectionLost:
        return ConnectionLost(f"the connection to the server at {self.name} failed: {problem.strerror}")
