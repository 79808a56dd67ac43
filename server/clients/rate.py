"""The rate of calls, measured without a timer: from one report to the next."""

from __future__ import annotations

import threading
import time

MIN_INTERVAL = 0.1
"""Seconds between two samples, as in Redis. Reports that follow each other faster use the same earlier sample."""


class CallRate:
    """Calls per second since the previous report, or since the start. Thread-safe.

    Redis samples its counters ten times a second. Here they are in the shards of all clients, so a sample costs too
    much while nothing asks for it.
    """

    def __init__(self, now: float | None = None) -> None:
        self._lock = threading.Lock()
        start = time.monotonic() if now is None else now
        self._earlier = self._latest = (start, 0)

    def report(self, calls: int, now: float | None = None) -> int:
        """Return the rate, given the number of calls up to now. A number that was reset counts from 0."""
        now = time.monotonic() if now is None else now
        with self._lock:
            if now - self._latest[0] >= MIN_INTERVAL:
                self._earlier, self._latest = self._latest, (now, calls)
            began, before = self._earlier
        return round(max(0, calls - before) / max(now - began, MIN_INTERVAL))
