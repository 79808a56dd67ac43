"""When a slice of work under the keyspace lock ends: of the active expire cycle, and of eviction."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns


def stop_after(nanoseconds: int) -> Callable[[], bool]:
    """Return a function that returns true after this time."""
    end = perf_counter_ns() + nanoseconds
    return lambda: perf_counter_ns() > end
