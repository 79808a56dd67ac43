"""Timers of one thread: functions to call at a later time, in a heap.

A timer costs nothing until it is due. So a connection does not set its timer anew with every request: a timer that is
due compares the time of the last activity, and is set again for the time that is left.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable

MAX_CANCELLED = 64
"""Cancelled timers that stay in the heap until they are due. There may be more if most of the heap is not cancelled."""


class Timer:
    """A function to be called once. Made by `TimerHeap.add`."""

    __slots__ = ("_heap", "function")

    def __init__(self, heap: TimerHeap, function: Callable[[], None]) -> None:
        self._heap = heap
        self.function: Callable[[], None] | None = function
        """None if it was called or cancelled."""

    def cancel(self) -> None:
        """Do not call the function, and release it at once. Does nothing if it was called or cancelled."""
        if self.function is not None:
            self.function = None
            self._heap.remove_cancelled()


class TimerHeap:
    """Timers in the order of their times. One thread uses it, and calls `run_due` when `seconds_to_next` is over."""

    def __init__(self) -> None:
        self.entries: list[tuple[float, int, Timer]] = []
        """The heap: the time of each timer first. It has the cancelled ones that were not removed yet, too."""
        self._numbers = itertools.count()  # the order of timers of the same time
        self._cancelled = 0  # of those in the heap

    def add(self, seconds: float, function: Callable[[], None]) -> Timer:
        """Have a function called after this time. It must not raise."""
        timer = Timer(self, function)
        heapq.heappush(self.entries, (time.monotonic() + seconds, next(self._numbers), timer))
        return timer

    def seconds_to_next(self) -> float:
        """Return the seconds until the first timer is due. There must be one."""
        return max(0.0, self.entries[0][0] - time.monotonic())

    def run_due(self) -> None:
        """Call the functions whose time has come."""
        now = time.monotonic()
        while self.entries and self.entries[0][0] <= now:
            timer = heapq.heappop(self.entries)[2]
            function, timer.function = timer.function, None
            if function is None:
                self._cancelled -= 1
            else:
                function()

    def remove_cancelled(self) -> None:
        """Count one more cancelled timer. If they are most of the heap, remove them, as asyncio does."""
        self._cancelled += 1
        if self._cancelled > max(MAX_CANCELLED, len(self.entries) // 2):
            # In place, because the owner of the timers has a reference to the list.
            self.entries[:] = [entry for entry in self.entries if entry[2].function is not None]
            heapq.heapify(self.entries)
            self._cancelled = 0
