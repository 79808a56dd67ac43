"""The scheduler that serves each connection in a thread of its own, with blocking reads and writes."""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import time
from collections.abc import Callable
from math import inf
from typing import Any

from common.errors import CommandError, pushes_unavailable
from server.clients.push import PushQueue
from server.net.connection import LINGER_TIMEOUT, MAX_LINGER_BYTES, Connection
from server.net.io_thread import IOThread
from server.session.context import ServerContext
from server.session.stream import OUTPUT_SIZE, RequestStream
from server.session.timeouts import seconds_left

RECEIVE_SIZE = 64 * 1024

DONT_WAIT: int = getattr(socket, "MSG_DONTWAIT", 0)
"""A flag for a receive that raises BlockingIOError instead of waiting. Windows has none, so there it waits."""

logger = logging.getLogger(__name__)


class ThreadPerConnection:
    """Serves every connection in a thread that `socketserver` starts. See `server.net.listener.Scheduler`.

    One more thread has the timers of all connections. A timeout of each socket would cost a system call per receive.
    """

    _timers: IOThread

    def connect(self, context: ServerContext, sock: socket.socket, peer_address: Any) -> BlockingConnection:
        """Return the connection of an accepted socket. Raises `TooManyClients`."""
        return BlockingConnection(context, sock, peer_address, self._timers)

    def schedule(
        self,
        connection: BlockingConnection,
        start_thread: Callable[[Callable[[], None]], None],
        close: Callable[[], None],
    ) -> None:
        """Start the connection's thread, which closes it in the end."""
        start_thread(connection.serve)

    def start(self) -> None:
        """Start the thread with the timers. Each connection brings its own thread."""
        self._timers = IOThread("timers")
        self._timers.start()

    def stop(self) -> None:
        """Stop it. The threads of the connections end with their connections."""
        self._timers.stop()


class BlockingConnection(Connection):
    """A connection that has a thread of its own."""

    __slots__ = ("_is_executing", "_waker")

    def __init__(self, context: ServerContext, sock: socket.socket, peer_address: Any, timers: IOThread) -> None:
        self._is_executing = False
        self._waker: _Waker | None = None  # set when data may be pushed
        super().__init__(context, sock, peer_address, timers)

    @property
    def is_executing(self) -> bool:
        """Whether the client waits for the server, and not the server for the client."""
        return self._is_executing

    def _new_stream(self, context: ServerContext, resp_only: bool) -> RequestStream:
        return RequestStream(self.session, context.commit, resp_only=resp_only)

    def serve(self) -> None:
        """Serve the connection until the peer, the session or the server ends it."""
        if seconds_left(self.session) < inf:
            self.apply_timeouts()
        try:
            self._read_loop()
            if self.session.closing:
                self._linger()
        except OSError as problem:
            logger.debug("%s disconnected: %s", self.address, problem)

    def _read_loop(self) -> None:
        session, stream = self.session, self.stream
        receive, send, feed = self.socket.recv, self.socket.sendall, stream.feed
        while not self.ending:
            data = receive(RECEIVE_SIZE) if self._waker is None else self._receive_between_pushes(self._waker)
            if not data:
                return
            self._is_executing = True
            output = feed(data)
            self._is_executing = False
            while stream.pending:  # backpressure: what was produced is sent before more is
                send(output)
                output = self._feed_more()
            if output:
                send(output)
            else:
                self._client.touch()  # it has sent a part of a request
            if session.closing:
                return

    def _feed_more(self) -> bytes:
        """Return the next piece of output, after the client has taken the one before."""
        self._client.touch()
        self._is_executing = True
        output = self.stream.feed(b"")
        self._is_executing = False
        return output

    def _receive_between_pushes(self, waker: _Waker) -> bytes:
        """Return the next input, empty at its end. Send meanwhile what other threads push. Raises `OSError`."""
        while True:
            while pushed := self.stream.take_pushes(OUTPUT_SIZE):
                self.socket.sendall(pushed)
            if waker.wait():
                with contextlib.suppress(BlockingIOError):  # over TLS, a part of a record: pushes must not wait for it
                    return self.socket.recv(RECEIVE_SIZE, DONT_WAIT)

    def _linger(self) -> None:
        """Wait until the peer has taken the last reply. See `server.net.connection.LINGER_TIMEOUT`."""
        sock = self.socket
        sock.shutdown(socket.SHUT_WR)
        give_up_at = time.monotonic() + LINGER_TIMEOUT
        unread = MAX_LINGER_BYTES
        while unread > 0 and (left := give_up_at - time.monotonic()) > 0:
            sock.settimeout(left)
            data = socket.socket.recv(sock, RECEIVE_SIZE)  # over TLS, too, without decrypting it
            if not data:
                break
            unread -= len(data)

    def close(self) -> None:
        """Close the session and deregister the client. The owner closes the socket after this."""
        super().close()
        if self._waker is not None:
            self._waker.close()

    def enable_push(self) -> PushQueue:
        """Return a queue whose data is sent between replies. See `server.clients.registry.Transport`."""
        if self._waker is None:
            try:
                self._waker = _Waker(self.socket)
            except OSError as problem:  # no file descriptors are left
                raise CommandError(pushes_unavailable(problem.strerror or str(problem))) from None
        return self._new_push_queue(self._waker.wake)


class _Waker:
    """Waits for a socket's input or for a call of `wake` from another thread. Raises `OSError` when it is made."""

    def __init__(self, sock: socket.socket) -> None:
        with contextlib.ExitStack() as opened:
            self._selector = opened.enter_context(selectors.DefaultSelector())
            self._receiver, self._sender = map(opened.enter_context, socket.socketpair())
            self._receiver.setblocking(False)
            self._sender.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ, True)
            self._selector.register(self._receiver, selectors.EVENT_READ, False)
            opened.pop_all()

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
