"""Worker threads: they run what may block or take long, for a thread that serves many connections."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

from server.stderr_log import RepeatedMessage

P = ParamSpec("P")
T = TypeVar("T")

IDLE_SECONDS = 10.0
"""Seconds without a call after which a thread ends, unless it is the last one."""

logger = logging.getLogger(__name__)


class WorkerPool(Executor):
    """At most ``limit`` threads, each of which is started when no other one is free. Without it, as many as are needed.

    Not `concurrent.futures.ThreadPoolExecutor`: Python waits for its threads when the process ends, without a time
    limit, and none of them ends before. Here they are daemon threads, so a stop takes no longer than the owner allows.
    """

    def __init__(self, name: str, limit: int = sys.maxsize) -> None:
        self._limit = limit
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._unfinished = 0  # calls that wait or run
        self._threads = 0
        self._is_closed = False
        self._no_thread = RepeatedMessage(logger, logging.WARNING, "no further worker thread can be started: %s")

    def start(self) -> None:
        """Start the first thread, so that no call can fail. Raises RuntimeError if the system allows no thread."""
        with self._lock:
            self._start_first_thread()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a function in one of the threads.

        Raises RuntimeError after `close`, and if there is no thread and the system allows none.
        """
        call = _Call(partial(fn, *args, **kwargs))
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the worker threads have ended")
            self._start_first_thread()
            self._unfinished += 1
            needs_thread = self._threads < min(self._unfinished, self._limit)
            self._threads += needs_thread
            self._calls.put(call)
        if needs_thread:
            try:
                self._start_thread()
            except RuntimeError as problem:  # the system allows no more: the call waits for another thread
                self._no_thread.log(problem)
                with self._lock:
                    self._threads -= 1
        return call.future

    def close(self) -> None:
        """Cancel the calls that wait, and end the threads: each that still runs a call when that is done."""
        with self._lock:
            self._is_closed = True
            while (call := self._next()) is not None:
                call.future.cancel()
            for _ in range(self._threads):
                self._calls.put(None)

    def _next(self) -> _Call | None:
        try:
            return self._calls.get_nowait()
        except Empty:
            return None

    def _start_first_thread(self) -> None:
        if not self._threads:
            self._start_thread()
            self._threads = 1

    def _start_thread(self) -> None:
        threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                call = self._calls.get(timeout=IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if self._unfinished < self._threads and self._threads > 1:
                        self._threads -= 1
                        return
                continue
            if call is None:
                return
            call.run()
            del call  # else an idle thread keeps the last result
            with self._lock:
                self._unfinished -= 1


class _Call:
    """A function and the future of its result."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self.future: Future[Any] = Future()

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self._function()
        # SystemExit too: the thread must survive, and the caller gets it.
        except BaseException as problem:
            self.future.set_exception(problem)
            del self  # its traceback refers to this frame: a reference cycle would keep the request
        else:
            self.future.set_result(result)
