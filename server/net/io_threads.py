"""The scheduler that serves all connections in a few threads, each of which waits for many sockets at once.

    accept thread -> IOThreads.schedule -> IOThread: poll, then one turn of each connection that is ready

A turn is one read of bounded size, the execution of what it completes, and one write, none of which waits. Output that
the peer does not take is kept, and no input is read until it is sent (backpressure). A request that may take long is
executed in a thread of its own, and the connection comes back with the output. So no connection delays another one for
more than a few milliseconds.

An `IOThread` is all that other threads see: `IOThread.call` is the only method that they use.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import Any

from server.clients.push import PushQueue
from server.net.connection import LINGER_TIMEOUT, MAX_LINGER_BYTES, Connection
from server.net.poller import READABLE, WRITABLE, new_poller
from server.session.context import ServerContext
from server.stderr_log import RepeatedMessage

TURN_SIZE = 16 * 1024
"""Bytes that one turn reads, as in Redis 7 (``PROTO_IOBUF_LEN``)."""

SHUTDOWN_TIMEOUT = 1.0
"""Seconds to wait for an I/O thread to end."""

logger = logging.getLogger(__name__)

_no_thread = RepeatedMessage(logger, logging.WARNING, "long requests delay other clients at present: %s")


class IOThread:
    """A thread that waits for sockets, calls and timers, and calls a function for each. None of them may wait.

    `call` may be used by any thread, everything else by this thread alone.
    """

    def __init__(self, name: str) -> None:
        self._poller = new_poller()
        self._ready: dict[int, Callable[[], None]] = {}  # what to call when a socket is ready
        self._events: dict[int, int] = {}  # what each socket waits for
        self._calls: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []  # a heap
        self._timer_number = itertools.count()  # the order of timers of the same time
        self._stopping = False
        self._is_woken = False
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self.watch(self._receiver.fileno(), READABLE, self._clear_wakeup)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __len__(self) -> int:
        """Return the number of sockets, one too many."""
        return len(self._ready)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread. Give up after `SHUTDOWN_TIMEOUT`."""
        self.call(self._stop)
        if self._thread.ident is not None:
            self._thread.join(SHUTDOWN_TIMEOUT)

    def call(self, function: Callable[[], None]) -> None:
        """Call a function in this thread, soon. Never blocks. The function must not raise."""
        self._calls.append(function)
        # The flag is cleared before the calls are made, so either they see this one or the flag asks for a wake-up.
        if not self._is_woken and threading.get_ident() != self._thread.ident:
            self._is_woken = True
            with contextlib.suppress(OSError):  # full: a wake-up is pending already. Closed: the thread has ended
                self._sender.send(b"\0")

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """Call a function after this time. It must not raise."""
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._timer_number), function))

    def watch(self, fd: int, events: int, function: Callable[[], None]) -> None:
        """Call a function whenever the socket is ready, in place of the function so far. It must not raise."""
        self._ready[fd] = function
        known = self._events.get(fd)
        if known == events:
            return
        self._events[fd] = events
        if known is None:
            self._poller.register(fd, events)
        else:
            self._poller.modify(fd, events)

    def unwatch(self, fd: int) -> None:
        """Wait for the socket no more. Call this before the socket is closed. May be called twice."""
        if self._ready.pop(fd, None) is not None:
            del self._events[fd]
            self._poller.unregister(fd)

    # ---------------------------------------------------------------- the thread

    def _run(self) -> None:
        poll, find, calls = self._poller.poll, self._ready.get, self._calls
        while not self._stopping:
            for fd, _ in poll(self._seconds_to_timer()):
                ready = find(fd)  # None: an earlier turn has closed it
                if ready is not None:
                    ready()
            for _ in range(len(calls)):  # not those that they add
                calls.popleft()()
            if self._timers:
                self._run_timers()
        self._poller.close()
        self._receiver.close()
        self._sender.close()

    def _seconds_to_timer(self) -> float | None:
        if self._calls:
            return 0.0
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    def _clear_wakeup(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._receiver.recv(TURN_SIZE)
        self._is_woken = False

    def _stop(self) -> None:
        self._stopping = True


class IOThreads:
    """Serves connections by ``count`` threads. See `server.net.listener.Scheduler`."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._threads: list[IOThread] = []

    def connect(self, context: ServerContext, sock: socket.socket, peer_address: Any) -> NonblockingConnection:
        """Return the connection of an accepted socket. Raises `TooManyClients`."""
        return NonblockingConnection(context, sock, peer_address, min(self._threads, key=len))

    def schedule(
        self,
        connection: NonblockingConnection,
        start_thread: Callable[[Callable[[], None]], None],
        close: Callable[[], None],
    ) -> None:
        """Pass a connection to its I/O thread."""
        connection.begin(close)

    def start(self) -> None:
        """Start the threads."""
        for number in range(self._count):
            thread = IOThread(f"I/O {number}")
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop the threads."""
        for thread in self._threads:
            thread.stop()


class State(Enum):
    """What a connection does between two turns."""

    READING = auto()
    """It waits for input."""

    WRITING = auto()
    """It waits until the peer takes more output."""

    EXECUTING = auto()
    """A request that may take long is executed in a thread of its own."""

    LINGERING = auto()
    """It waits until the peer has taken the last reply. See `server.net.connection.LINGER_TIMEOUT`."""

    CLOSED = auto()


class NonblockingConnection(Connection):
    """A connection that an I/O thread serves. Only this thread uses it, but for what other threads may call."""

    __slots__ = ("_close", "_fd", "_feed", "_io", "_may_push", "_receive", "_send", "_state", "_unread", "_unsent")

    def __init__(self, context: ServerContext, sock: socket.socket, peer_address: Any, io_thread: IOThread) -> None:
        sock.setblocking(False)
        self._io = io_thread
        self._fd = sock.fileno()
        self._receive, self._send = sock.recv, sock.send
        self._state = State.READING
        self._unsent: bytes | memoryview = b""
        self._unread = MAX_LINGER_BYTES
        self._may_push = False
        self._close: Callable[[], None]
        super().__init__(context, sock, peer_address, defers_long_requests=True)
        self._feed = self.stream.feed

    def begin(self, close: Callable[[], None]) -> None:
        """Begin to serve the connection. ``close`` is called in the end, by the I/O thread."""
        self._close = close
        self._io.call(self._wait_for_input)

    # ---------------------------------------------------------------- called by the session

    def enable_push(self) -> PushQueue:
        """Return a queue whose data is sent between replies. See `server.clients.registry.Transport`."""
        self._may_push = True
        return PushQueue(partial(self._io.call, self._push), self.kill)

    # ---------------------------------------------------------------- turns

    def _read(self) -> None:
        """Read, execute, write: the usual turn."""
        try:
            data = self._receive(TURN_SIZE)
            if not data or self.ending:
                self._end()
                return
            output = self._feed(data)
            if self.stream.pending or self.session.closing:
                self._proceed(output)
            elif output:
                sent = self._try_send(output)
                if sent != len(output):
                    self._proceed(memoryview(output)[sent:])
        except BlockingIOError:  # the kernel may report a socket that is not ready: select(2)
            pass
        except Exception as problem:
            self._fail(problem)

    def _write(self) -> None:
        """Go on with output that the peer did not take, or produce more of it."""
        try:
            self._proceed(self._unsent or self._feed(b""))
        except Exception as problem:
            self._fail(problem)

    def _proceed(self, output: bytes | memoryview) -> None:
        """Send what the peer takes at once. Then wait for what comes next. Raises `OSError`."""
        stream = self.stream
        while True:
            sent = self._try_send(output)
            if sent != len(output):
                self._unsent = memoryview(output)[sent:]
                self._wait_until_writable()
                return
            if not self._may_push or stream.pending:
                break
            output = stream.take_pushes()
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
            return self._send(output)
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
        """Execute the next request in a thread of its own. The socket is not watched meanwhile."""
        self._state = State.EXECUTING
        self._io.unwatch(self._fd)
        try:
            threading.Thread(target=self._execute, name=f"long request of {self.address}", daemon=True).start()
        except RuntimeError as problem:  # too many threads
            _no_thread.log(problem)
            self._execute()

    def _execute(self) -> None:
        try:
            self._unsent = self._feed(b"")
        except Exception as problem:
            self._io.call(partial(self._fail, problem))
        else:
            self._io.call(self._return)

    def _return(self) -> None:
        """Go on in the I/O thread with the output of a long request."""
        try:
            self._proceed(self._unsent)
        except Exception as problem:
            self._fail(problem)

    # ---------------------------------------------------------------- pushes

    def _push(self) -> None:
        """Send what other threads have pushed, unless output is unsent: then it follows that."""
        if self._state is not State.READING:
            return
        try:
            self._proceed(self.stream.take_pushes())
        except Exception as problem:
            self._fail(problem)

    # ---------------------------------------------------------------- the end

    def _linger(self) -> None:
        self._state = State.LINGERING
        self.socket.shutdown(socket.SHUT_WR)
        self._io.watch(self._fd, READABLE, self._discard_input)
        self._io.call_later(LINGER_TIMEOUT, self._end)

    def _discard_input(self) -> None:
        try:
            data = self._receive(TURN_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._unread -= len(data)
        if not data or self._unread <= 0:
            self._end()

    def _fail(self, problem: Exception) -> None:
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
