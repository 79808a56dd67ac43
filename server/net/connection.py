"""One TCP connection: its socket, its stream of requests, and what other threads may do to it.

    socket -> RequestStream.feed -> socket
    PushQueue: data that is not a reply (MONITOR) -> send_pushes_until_input() -> socket

Everything that a connection sends is sent by the thread that serves it. Other threads only put data into its push queue
or shut its socket down. So the order of the output is the order in which the session produced it.

A connection does not know what drives it. `server.net.threads` serves it in a thread of its own.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import time
from typing import Any

from server.clients.push import PushQueue
from server.net.addresses import format_address
from server.session.context import ServerContext
from server.session.session import Session
from server.session.stream import RequestStream

RECEIVE_SIZE = 64 * 1024

LINGER_TIMEOUT = 1.0
MAX_LINGER_BYTES = 1024 * 1024
"""Seconds and unread bytes to wait for the peer to take the last reply before the socket is closed."""

logger = logging.getLogger(__name__)


class Connection:
    """A connection and its session. Raises `TooManyClients` when it is created beyond the limit."""

    def __init__(self, context: ServerContext, sock: socket.socket, peer_address: Any) -> None:
        self.address = format_address(peer_address)
        self.ending = False
        """No more input is read: the connection was killed, or the server stops."""
        self.may_push = False
        """Data that is not a reply may be waiting: call `send_pushes_until_input` before each read."""
        self.socket = sock
        self._clients = context.clients
        self._waker: _Waker | None = None
        with contextlib.suppress(OSError):  # the peer has closed it already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Registered last, because other threads can reach the connection from then on.
        self._client = context.clients.add(self.address, format_address(sock.getsockname()), self)
        self.session = Session(context, self._client)
        self.stream = RequestStream(self.session, context.commit)

    def send_pushes_until_input(self) -> None:
        """Wait for input, or for its end. Send meanwhile what other threads push. Raises `OSError`."""
        assert self._waker is not None, "pushes are enabled"
        has_input = False
        while not has_input:
            pushed = self.stream.take_pushes()
            if pushed:
                self.socket.sendall(pushed)
            has_input = self._waker.wait()

    def linger(self) -> None:
        """Close the sending direction, then read what the peer still sends until it closes its own.

        Closing a socket with unread input resets the connection, and the peer could lose the last reply.
        """
        sock = self.socket
        sock.shutdown(socket.SHUT_WR)
        give_up_at = time.monotonic() + LINGER_TIMEOUT
        unread = MAX_LINGER_BYTES
        while unread > 0 and (left := give_up_at - time.monotonic()) > 0:
            sock.settimeout(left)
            data = sock.recv(RECEIVE_SIZE)
            if not data:
                break
            unread -= len(data)

    def close(self) -> None:
        """Close the session and deregister the client. The owner closes the socket after this."""
        self.stream.close()
        self._clients.remove(self._client)
        self._client.transport = None  # a reference cycle would keep the buffers until the garbage collector runs
        if self._waker is not None:
            self._waker.close()

    # ---------------------------------------------------------------- called by the session

    def enable_push(self) -> PushQueue:
        """Return a queue whose data is sent between replies. See `server.clients.registry.Transport`."""
        if self._waker is None:
            self._waker = _Waker(self.socket)
            self.may_push = True
        return PushQueue(self._waker.wake, self.kill)

    # ---------------------------------------------------------------- called by other threads

    def kill(self) -> None:
        """Close the connection, whatever input is unread."""
        self.ending = True
        self._shut_down(socket.SHUT_RDWR)

    def finish(self) -> None:
        """Read no more input. The request that is being executed is finished and replied to."""
        self.ending = True
        self._shut_down(socket.SHUT_RD)

    def _shut_down(self, how: int) -> None:
        with contextlib.suppress(OSError):  # the peer closed it first
            self.socket.shutdown(how)


class _Waker:
    """Waits for a socket's input or for a call of `wake` from another thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(sock, selectors.EVENT_READ, True)
        self._selector.register(self._receiver, selectors.EVENT_READ, False)

    def wake(self) -> None:
        """Make `wait` return. Never blocks."""
        with contextlib.suppress(OSError):  # full: a wake-up is pending already. Closed: no thread waits
            self._sender.send(b"\0")

    def wait(self) -> bool:
        """Wait, and return whether the socket has input."""
        has_input = False
        for key, _ in self._selector.select():
            has_input |= key.data
            if not key.data:
                with contextlib.suppress(BlockingIOError):
                    self._receiver.recv(RECEIVE_SIZE)
        return has_input

    def close(self) -> None:
        self._selector.close()
        self._receiver.close()
        self._sender.close()
