"""The keys in the order of their creation, to be visited in slices while clients create and remove keys.

A dict can only be iterated from its beginning, and not at all while its size changes. A copy of its keys takes 15 to 75
ms for a million of them, during which no client is served. So the log keeps a queue: a new key is added at its end, and
a removed one stays in it and is counted as stale. A visit takes keys from the front, skips the stale ones, and builds
the queue of the next visit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

MIN_STALE_KEYS = 100_000
"""Fewer removed keys than these do not make a visit necessary."""


class KeyOrder:
    """The keys of a store, oldest first. Guarded as the store is. It takes 8 bytes per key."""

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        self._keys = deque(keys)  # those that are not visited yet, then those created since the visit began
        self._visited: deque[bytes] = deque()
        self._to_visit = 0
        self._stale: dict[bytes, int] = {}  # how often a removed key is still in one of the queues
        self._stale_total = 0
        self.is_visiting = False

    def __len__(self) -> int:
        return len(self._keys) + len(self._visited) - self._stale_total

    @property
    def needs_visit(self) -> bool:
        """Whether so many removed keys are left that their memory matters."""
        return self._stale_total > max(MIN_STALE_KEYS, len(self) // 4)

    def created(self, *keys: bytes) -> None:
        """Add keys that did not exist."""
        self._keys += keys

    def removed(self, key: bytes) -> None:
        """Note that a key does not exist any more."""
        self._stale[key] = self._stale.get(key, 0) + 1
        self._stale_total += 1

    def cleared(self) -> tuple[deque[bytes], deque[bytes]]:
        """Note that no key exists any more. Return the old queues, to be freed outside the lock."""
        old = (self._keys, self._visited)
        self._keys, self._visited, self._stale = deque(), deque(), {}
        self._stale_total = self._to_visit = 0
        return old

    def begin_visit(self) -> None:
        """Begin to visit the keys that exist now. A visit that is not complete is abandoned."""
        if self._visited:
            self._visited.extend(self._keys)
            self._keys, self._visited = self._visited, deque()
        self._to_visit = len(self._keys)
        self.is_visiting = True

    def visit(self, count: int) -> list[bytes]:
        """Take up to ``count`` keys, and return those that exist. ``is_visiting`` becomes false at the end."""
        found: list[bytes] = []
        for _ in range(min(count, self._to_visit)):
            key = self._keys.popleft()
            if self._is_stale(key):
                continue
            self._visited.append(key)
            found.append(key)
        if self._to_visit:
            self._to_visit -= min(count, self._to_visit)
        elif len(self._keys) > count:
            # Keys that were created during the visit are moved in slices too, and not returned.
            for _ in range(count):
                self._visited.append(self._keys.popleft())
        else:
            self._visited.extend(self._keys)
            self._keys, self._visited = self._visited, deque()
            self.is_visiting = False
        return found

    def _is_stale(self, key: bytes) -> bool:
        """Return whether this place of a key in the queue is not its last one, and count it as visited."""
        times = self._stale.get(key)
        if times is None:
            return False
        if times == 1:
            del self._stale[key]
        else:
            self._stale[key] = times - 1
        self._stale_total -= 1
        return True
