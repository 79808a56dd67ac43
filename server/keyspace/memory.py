"""The memory limit: an estimate of what the keys take, kept up to date with every change, and evictions.

An observer of the store's mutation path. Without a limit there is none, and nothing is counted.

The estimate is the sum over all keys of `Sizes.of`: constants for what Python takes for an entry, and the lengths of
the key and the value. The resident memory of the process is larger by what does not grow with the keys: the
interpreter, the connections, free memory in the allocator. ``python -m benchmarks eviction`` compares the two.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import compress, repeat
from operator import is_
from typing import NamedTuple, Protocol

from server.keyspace.contents import ClearedContents
from server.keyspace.eviction import Evictable, Policy, new_policy
from server.keyspace.observers import Entry, Removal

ENTRY_SIZE = 160
"""Approximate bytes per key besides the lengths of the key and the value.

Two objects with a header of 33 bytes, rounded up by the allocator, and an entry of a dict that is half full.
"""

EXPIRY_SIZE = 176
"""Approximate bytes per expiry."""

UNLIMITED = sys.maxsize


class Sizes(NamedTuple):
    """Approximate bytes per key and per expiry. What the policy takes is included."""

    entry: int = ENTRY_SIZE
    expiry: int = EXPIRY_SIZE

    @classmethod
    def with_policy(cls, policy: Policy) -> Sizes:
        """Return the sizes of keys that a policy tracks too."""
        if policy.is_volatile:
            return cls(expiry=EXPIRY_SIZE + policy.key_size)
        return cls(entry=ENTRY_SIZE + policy.key_size)

    def of(self, key: bytes, value: bytes, expires_at: int | None) -> int:
        """Return approximately how many bytes a key takes."""
        return self.entry + len(key) + len(value) + (0 if expires_at is None else self.expiry)


DEFAULT_SIZES = Sizes()


class Keyspace(Evictable, Protocol):
    """The part of a store that is needed here."""

    needs_begin: bool

    def evict(self, key: bytes) -> None:
        """Remove a key because of the limit."""
        ...

    def now(self) -> int: ...


class MemoryLimit:
    """What the keys take, the limit on it, and the policy. An observer of the store, guarded as the store is.

    ``values`` and ``expiries`` are what the store contains when it begins to be observed. Counting them takes about
    40 ns per key.
    """

    def __init__(self, keyspace: Keyspace, values: Mapping[bytes, bytes], expiries: Mapping[bytes, int]) -> None:
        self.limit = UNLIMITED
        self.policy = Policy()
        self.use = self.policy.use
        """Note that a command uses these keys, which may be missing."""
        self.tracks_use = False
        """Whether `use` has an effect. Then the engine calls it for each command."""
        self.sizes = DEFAULT_SIZES
        self.used = self._total(values, expiries)
        """Approximate bytes that all keys take."""
        self._keyspace = keyspace
        self._policy_name = ""
        self._goal = UNLIMITED  # until so much is used commands evict: the limit, or more, which `tend` then lowers

    def change(self, limit: int, policy: str) -> None:
        """Set the limit, 0 for none, and the policy.

        Commands evict what they add. Evicting what is used beyond a lower limit is left to `tend`, so that it delays no
        command for long.
        """
        keyspace = self._keyspace
        if policy != self._policy_name:
            self.policy = new_policy(policy, keyspace, keyspace.now())
            self.use, self.tracks_use = self.policy.use, self.policy.tracks_use
            self._policy_name = policy
            sizes = Sizes.with_policy(self.policy)
            self.used += (sizes.entry - self.sizes.entry) * len(keyspace.keys_in_order())
            self.used += (sizes.expiry - self.sizes.expiry) * len(keyspace.keys_with_expiry())
            self.sizes = sizes
        self.limit = limit or UNLIMITED
        self._goal = max(self.limit, self.used)
        keyspace.needs_begin = True

    @property
    def is_exceeded(self) -> bool:
        """Whether more is used than the limit allows."""
        return self.used > self.limit

    def has_room_for(self, columns: Sequence[Sequence[bytes]]) -> bool:
        """Return whether the limit allows as many new keys as the columns have rows, of these lengths at most."""
        # Joining takes a third of the time of adding lengths, and a batch is no larger than what was read at once.
        entry, expiry = self.sizes
        used = self.used + len(columns[0]) * (entry + expiry)
        for column in columns:
            used += len(b"".join(column))
        return used <= self.limit

    # ---------------------------------------------------------------- eviction

    def make_room(self, stop: Callable[[], bool]) -> bool:
        """Evict keys for a command, at least one, until ``stop`` returns true. Return whether any could be evicted.

        Call it while the limit is exceeded.
        """
        self.policy.refresh(self._keyspace.now())
        while self._evict_one():
            if self.used <= self._goal or stop():
                self._lower_goal()
                return True
        self._goal = self.limit
        return False

    def tend(self, stop: Callable[[], bool]) -> bool:
        """Evict what is used beyond the limit, and let the policy do its work, until ``stop`` returns true.

        Return whether nothing is left to do.
        """
        self.policy.refresh(self._keyspace.now())
        while self.used > self.limit and self._evict_one():
            if stop():
                self._lower_goal()
                return False
        self._goal = self.limit
        while not self.policy.tend():
            if stop():
                return False
        return True

    def _evict_one(self) -> bool:
        key = self.policy.choose()
        if key is None:
            return False
        self._keyspace.evict(key)
        return True

    def _lower_goal(self) -> None:
        self._goal = max(self.limit, min(self._goal, self.used))

    # ---------------------------------------------------------------- observing the store

    def on_set(self, key: bytes, value: bytes, expires_at: int | None, before: Entry | None) -> None:
        """Count the value, or the difference to the one before."""
        expired_before = None
        if before is None:
            self.used += self.sizes.entry + len(key) + len(value)
            if not self.policy.is_volatile:
                self.policy.add(key)
        else:
            value_before, expired_before = before
            self.used += len(value) - len(value_before)
        if expires_at != expired_before:
            self.on_expiry_change(key, expires_at, expired_before)
        if self.used > self.limit:
            self._keyspace.needs_begin = True

    def on_set_many(self, values: Mapping[bytes, bytes], before: Sequence[bytes | None]) -> None:
        """Count the values, or the differences to those before."""
        self.used += sum(map(len, values.values()))
        if all(before):
            self.used -= sum(map(len, before))  # type: ignore[arg-type]  # no None
        else:  # a missing key or an empty value
            self.used -= sum(map(len, filter(None, before)))
            created = list(compress(values, map(is_, before, repeat(None))))
            self.used += self.sizes.entry * len(created) + sum(map(len, created))
            if not self.policy.is_volatile:
                for key in created:
                    self.policy.add(key)
        if self.used > self.limit:
            self._keyspace.needs_begin = True

    def on_write_range(self, key: bytes, offset: int, part: bytes, before: bytes | None) -> None:
        """Count what the value has grown."""
        end = offset + len(part)
        if before is None:
            self.on_set(key, b"", None, None)
            before = b""
        self.used += max(0, end - len(before))
        if self.used > self.limit:
            self._keyspace.needs_begin = True

    def on_expiry_change(self, key: bytes, expires_at: int | None, before: int | None) -> None:
        """Count an expiry, or none."""
        if before is None and expires_at is not None:
            self.used += self.sizes.expiry
            if self.policy.is_volatile:
                self.policy.add(key)
            if self.used > self.limit:
                self._keyspace.needs_begin = True
        elif expires_at is None and before is not None:
            self.used -= self.sizes.expiry

    def on_remove(self, key: bytes, cause: Removal, before: Entry) -> None:
        """Subtract what the key took. An expired one had an expiry, although ``before`` may have none."""
        value, expires_at = before
        self.used -= self.sizes.of(key, value, 0 if cause is Removal.EXPIRED else expires_at)

    def on_clear(self, cleared: ClearedContents) -> None:
        """Subtract everything."""
        self.used = 0
        cleared.free_too(self.policy.clear())

    # ---------------------------------------------------------------- checking

    def check(self, values: Mapping[bytes, bytes], expiries: Mapping[bytes, int]) -> None:
        """Verify the invariants. Raises AssertionError."""
        total = self._total(values, expiries)
        if self.used != total:
            raise AssertionError(f"{self.used} bytes are counted as used, and {total} are used")
        self.policy.check()

    def _total(self, values: Mapping[bytes, bytes], expiries: Mapping[bytes, int]) -> int:
        lengths = sum(map(len, values)) + sum(map(len, values.values()))
        return lengths + self.sizes.entry * len(values) + self.sizes.expiry * len(expiries)
