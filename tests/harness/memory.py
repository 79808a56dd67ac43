"""Count allocated bytes. Unlike the resident size of a process, they do not depend on the allocator or on the load."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager


class TracedMemory:
    """The bytes that were allocated since the trace began. The numbers stay after its end."""

    def __init__(self) -> None:
        self._final: tuple[int, int] | None = None

    @property
    def in_use(self) -> int:
        """The bytes that are not freed."""
        return self._numbers()[0]

    @property
    def peak(self) -> int:
        """The maximum of `in_use` so far."""
        return self._numbers()[1]

    def end(self) -> None:
        self._final = self._numbers()

    def _numbers(self) -> tuple[int, int]:
        return tracemalloc.get_traced_memory() if self._final is None else self._final


@contextmanager
def traced_memory() -> Iterator[TracedMemory]:
    """Trace the allocations of this process."""
    memory = TracedMemory()
    tracemalloc.start()
    try:
        yield memory
        memory.end()
    finally:
        tracemalloc.stop()
