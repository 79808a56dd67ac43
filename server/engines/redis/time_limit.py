"""How long a request may still take, known to everything that waits on its behalf.

A request on a backing server waits in up to three places: for a pooled connection, for a new one to be made, and for
the reply. Each looks here for what is left, so that together they take no longer than one limit. Of a thread at a time
one request runs, so the limit belongs to the thread.
"""

from __future__ import annotations

import threading
import time

SHORTEST = 0.001
"""Seconds that a wait gets where none are left: zero would mean "do not wait" to a socket, which is no time-out."""

LONGEST = 3600.0
"""Seconds that a wait gets where there is no limit."""


class _Limit(threading.local):
    ends = float("inf")  # on the monotonic clock


_limit = _Limit()


class within:  # noqa: N801 - it reads as a with statement's function, and is a class because that takes half the time
    """Limit all that this thread waits for inside. A limit that is there already and ends earlier stays.

    Hold no ``yield`` inside: who runs the generator is limited meanwhile.
    """

    __slots__ = ("_before", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._before = _limit.ends
        _limit.ends = min(self._before, time.monotonic() + self._seconds)

    def __exit__(self, *_: object) -> None:
        _limit.ends = self._before


def seconds_left() -> float:
    """Return how long this thread may wait now."""
    return min(max(_limit.ends - time.monotonic(), SHORTEST), LONGEST)
