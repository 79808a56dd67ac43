"""Which key is evicted when the memory limit is reached: the policies, by Redis's names.

    allkeys-lru, volatile-lru          the key that was not used for longest, of a random sample
    allkeys-lfu, volatile-lfu          the key that is used least often, of a random sample
    allkeys-random, volatile-random    a random key
    volatile-ttl                       the key that expires first

A volatile policy evicts only keys with an expiry, and tracks no others. As in Redis, samples take the place of an exact
order, which would need a linked node for each key. ``python -m benchmarks eviction`` measures the hit rates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, KeysView
from copy import copy
from itertools import islice
from random import random
from typing import Protocol

SAMPLES = 10
"""Random keys of which one is evicted. Redis takes 5, and keeps the best ones for the next time."""

FILL_SIZE = 256
"""Existing keys that are added at a time after another policy was chosen, and keys that are searched for stale ones."""

MAX_ATTEMPTS = 64
"""Samples of removed keys alone after which any key is evicted, so that an eviction takes a bounded time."""

MIN_STALE_KEYS = 1024
"""Fewer removed keys are left in a sample, until they are found by chance."""

SAMPLED_KEY_SIZE = 88
"""Approximate bytes per key in `SampledKeys`: an entry of a dict and an element of a list."""


class Evictable(Protocol):
    """The part of a store that a policy needs. The views change with the store, until it is cleared."""

    def keys_in_order(self) -> KeysView[bytes]:
        """Return a view of all keys."""
        ...

    def keys_with_expiry(self) -> KeysView[bytes]:
        """Return a view of the keys that have an expiry."""
        ...

    def soonest_expiring_key(self) -> bytes | None:
        """Return a key that expires in the earliest second in which one does; None if no key expires."""
        ...

    def expires_at(self, key: bytes) -> int | None:
        """Return when an existing key expires, in milliseconds since the epoch."""
        ...


class Policy:
    """noeviction, and the base of the others. Guarded as the store is."""

    key_size = 0
    """Approximate bytes that the policy takes for each key that it may evict."""

    is_volatile = False
    """Whether it evicts only keys that have an expiry."""

    tracks_use = False
    """Whether `use` has an effect."""

    notes_changes = False
    """Whether `change` has the effect of `use`. Then `use` need not be called for the same keys, but may be."""

    @property
    def evictable(self) -> int:
        """How many keys it may evict, among them expired ones that are not removed yet."""
        return 0

    def add(self, keys: Iterable[bytes]) -> None:
        """Note that keys were created, or for a volatile policy got an expiry, so that they can be evicted now."""

    def use(self, keys: Iterable[bytes]) -> None:
        """Note that a command uses these keys, which may be missing."""

    def change(self, keys: Iterable[bytes]) -> None:
        """Note that existing keys, which the policy may evict, have got other values. See `notes_changes`."""

    def refresh(self, now: int) -> None:
        """Note the time, in milliseconds since the epoch. Uses until the next call count for this time."""

    def tend(self) -> bool:
        """Do a small part of what is left to do besides evictions. Return whether nothing is left."""
        return True

    def propose(self) -> float | None:
        """Choose the key that is to be evicted next. Return its rank, or None if no key can be evicted.

        Of the keys that several databases propose, the one with the lowest rank is evicted.
        """
        return None

    def take_proposed(self) -> bytes:
        """Return the key that was proposed last, and stop tracking it. No key was removed meanwhile."""
        raise NotImplementedError

    def bind(self, keyspace: Evictable) -> None:
        """Take the views of this store from now on, because SWAPDB has moved the keys to it."""

    def clear(self) -> object:
        """Stop tracking all keys. Return what contained them, to be freed outside the lock."""
        return None

    def check(self) -> None:
        """Verify the invariants. Raises AssertionError."""


class SoonestExpiry(Policy):
    """volatile-ttl: the store's index of expiries has what is needed. Redis compares samples instead."""

    is_volatile = True

    def __init__(self, keyspace: Evictable) -> None:
        self.bind(keyspace)
        self._proposed: bytes | None = None

    def bind(self, keyspace: Evictable) -> None:
        """Take the index of this store from now on."""
        self._keyspace = keyspace

    @property
    def evictable(self) -> int:
        """The number of keys that have an expiry."""
        return len(self._keyspace.keys_with_expiry())

    def propose(self) -> float | None:
        """Choose the key that expires first, to the second. Its rank is when it expires."""
        self._proposed = key = self._keyspace.soonest_expiring_key()
        return None if key is None else self._keyspace.expires_at(key)

    def take_proposed(self) -> bytes:
        """Return the key that was proposed last."""
        assert self._proposed is not None, "a key was proposed"
        return self._proposed


