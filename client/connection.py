"""What carries a conversation: a TCP connection to a server. (`client.local` is the other, with no server.)"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Protocol

from client.protocol import ClientProtocol
from common.replies import Reply

RECEIVE_SIZE = 64 * 1024

HIGH_WATER = 256 * 1024
"""How many bytes of unsent requests are enough: no more input is read until some are gone."""

CONNECT_TIMEOUT = 10.0
"""Seconds to wait for a server that does not answer at all."""

ReadRequests = Callable[[], bytes | None]
"""Return the requests that the next piece of input makes, or None at its end."""

ShowReplies = Callable[[list[Reply]], None]


class ConnectionLost(Exception):
    """The other end closed the connection, or it broke, while replies were due. The text is for the user."""


class Connection(Protocol):
    """Something that takes requests and gives their replies."""

    name: str  # what the prompt shows

    def exchange(self, protocol: ClientProtocol, request: bytes) -> list[Reply]:
        """Send a request and return the replies to show. Raises `ConnectionLost`."""
        ...

    def stream(self, protocol: ClientProtocol, source: int, read_requests: ReadRequests, show: ShowReplies) -> None:
        """Send whatever ``take_input`` makes of the file ``source`` and show the replies as they come, to the end.

        Raises `ConnectionLost`.
        """
        ...

    def close(self) -> None: ...


class SocketConnection:
    """A TCP connection. Raises `OSError` where there is no server to be reached."""

    def __init__(self, host: str, port: int) -> None:
        self.name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._socket = socket.create_connection((host, port), CONNECT_TIMEOUT)
        self._socket.settimeout(None)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, protocol: ClientProtocol, request: bytes) -> list[Reply]:
        """Send a request and return the replies to show. Raises `ConnectionLost`."""
        outgoing = bytearray(request)
        replies: list[Reply] = []
        while outgoing:
            self._send(outgoing)
        while protocol.waiting:
            replies += protocol.receive(self._receive())
        return replies

    def stream(self, protocol: ClientProtocol, source: int, read_requests: ReadRequests, show: ShowReplies) -> None:
        """Send and show in both directions at once, so that neither end ever waits for the other to read.

        Raises `ConnectionLost`.
        """
        outgoing = bytearray()
        at_end = False
        here = self._socket.fileno()
        self._socket.setblocking(False)
        while outgoing or protocol.waiting or not at_end:
            sources = [here] if at_end or len(outgoing) >= HIGH_WATER else [here, source]
            readable, writable, _ = select.select(sources, [here] if outgoing else [], [])
            if here in readable:
                show(protocol.receive(self._receive()))
            if writable:
                self._send(outgoing)
            if source in readable:
                request = read_requests()
                outgoing += request or b""
                at_end = request is None or protocol.closing

    def close(self) -> None:
        """Close the connection in good order: the server sees the end of our stream."""
        self._socket.close()

    def _send(self, outgoing: bytearray) -> None:
        """Send what the connection takes now, and remove it from ``outgoing``."""
        try:
            del outgoing[: self._socket.send(outgoing)]
        except OSError as problem:
            raise self._broken(problem) from None

    def _receive(self) -> bytes:
        try:
            data = self._socket.recv(RECEIVE_SIZE)
        except OSError as problem:
            raise self._broken(problem) from None
        if not data:
            raise ConnectionLost(f"the server at {self.name} closed the connection")
        return data

    def _broken(self, problem: OSError) -> ConnectionLost:
        return ConnectionLost(f"the connection to the server at {self.name} broke: {problem.strerror}")
