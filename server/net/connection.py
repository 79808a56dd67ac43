"""One TCP connection: its socket, its stream of requests, and what other threads may do to it.

    socket -> RequestStream.feed -> socket
    PushQueue: data that is not a reply (MONITOR, publish/subscribe) -> the thread that serves the connection -> socket

Everything that a connection sends is sent by the thread that serves it. Other threads only put data into its push queue
or shut its socket down. So the order of the output is the order in which the session produced it.

What serves a connection is a subclass: a thread of its own (`server.net.threads`) or a thread that serves many
connections (`server.net.nonblocking`).
"""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any

from server.clients.push import PushQueue
from server.clients.stats import CommandStats
from server.net.addresses import format_address, is_path, port_of
from server.net.io_thread import IOThread
from server.net.keepalive import enable_keepalive
from server.net.timers import Timer
from server.session.context import ServerContext
from server.session.session import Session
from server.session.stream import RequestStream
from server.session.timeouts import seconds_left

LINGER_TIMEOUT = 1.0
MAX_LINGER_BYTES = 1024 * 1024
"""Seconds and unread bytes to wait for the peer to take the last reply before the socket is closed.

Closing a socket with unread input resets the connection, and the peer could lose the last reply. So the sending
direction is closed first, and then what the peer still sends is read until it closes its own.
"""

logger = logging.getLogger(__name__)


class Connection(ABC):
    """A connection and its session. Raises `TooManyClients` when it is created beyond the limit.

    ``io_thread`` has the timer of the connection, whatever thread serves it. ``stats`` is as for `Session`.
    """

    __slots__ = (
        "_client",
        "_clients",
        "_io",
        "_push_limit",
        "_timer",
        "address",
        "ending",
        "session",
        "socket",
        "stream",
    )

    def __init__(
        self,
        context: ServerContext,
        sock: socket.socket,
        peer_address: Any,
        io_thread: IOThread,
        stats: CommandStats | None = None,
    ) -> None:
        self._io = io_thread
        self._timer: Timer | None = None
        self.address = format_address(peer_address)
        self.ending = False
        """No more input is read: the connection was killed, or the server stops."""
        self.socket = sock
        self._clients = context.clients
        self._push_limit = context.push_limit
        with contextlib.suppress(OSError):  # the peer has closed it already, or it is a Unix socket
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # telnet sends the second byte of a Synch as urgent data. Otherwise the first one would be received alone.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
            if context.settings.tcp_keepalive:
                enable_keepalive(sock, context.settings.tcp_keepalive)
        local_address = sock.getsockname()
        # Interned, because most connections have the same local address.
        self._client = context.clients.add(self.address, sys.intern(format_address(local_address)))
        self._client.fd = sock.fileno()
        self._client.has_unix_socket = is_path(local_address)
        self.session = Session(context, self._client, stats=stats)
        self.stream = self._new_stream(context, port_of(local_address) == context.settings.resp_port)
        # Last, because other threads can reach the connection from now on, by CLIENT KILL and CONFIG SET timeout.
        self._client.transport = self

    @abstractmethod
    def _new_stream(self, context: ServerContext, resp_only: bool) -> RequestStream:
        """Return the stream of the session."""

    def close(self) -> None:
        """Close the session and deregister the client. The owner closes the socket after this."""
        self.stream.close()
        self._clients.remove(self._client)
        self._client.transport = None  # a reference cycle would keep the buffers until the garbage collector runs
        if self._timer is not None:
            self._io.call(self._timer.cancel)

    # ---------------------------------------------------------------- called by the session

    @abstractmethod
    def enable_push(self) -> PushQueue:
        """Return a queue whose data is sent between replies. See `server.clients.registry.Transport`."""

    def _new_push_queue(self, wake: Callable[[], None]) -> PushQueue:
        return PushQueue(wake, partial(self._clients.close_slow_reader, self._client), self._push_limit)

    # ---------------------------------------------------------------- called by other threads

    def redirect_queue(self) -> PushQueue | None:
        """Return the queue for invalidations that other clients redirect here. See `Transport`."""
        return None

    def kill(self) -> None:
        """Close the connection, whatever input is unread."""
        self.ending = True
        self._shut_down(socket.SHUT_RDWR)

    def apply_timeouts(self) -> None:
        """Take notice of timeouts that were changed, or of the first ones. See `server.clients.registry.Transport`."""
        self._io.call(self._restart_timer)

    def finish(self) -> None:
        """Read no more input. The request that is being executed is finished and replied to."""
        self.ending = True
        self._shut_down(socket.SHUT_RD)

    def _shut_down(self, how: int) -> None:
        with contextlib.suppress(OSError):  # the peer closed it first
            self.socket.shutdown(how)

    # ---------------------------------------------------------------- timeouts, in the I/O thread

    @property
    @abstractmethod
    def is_executing(self) -> bool:
        """Whether the client waits for the server, and not the server for the client."""

    def _restart_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._check_timeouts()

    def _check_timeouts(self) -> None:
        """Close the connection if its client has been silent for too long. Otherwise look again when it may have been.

        So a request does not set the timer anew.
        """
        if self._client.transport is None:  # it was closed
            return
        if self.is_executing:
            self._client.touch()
        left = seconds_left(self.session)
        if left <= 0:
            logger.debug("client %d from %s timed out", self._client.id, self.address)
            self.kill()
        elif left < inf:
            self._timer = self._io.call_later(left, self._check_timeouts)