class SampledKeys(Policy):
    """allkeys-random and volatile-random, and the structure of the policies below: the keys, each with a mark.

    The key with the lowest mark of a random sample is evicted. A dict has no access by position, so the keys are in a
    list too. A key that was removed from the store stays in both until it is found there. They are searched for such
    keys as soon as those could be the majority.
    """

    key_size = SAMPLED_KEY_SIZE
    samples = 1

    def __init__(self, keyspace: Evictable, now: int, *, is_volatile: bool) -> None:
        self.is_volatile = is_volatile
        self.bind(keyspace)
        self._marks: dict[bytes, int] = {}
        self._keys: list[bytes] = []  # the keys of _marks
        self._new_mark = 0  # of a key that was created at this time
        self._proposed: int | bytes = 0  # the place of a key in the list, or a key that is not tracked
        self.refresh(now)
        # A copy of references, because a dict cannot be iterated while it changes. `tend` takes the keys from it.
        self._to_add: Iterator[bytes] = iter(list(self._existing()))

    def bind(self, keyspace: Evictable) -> None:
        """Take the keys of this store from now on."""
        self._existing = keyspace.keys_with_expiry if self.is_volatile else keyspace.keys_in_order

    def __len__(self) -> int:
        """Return how many keys are tracked, among them some that were removed from the store."""
        return len(self._keys)

    @property
    def evictable(self) -> int:
        """The number of keys that exist, or that have an expiry."""
        return len(self._existing())

    def add(self, keys: Iterable[bytes]) -> None:
        """Add keys. One that was removed and created again is as a new one."""
        marks, mark = self._marks, self._new_mark
        for key in keys:
            if key not in marks:
                self._keys.append(key)
            marks[key] = mark

    def tend(self) -> bool:
        """Add existing keys, or remove some that the store has not any more."""
        return not self._fill() and not self._remove_stale()

    def _fill(self) -> bool:
        """Add some of the keys that existed before this policy was chosen. Return whether there were any left."""
        existing = self._existing()
        keys = list(islice(self._to_add, FILL_SIZE))
        self.add([key for key in keys if key not in self._marks and key in existing])
        return bool(keys)

    def _remove_stale(self) -> bool:
        """Look at some random keys, and remove the stale ones. Return whether too many stale ones may be left."""
        existing = self._existing()
        for _ in range(FILL_SIZE):
            if len(self._keys) <= 2 * len(existing) + MIN_STALE_KEYS:
                return False
            place = int(random() * len(self._keys))
            if self._keys[place] not in existing:
                self._take(place)
        return True

    def propose(self) -> float | None:
        """Choose the key with the lowest mark of a random sample."""
        existing = self._existing()
        if not existing:
            return None
        for _ in range(MAX_ATTEMPTS):
            if not self._keys and not self._fill():
                break
            place = self._choose_from_sample(existing)
            if place is not None:
                self._proposed = place
                return self._rank(self._marks[self._keys[place]])
        self._proposed = next(iter(existing))  # almost all of the tracked keys are stale, until `tend` has removed them
        return 0.0

    def take_proposed(self) -> bytes:
        """Return the key that was proposed last, and stop tracking it."""
        if isinstance(self._proposed, bytes):
            return self._proposed
        key, mark = self._take(self._proposed)
        self._evicted(mark)
        return key

    def _rank(self, mark: int) -> float:
        """Return the rank of a key with this mark: here each database has the same probability, as in Redis."""
        return random()

    def _choose_from_sample(self, existing: KeysView[bytes]) -> int | None:
        """Return the place of the key with the lowest mark of a sample. If all are stale, remove one; return None."""
        keys, marks = self._keys, self._marks
        count = len(keys)
        places = [int(random() * count) for _ in range(self.samples)]
        lowest = [marks[keys[place]] for place in places]
        place = places[lowest.index(min(lowest))]
        if keys[place] not in existing:
            found = [each for each in places if keys[each] in existing]
            if not found:
                self._take(place)
                return None
            place = min(found, key=lambda each: marks[keys[each]])
        return place

    def _take(self, place: int) -> tuple[bytes, int]:
        """Remove the key at a place of the list, to which the last key moves. Return it and its mark."""
        keys = self._keys
        key, keys[place] = keys[place], keys[-1]
        keys.pop()
        return key, self._marks.pop(key)

    def _evicted(self, mark: int) -> None:
        """Do nothing with the mark of a key that is evicted."""

    def clear(self) -> object:
        """Stop tracking all keys."""
        old = self._marks, self._keys, self._to_add
        self._marks, self._keys, self._to_add = {}, [], iter(())
        return old

    def check(self) -> None:
        """Verify the invariants. Raises AssertionError."""
        if len(self._keys) != len(self._marks) or set(self._keys) != self._marks.keys():
            raise AssertionError("the keys of a sample and their marks differ")
        unknown = set(self._existing()) - self._marks.keys() - set(copy(self._to_add))
        if unknown:
            raise AssertionError(f"the policy does not know {unknown}")


class MarkedKeys(SampledKeys):
    """A sample whose marks are ranks too: they can be compared with those of other databases."""

    tracks_use = True
    samples = SAMPLES

    def _rank(self, mark: int) -> float:
        return mark


