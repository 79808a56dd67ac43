"""When keys expire: each key's expiry, and the keys that have expired.

    key -> expires_at                      to look an expiry up
    second -> keys that expire in it       to find expired keys without looking at any others
    heap of seconds                        to find the earliest one

Setting, changing and removing an expiry takes the same time however many there are. Seconds whose keys are all removed
stay in the heap until they are most of it. Few keys of a second are a tuple, because a set takes 216 bytes for one key,
and 70 bytes per key for some tens of them.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

PURGE_SIZE = 1024
"""A heap of fewer seconds is not purged."""

TUPLE_SIZE = 64
"""Keys of a second up to which they are a tuple, which is copied for each change, in at most about 0.5 µs."""


class ExpirationIndex:
    """Maps keys to the time at which they expire, in milliseconds since the epoch. Guarded as the store is."""

    def __init__(self) -> None:
        self.by_key: dict[bytes, int] = {}
        """Read-only for others. It is public because the store looks a key up in it for every read."""
        self._by_second: dict[int, tuple[bytes, ...] | set[bytes]] = {}
        self._seconds: list[int] = []  # a heap: every key of _by_second, and some that were removed from it

    def set(self, key: bytes, expires_at: int) -> None:
        """Set the expiry of a key, whatever it was before."""
        self.remove(key)
        self.by_key[key] = expires_at
        second = expires_at // 1000
        keys = self._by_second.get(second)
        if keys is None:
            self._by_second[second] = (key,)
            heapq.heappush(self._seconds, second)
        elif isinstance(keys, set):
            keys.add(key)
        elif len(keys) < TUPLE_SIZE:
            self._by_second[second] = (*keys, key)
        else:
            keys = self._by_second[second] = set(keys)
            keys.add(key)

    def remove(self, key: bytes) -> bool:
        """Remove the expiry of a key. Return whether it had one."""
        expires_at = self.by_key.pop(key, None)
        if expires_at is None:
            return False
        second = expires_at // 1000
        keys = self._by_second[second]
        if isinstance(keys, set):
            keys.discard(key)
        else:
            place = keys.index(key)
            keys = self._by_second[second] = keys[:place] + keys[place + 1 :]
        if not keys:
            del self._by_second[second]
            if len(self._seconds) > PURGE_SIZE + 2 * len(self._by_second):
                self._seconds = list(self._by_second)
                heapq.heapify(self._seconds)
        return True

    def clear(self) -> None:
        """Remove every expiry."""
        self.by_key, self._by_second, self._seconds = {}, {}, []

    def expired(self, now: int) -> AbstractSet[bytes]:
        """Return the keys that have expired, without removing them."""
        present_second = now // 1000
        keys = {key for key in self._by_second.get(present_second, ()) if self.by_key[key] <= now}
        for second in self._seconds_before(present_second):
            keys.update(self._by_second.get(second, ()))
        return keys

    def _seconds_before(self, end: int) -> Iterator[int]:
        """Yield the seconds before ``end``, in any order. In a heap, what is after a later second is later too."""
        places = [0]
        while places:
            place = places.pop()
            if place < len(self._seconds) and self._seconds[place] < end:
                yield self._seconds[place]
                places += (2 * place + 1, 2 * place + 2)

    def pop_expired(self, now: int) -> Iterator[bytes]:
        """Yield the keys that have expired, earliest second first, and remove their expiries."""
        yield from self.pop_expired_before_this_second(now)
        for key in [key for key in self._by_second.get(now // 1000, ()) if self.by_key[key] <= now]:
            self.remove(key)
            yield key

    def pop_expired_before_this_second(self, now: int) -> Iterator[bytes]:
        """Yield the keys that expired in a second that is over, and remove their expiries.

        Finding each takes the same time. Within the present second every key would have to be compared.
        """
        while (key := self.soonest()) is not None and self.by_key[key] // 1000 < now // 1000:
            self.remove(key)
            yield key

    def soonest(self) -> bytes | None:
        """Return a key that expires in the earliest second in which one does; None if there is none."""
        while self._seconds:
            keys = self._by_second.get(self._seconds[0])
            if isinstance(keys, tuple):
                return keys[0]
            if keys is not None:
                key = keys.pop()  # faster than the first of an iterator, which skips the slots of those removed before
                keys.add(key)
                return key
            heapq.heappop(self._seconds)
        return None

    def check(self) -> None:
        """Verify the invariants. Raises AssertionError."""
        by_second = {(key, second) for second, keys in self._by_second.items() for key in keys}
        if by_second != {(key, expires_at // 1000) for key, expires_at in self.by_key.items()}:
            raise AssertionError("the expiries and their seconds differ")
        if not set(self._by_second) <= set(self._seconds):
            raise AssertionError("a second with keys is missing from the heap")
        if not all(self._by_second.values()):
            raise AssertionError("a second without keys is stored")
