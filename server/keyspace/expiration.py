"""When keys expire: each key's deadline, and which keys are due.

Deadlines are also kept by the second they fall in, so that sweeping looks at the keys that are due and at no others,
and setting, changing and removing a deadline costs the same however many there are. A heap holds the seconds in order;
those whose keys are all gone again are weeded out of it when they are the most of it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

WEEDING_SIZE = 1024
"""A heap of seconds below this size is not worth weeding."""


class Deadlines:
    """Map keys to the moment at which they expire, in milliseconds since the epoch. Guarded as the store is."""

    def __init__(self) -> None:
        self.by_key: dict[bytes, int] = {}
        """For reading alone; ``place`` and ``discard`` change it."""
        self._by_second: dict[int, set[bytes]] = {}
        self._seconds: list[int] = []  # a heap: every key of _by_second, and seconds that are gone from it

    def place(self, key: bytes, deadline: int) -> None:
        """Give the key this deadline, whatever it had before."""
        self.discard(key)
        self.by_key[key] = deadline
        second = deadline // 1000
        keys = self._by_second.get(second)
        if keys is None:
            keys = self._by_second[second] = set()
            heapq.heappush(self._seconds, second)
        keys.add(key)

    def discard(self, key: bytes) -> bool:
        """Take the key's deadline away; tell whether it had one."""
        deadline = self.by_key.pop(key, None)
        if deadline is None:
            return False
        second = deadline // 1000
        keys = self._by_second[second]
        keys.discard(key)
        if not keys:
            del self._by_second[second]
            if len(self._seconds) > WEEDING_SIZE + 2 * len(self._by_second):
                self._seconds = list(self._by_second)
                heapq.heapify(self._seconds)
        return True

    def due(self, now: int) -> Iterator[bytes]:
        """Yield the keys whose deadline has come, earliest second first. The caller removes each before the next."""
        yield from self.overdue(now)
        yield from [key for key in self._by_second.get(now // 1000, ()) if self.by_key[key] <= now]

    def overdue(self, now: int) -> Iterator[bytes]:
        """Yield the keys whose deadline came in a second that is over, as ``due`` does.

        Each takes the same time to find. Within the present second one would have to look at every key.
        """
        while self._seconds and (self._seconds[0] + 1) * 1000 <= now:
            second = self._seconds[0]
            keys = self._by_second.get(second)
            if keys is None:
                heapq.heappop(self._seconds)
            else:
                yield keys.pop()  # finding the first member instead takes longer the more are gone

    def check(self) -> None:
        """Verify that the two ways of keeping a deadline agree; raise AssertionError where they do not."""
        by_second = {(key, second) for second, keys in self._by_second.items() for key in keys}
        if by_second != {(key, deadline // 1000) for key, deadline in self.by_key.items()}:
            raise AssertionError("the deadlines and their seconds differ")
        if not set(self._by_second) <= set(self._seconds):
            raise AssertionError("a second with keys is missing from the heap")
        if not all(self._by_second.values()):
            raise AssertionError("a second without keys is kept")
