"""A thread that waits for many sockets at once: a small event loop, for connections that never wait themselves."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections import deque
from collections.abc import Callable

from server.net.poller import READABLE, new_poller
from server.net.timers import Timer, TimerHeap
from server.net.worker_pool import WorkerPool
from server.stderr_log import RepeatedMessage

SHUTDOWN_TIMEOUT = 1.0
"""Seconds to wait for an I/O thread to end."""

MAX_WAIT = 3600.0
"""Seconds of one wait, after which the next one begins. epoll_wait(2) has an upper bound of 24 days."""

WAKEUPS_SIZE = 4096
"""Bytes that are read from the socket for wake-ups at once. Each wake-up is a byte."""


_failed = RepeatedMessage(logging.getLogger(__name__), logging.ERROR, "a function that %r called failed unexpectedly")


class IOThread:
    """A thread that waits for sockets, calls and timers, and calls a function for each. None of them may wait.

    What may wait is called by `call_in_worker`. None of them should raise. If one does, that is logged, its socket is
    watched no more, and the thread goes on.

    `call` and ``len`` may be used by any thread, everything else by this thread alone.
    """

    def __init__(self, name: str) -> None:
        self._poller = new_poller()
        self._ready: dict[int, Callable[[], None]] = {}  # what to call when a socket is ready
        self._events: dict[int, int] = {}  # what each socket waits for
        self._calls: deque[Callable[[], None]] = deque()
        self._timers = TimerHeap()
        self._before_wait: list[Callable[[], None]] = []
        self._stopping = False
        self._is_woken = False
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self.watch(self._receiver.fileno(), READABLE, self._clear_wakeup)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._workers = WorkerPool(f"{name} worker")

    def __len__(self) -> int:
        """Return the number of sockets, with its own for wake-ups."""
        return len(self._ready)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def start_worker(self) -> None:
        """Start a thread for `call_in_worker` already, so that it cannot fail. Raises RuntimeError."""
        self._workers.start()

    def stop(self) -> None:
        """End the thread. Give up after `SHUTDOWN_TIMEOUT`."""
        self.call(self._stop)
        if self._thread.ident is not None:
            self._thread.join(SHUTDOWN_TIMEOUT)
        self._workers.close()

    def call(self, function: Callable[[], None]) -> None:
        """Call a function in this thread, soon. Never blocks. The function must not raise."""
        self._calls.append(function)
        # The flag is cleared before the calls are made, so either they see this one or the flag asks for a wake-up.
        if not self._is_woken and threading.get_ident() != self._thread.ident:
            self._is_woken = True
            with contextlib.suppress(OSError):  # full: a wake-up is pending already. Closed: the thread has ended
                self._sender.send(b"\0")

    def call_later(self, seconds: float, function: Callable[[], None]) -> Timer:
        """Call a function after this time, unless the timer is cancelled. It must not raise."""
        return self._timers.add(seconds, function)

    def call_before_wait(self, function: Callable[[], None]) -> None:
        """Call a function after the turns of the sockets that are ready now. It must not raise."""
        self._before_wait.append(function)

    def call_in_worker(self, function: Callable[[], None]) -> None:
        """Call a function that may wait or take long in another thread. It must not raise.

        If the system allows no further thread, the call waits until one of those of `start_worker` and of earlier calls
        has nothing else to do. Raises RuntimeError if there is none.
        """
        self._workers.submit(function)

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
        poll, find, calls, timers = self._poller.poll, self._ready.get, self._calls, self._timers.entries
        while not self._stopping:
            for fd, _ in poll(self._seconds_to_timer()):
                ready = find(fd)  # None: an earlier turn has closed it
                if ready is not None:
                    try:  # not `_run_or_log`: each request would cost a call more
                        ready()
                    except Exception as problem:
                        self._log_failure(problem)
                        self._unwatch_failed(fd)
            for _ in range(len(calls)):  # not those that they add
                self._run_or_log(calls.popleft())
            if timers:
                self._run_or_log(self._timers.run_due)  # after a failure, the other timers are due in the next turn
            while self._before_wait:
                self._run_or_log(self._before_wait.pop())
        self._poller.close()
        self._receiver.close()
        self._sender.close()

    def _run_or_log(self, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception as problem:
            self._log_failure(problem)

    def _log_failure(self, problem: Exception) -> None:
        _failed.log(self._thread.name, exc_info=problem)

    def _unwatch_failed(self, fd: int) -> None:
        """Wait no more for a socket whose function has failed. It would be called again at once."""
        with contextlib.suppress(OSError, ValueError, KeyError):  # it is closed
            self.unwatch(fd)

    def _seconds_to_timer(self) -> float | None:
        if self._calls:
            return 0.0
        return min(MAX_WAIT, self._timers.seconds_to_next()) if self._timers.entries else None

    def _clear_wakeup(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._receiver.recv(WAKEUPS_SIZE)
        self._is_woken = False

    def _stop(self) -> None:
        self._stopping = True
