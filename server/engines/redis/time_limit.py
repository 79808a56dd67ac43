"""How long a request may still take: one deadline per thread, read by everything that waits for the backing server.

A request waits in up to three places: for a pooled connection, for a new connection to open, and for the reply. Each
of them asks `seconds_left`, so that all waits together take no longer than one limit. A thread runs one request at a
time, so the deadline belongs to the thread.
"""

from __future__ import annotations

import threading
import time

MIN_TIMEOUT = 0.001
"""Seconds that a wait gets when no time is left. Zero would make a socket non-blocking instead of limiting it."""

MAX_TIMEOUT = 3600.0
"""Seconds that a wait gets outside any `time_limit`. Finite, because locks and sockets refuse very large timeouts."""


class _Deadline(threading.local):
    at = float("inf")  # on the monotonic clock; the default of each new thread


_deadline = _Deadline()


class time_limit:  # noqa: N801 - used like a function; a class takes half the time of a generator context manager
    """Limit the waits of this thread inside the ``with`` block to ``seconds`` in total.

    Limits nest: an outer limit that ends earlier stays in force. Do not ``yield`` inside the block, because the limit
    would apply to the code that runs the generator.
    """

    __slots__ = ("_outer", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._outer = _deadline.at  # so one object serves one block at a time
        _deadline.at = min(self._outer, time.monotonic() + self._seconds)

    def __exit__(self, *_: object) -> None:
        _deadline.at = self._outer


def seconds_left() -> float:
    """Return the seconds that this thread may wait now, from `MIN_TIMEOUT` to `MAX_TIMEOUT`."""
    return min(max(_deadline.at - time.monotonic(), MIN_TIMEOUT), MAX_TIMEOUT)