class LeastRecentlyUsed(MarkedKeys):
    """allkeys-lru and volatile-lru: a mark is the time of the last use.

    A new key counts as if it had been created earlier, by half of the time that a key stays unused before it is
    evicted. So keys that are used once, such as those of a scan, are evicted before those that are used again (the
    midpoint insertion of InnoDB and others). Marks are twice the time, and odd for such keys.
    """

    notes_changes = True

    def __init__(self, keyspace: Evictable, now: int, *, is_volatile: bool) -> None:
        self._now = -1
        self._lifetime = 0.0  # how long the keys that were evicted had not been used, as a moving average, in ms
        super().__init__(keyspace, now, is_volatile=is_volatile)

    def refresh(self, now: int) -> None:
        """Note the time of the uses that follow. They share one integer, because one for each key takes 32 bytes."""
        if now == self._now:
            return
        self._now = now
        self._used_mark = 2 * now
        self._new_mark = 2 * (now - int(self._lifetime / 2)) + 1

    def use(self, keys: Iterable[bytes]) -> None:
        """Mark keys as used now."""
        marks, mark = self._marks, self._used_mark
        for key in keys:
            if key in marks:
                marks[key] = mark

    def change(self, keys: Iterable[bytes]) -> None:
        """Mark keys as used now. Those that were not added yet are the last ones of the dict then."""
        marks, mark = self._marks, self._used_mark
        for key in keys:
            marks[key] = mark
        if len(marks) > len(self._keys):
            self._keys += islice(reversed(marks), len(marks) - len(self._keys))

    def _evicted(self, mark: int) -> None:
        self._lifetime += (max(0, self._now - mark // 2) - self._lifetime) / 128

    def idle_time(self, key: bytes) -> int | None:
        """Return for how many seconds an existing key was not used; None if it is not tracked."""
        mark = self._marks.get(key)
        if mark is None:
            return None
        earlier = self._lifetime / 2 if mark % 2 else 0  # approximately what was subtracted
        return max(0, int(self._now - mark // 2 - earlier)) // 1000

    def set_idle_time(self, key: bytes, seconds: int) -> None:
        """Mark a key as not used for so many seconds. Has no effect if it is not tracked."""
        if key in self._marks:
            self._marks[key] = 2 * max(0, self._now - 1000 * seconds)


LOG_FACTOR = 10
"""How slowly the counter of a frequency grows: to 18 with 1,000 uses, to 143 with 100,000 (Redis: lfu-log-factor)."""

FIRST_COUNT = 5
"""The counter of a new key, so that it is not evicted before it can be used again (Redis: LFU_INIT_VAL)."""

COUNTS = 256
"""The values of a counter."""

DECAY_TIME = 60_000
"""Milliseconds after which each counter is one less (Redis: lfu-decay-time)."""

_CHANCES = [1 / (max(0, count - FIRST_COUNT) * LOG_FACTOR + 1) for count in range(COUNTS - 1)] + [0.0]
"""The probability that a use adds one to a counter, by its value (Redis: LFULogIncr)."""


class LeastFrequentlyUsed(MarkedKeys):
    """allkeys-lfu and volatile-lfu: a mark is a logarithmic counter of uses, as in Redis.

    Each counter loses one a minute. For that a mark is the counter plus the number of minutes, so nothing is written
    while time goes on. The marks of a minute are shared, because an integer for each key takes 32 bytes.
    """

    def __init__(self, keyspace: Evictable, now: int, *, is_volatile: bool) -> None:
        self._minute = -1
        super().__init__(keyspace, now, is_volatile=is_volatile)

    def refresh(self, now: int) -> None:
        """Note the minute. It never becomes less, so that no counter exceeds its maximum."""
        minute = now // DECAY_TIME
        if minute <= self._minute:
            return
        self._minute = minute
        self._shared = [minute + count for count in range(COUNTS)]
        self._new_mark = self._shared[FIRST_COUNT]

    def use(self, keys: Iterable[bytes]) -> None:
        """Add one to the counters of keys, with a probability that falls as they grow."""
        marks, minute, shared = self._marks, self._minute, self._shared
        for key in keys:
            mark = marks.get(key)
            if mark is not None:
                count = mark - minute if mark > minute else 0
                if random() < _CHANCES[count]:
                    marks[key] = shared[count + 1]

    def frequency(self, key: bytes) -> int | None:
        """Return the counter of an existing key, from 0 to 255; None if it is not tracked."""
        mark = self._marks.get(key)
        return None if mark is None else max(0, mark - self._minute)

    def set_frequency(self, key: bytes, count: int) -> None:
        """Set the counter of a key, from 0 to 255. Has no effect if it is not tracked."""
        if key in self._marks:
            self._marks[key] = self._shared[count]


def tracks_use(name: str) -> bool:
    """Return whether the policy of this name tracks the use of keys, which it does without a limit too, as in Redis."""
    return name.endswith(("-lru", "-lfu"))


def new_policy(name: str, keyspace: Evictable, now: int) -> Policy:
    """Make the policy of this name, for the keys that the store has."""
    scope, _, order = name.partition("-")
    match order:
        case "lru":
            return LeastRecentlyUsed(keyspace, now, is_volatile=scope == "volatile")
        case "lfu":
            return LeastFrequentlyUsed(keyspace, now, is_volatile=scope == "volatile")
        case "random":
            return SampledKeys(keyspace, now, is_volatile=scope == "volatile")
        case "ttl":
            return SoonestExpiry(keyspace)
    return Policy()
