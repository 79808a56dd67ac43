"""When keys expire: each key's expiry, and the keys that have expired.

    key -> expires_at                      to look an expiry up
    slot -> keys that expire in it         to find expired keys without looking at any others
    heap of slots                          to find the earliest one

Setting, changing and removing an expiry takes the same time however many there are. A slot is a period of a few
seconds, or a second of a period in which many keys expire. Few keys of a slot are a tuple, because a set takes 216
bytes for one key, and 70 bytes per key for some tens of them. A single key is not in a tuple, which takes 48 bytes.
Slots whose keys are all removed stay in the heap until they are a fifth of it.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from collections.abc import Set as AbstractSet
from typing import TypeAlias

PERIOD = 8
"""Seconds of a slot with few keys. A million keys that expire within a day take 12 bytes less each than with one."""

PURGE_SIZE = 1024
"""A heap of fewer slots is not purged."""

TUPLE_SIZE = 128
"""Keys of a slot up to which they are a tuple, which is copied for each change, in at most about 1 µs."""


Slot: TypeAlias = bytes | tuple[bytes, ...] | set[bytes]
"""The keys of a slot: one, a few, or many."""


class ExpirationIndex:
    """Maps keys to the time at which they expire, in milliseconds since the epoch. Guarded as the store is."""

    def __init__(self) -> None:
        self.by_key: dict[bytes, int] = {}
        """Read-only for others. It is public because the store looks a key up in it for every read."""
        self._slots: dict[int, Slot] = {}  # by their first second
        self._divided: set[int] = set()  # the first seconds of periods whose slots are seconds
        self._heap: list[int] = []  # every key of _slots, and some that were removed from it

    def set(self, key: bytes, expires_at: int) -> None:
        """Set the expiry of a key, whatever it was before."""
        self.remove(key)
        # The sum of two integers has room for a carry, which takes 16 bytes. The result of this operation has none.
        self.by_key[key] = expires_at | 0
        self._add(key, expires_at)

    def remove(self, key: bytes) -> bool:
        """Remove the expiry of a key. Return whether it had one."""
        expires_at = self.by_key.pop(key, None)
        if expires_at is None:
            return False
        slot = self._slot_of(expires_at)
        keys = self._slots[slot]
        if isinstance(keys, set):
            keys.discard(key)
            if not keys:
                self._remove_slot(slot)
        elif isinstance(keys, bytes):
            self._remove_slot(slot)
        else:
            place = keys.index(key)
            rest = keys[:place] + keys[place + 1 :]
            self._slots[slot] = rest if len(rest) > 1 else rest[0]
        return True

    def _slot_of(self, expires_at: int) -> int:
        second = expires_at // 1000
        period = second - second % PERIOD
        return second if period in self._divided else period

    def _add(self, key: bytes, expires_at: int) -> None:
        slot = self._slot_of(expires_at)
        keys = self._slots.get(slot)
        if keys is None:
            self._slots[slot] = key
            heapq.heappush(self._heap, slot)
        elif isinstance(keys, set):
            keys.add(key)
        elif isinstance(keys, bytes):
            self._slots[slot] = (keys, key)
        elif len(keys) < TUPLE_SIZE:
            self._slots[slot] = (*keys, key)
        elif slot - slot % PERIOD in self._divided:
            keys = self._slots[slot] = set(keys)
            keys.add(key)
        else:
            del self._slots[slot]
            self._divided.add(slot)
            for each in (*keys, key):
                self._add(each, self.by_key[each])

    def _remove_slot(self, slot: int) -> None:
        del self._slots[slot]
        period = slot - slot % PERIOD
        if period in self._divided and self._slots.keys().isdisjoint(range(period, period + PERIOD)):
            self._divided.remove(period)
        if len(self._heap) > PURGE_SIZE + len(self._slots) * 5 // 4:
            self._heap = list(self._slots)
            heapq.heapify(self._heap)

    def clear(self) -> None:
        """Remove every expiry."""
        self.by_key, self._slots, self._divided, self._heap = {}, {}, set(), []

    def expired(self, now: int) -> AbstractSet[bytes]:
        """Return the keys that have expired, without removing them."""
        by_key = self.by_key
        keys: set[bytes] = set()
        for slot in self._slots_until(now // 1000):
            keys.update([key for key in self._keys_of(slot) if by_key[key] <= now])
        return keys

    def _keys_of(self, slot: int) -> Collection[bytes]:
        keys = self._slots.get(slot, ())
        return (keys,) if isinstance(keys, bytes) else keys

    def _slots_until(self, end: int) -> Iterator[int]:
        """Yield the slots that begin until a second, in any order. What is after a later one in a heap is later too."""
        places = [0]
        while places:
            place = places.pop()
            if place < len(self._heap) and self._heap[place] <= end:
                yield self._heap[place]
                places += (2 * place + 1, 2 * place + 2)

    def pop_expired(self, now: int) -> Iterator[bytes]:
        """Yield the keys that have expired, earliest second first, and remove their expiries."""
        yield from self.pop_expired_before_this_second(now)
        for key in [key for key in self._keys_of(self._slot_of(now)) if self.by_key[key] <= now]:
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
        while self._heap:
            keys = self._slots.get(self._heap[0])
            if isinstance(keys, bytes):
                return keys
            if isinstance(keys, tuple):
                return min(keys, key=self.by_key.__getitem__)
            if keys is not None:
                key = keys.pop()  # faster than the first of an iterator, which skips the slots of those removed before
                keys.add(key)
                return key
            heapq.heappop(self._heap)
        return None

    def check(self) -> None:
        """Verify the invariants. Raises AssertionError."""
        by_slot = {(key, slot) for slot in self._slots for key in self._keys_of(slot)}
        if by_slot != {(key, self._slot_of(expires_at)) for key, expires_at in self.by_key.items()}:
            raise AssertionError("the expiries and their slots differ")
        if not set(self._slots) <= set(self._heap):
            raise AssertionError("a slot with keys is missing from the heap")
        if not all(map(self._keys_of, self._slots)):
            raise AssertionError("a slot without keys is stored")
        if self._divided != {slot - slot % PERIOD for slot in self._slots} & self._divided:
            raise AssertionError("a period without keys is divided")
