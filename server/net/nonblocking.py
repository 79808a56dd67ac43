"""A connection that an I/O thread serves by turns, none of which waits.

A turn is one read of bounded size, the execution of what it completes, and one write. Output that the peer does not
take is kept, and no input is read until it is sent (backpressure). A request that may take long is executed in a worker
thread, and the connection comes back with the output. So no connection delays another one for more than a few
milliseconds.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import Any

from server.clients.push import PushQueue
from server.clients.stats import CommandStats
from server.net.connection import Connection
from server.net.io_thread import IOThread
from server.net.lingering import Lingering
from server.net.poller import READABLE, WRITABLE
from server.session.context import ServerContext
from server.session.stream import OUTPUT_SIZE, RequestStream

TURN_SIZE = 16 * 1024
"""Bytes that one turn reads, as in Redis 7 (``PROTO_IOBUF_LEN``)."""

logger = logging.getLogger(__name__)


class State(Enum):
    """What a connection does between two turns."""

    READING = auto()
    """It waits for input."""

    WRITING = auto()
    """It waits until the peer takes more output."""

    EXECUTING = auto()
    """A request that may take long is executed in a worker thread."""

    COMMITTING = auto()
    """Its output waits for the commit at the end of the turns of all connections."""

    LINGERING = auto()
    """It waits until the peer has taken the last reply. See `server.net.connection.LINGER_TIMEOUT`."""

    CLOSED = auto()


class NonblockingConnection(Connection):
    """A connection that an I/O thread serves. Only this thread uses it, but for what other threads may call.

    ``stats`` is the shard of this thread.
    """

    __slots__ = ("_close", "_fd", "_may_push", "_redirected", "_state", "_unsent")

    def __init__(
        self,
        context: ServerContext,
        sock: socket.socket,
        peer_address: Any,
        io_thread: IOThread,
        stats: CommandStats,
    ) -> None:
        sock.setblocking(False)
        self._fd = sock.fileno()
        self._state = State.READING
        self._unsent: bytes | memoryview = b""
        self._may_push = False
        self._redirected: PushQueue | None = None
        self._close: Callable[[], None]
        super().__init__(context, sock, peer_address, io_thread, stats)

    def _new_stream(self, context: ServerContext, resp_only: bool) -> RequestStream:
        # Without the commit barrier: with a log, the connection is a `server.net.committing.CommittingConnection`.
        return RequestStream(self.session, defers_long_requests=True, resp_only=resp_only)

    def begin(self, close: Callable[[], None]) -> None:
        """Begin to serve the connection. ``close`` is called in the end, by the I/O thread."""
        self._close = close
        self._io.call(self._begin)

    def _begin(self) -> None:
        self._wait_for_input()
        self._restart_timer()
        # The end of a TLS handshake may have brought the first request, which the poller does not report any more.
        self._read()

    @property
    def is_executing(self) -> bool:
        """Whether the client waits for the server, and not the server for the client."""
        return self._state in (State.EXECUTING, State.COMMITTING)

    # ---------------------------------------------------------------- called by the session

    def enable_push(self) -> PushQueue:
        """Return a queue whose data is sent between replies. See `server.clients.registry.Transport`."""
        self._may_push = True
        return self._new_push_queue(partial(self._io.call, self._push))

    def redirect_queue(self) -> PushQueue:
        """Return the queue for invalidations that other clients redirect here. See `Transport`."""
        if self._redirected is None:
            self._redirected = self.enable_push()
        return self._redirected

    # ---------------------------------------------------------------- turns

    def _read(self) -> None:
        """Read, execute, write: the usual turn."""
        try:
            data = self.socket.recv(TURN_SIZE)
            if not data or self.ending:
                self._end()
                return
            stream = self.stream
            output = stream.feed(data)
            if not output or stream.pending or self.session.closing:
                self._proceed(output)
                return
            try:
                sent = self.socket.send(output)  # the usual case, with fewer steps
            except BlockingIOError:
                sent = 0
            if sent != len(output):
                self._proceed(memoryview(output)[sent:])
        except BlockingIOError:  # the kernel may report a socket that is not ready: select(2)
            pass
        except Exception as problem:
            self.fail(problem)

    def _write(self) -> None:
        """Go on with output that the peer did not take, or produce more of it."""
        try:
            if self._unsent:
                self._proceed(self._unsent)
            else:
                self._deliver(self.stream.feed(b""))
        except Exception as problem:
            self.fail(problem)

    def _deliver(self, output: bytes) -> None:
        """Send what the stream has produced. `server.net.committing` sends it after a commit."""
        self._proceed(output)

    def _proceed(self, output: bytes | memoryview) -> None:
        """Send what the peer takes at once. Then wait for what comes next. Raises `OSError`."""
        self._client.touch()  # the peer has sent a part of a request, or has taken output that had to wait
        stream = self.stream
        while True:
            sent = self._try_send(output)
            if sent != len(output):
                self._unsent = memoryview(output)[sent:]
                self._wait_until_writable()
                return
            if not self._may_push or stream.pending:
                break
            output = self._take_pushes()
            if not output:
                break
        self._unsent = b""
        if stream.deferred:
            self._defer()
        elif stream.pending:  # other connections have their turns first
            self._wait_until_writable()
        elif self.session.closing:
            self._linger()
        else:
            self._wait_for_input()

    def _try_send(self, output: bytes | memoryview) -> int:
        """Send what the peer takes at once. Return its size. Raises `OSError`."""
        if not output:
            return 0
        try:
            return self.socket.send(output)
        except BlockingIOError:
            return 0

    def _wait_for_input(self) -> None:
        self._state = State.READING
        self._io.watch(self._fd, READABLE, self._read)

    def _wait_until_writable(self) -> None:
        self._state = State.WRITING
        self._io.watch(self._fd, WRITABLE, self._write)

    # ---------------------------------------------------------------- requests that may take long

    def _defer(self) -> None:
        """Execute the next request in a worker thread. The socket is not watched meanwhile."""
        self._state = State.EXECUTING
        self._io.unwatch(self._fd)
        self._io.call_in_worker(self._execute)

    def _execute(self) -> None:
        try:
            self._unsent = self._execute_deferred()
        except Exception as problem:
            self._io.call(partial(self.fail, problem))
        else:
            self._io.call(self._return)

    def _execute_deferred(self) -> bytes:
        return self.stream.feed(b"")

    def _return(self) -> None:
        """Go on in the I/O thread with the output of a long request."""
        try:
            self._proceed(self._unsent)
        except Exception as problem:
            self.fail(problem)

    # ---------------------------------------------------------------- pushes

    def _push(self) -> None:
        """Send what other threads have pushed, unless output is unsent: then it follows that."""
        if self._state is not State.READING:
            return
        try:
            self._proceed(self._take_pushes())
        except Exception as problem:
            self.fail(problem)

    def _take_pushes(self) -> bytes:
        pushes = self.stream.take_pushes(OUTPUT_SIZE)
        if not pushes and self._redirected is not None:
            pushes = b"".join(self._redirected.take(OUTPUT_SIZE))
        return pushes

    # ---------------------------------------------------------------- the end

    def _linger(self) -> None:
        self._state = State.LINGERING
        Lingering(self._io, self.socket, self._end)

    def fail(self, problem: Exception) -> None:
        """Close the connection, and log why."""
        if isinstance(problem, OSError):
            logger.debug("%s disconnected: %s", self.address, problem)
        else:
            logger.error("the connection from %s failed", self.address, exc_info=problem)
        self._end()

    def _end(self) -> None:
        if self._state is not State.CLOSED:
            self._state = State.CLOSED
            self._unsent = b""
            self._io.unwatch(self._fd)
            self._close()
