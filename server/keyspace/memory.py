"""The memory limit: an estimate of what the keys take, kept up to date with every change, and evictions.

One `MemoryLimit` is for all databases together. Each database has a `DatabaseMemory`, which observes its store's
mutation path. Without a limit there is none, and nothing is counted.

The estimate is the sum over all keys of `Sizes.of`: constants for what Python takes for an entry, and the lengths of
the key and the value. The resident memory of the process is larger by what does not grow with the keys: the
interpreter, the connections, free memory in the allocator. ``python -m benchmarks eviction`` compares the two.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from common.limits import MIB
from server.keyspace.contents import ClearedContents
from server.keyspace.eviction import Evictable, Policy, new_policy
from server.keyspace.observers import Entry, Removal

ENTRY_SIZE = 160
"""Approximate bytes per key besides the lengths of the key and the value.

Two objects with a header of 33 bytes, rounded up by the allocator, and an entry of a dict that is half full.
"""

EXPIRY_SIZE = 176
"""Approximate bytes per expiry.

80 to 190 if several keys expire within the same seconds, and up to 240 if each key has a slot of its own in
`ExpirationIndex`, as 200,000 keys that expire within a month have. With less, the latter exceed 1.5 times the limit.
"""

UNLIMITED = sys.maxsize

BATCH_RESERVE = MIB
"""Bytes, more than the keys of a batch take. It has at most 64 requests, from one read of at most 64 KiB."""


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

    index: int
    needs_begin: bool
    memory: DatabaseMemory | None

    def evict(self, key: bytes) -> None:
        """Remove a key because of the limit."""
        ...

    def now(self) -> int: ...

    def total_lengths(self) -> int:
        """Return the lengths of all keys and values together."""
        ...


class MemoryLimit:
    """What the keys of all databases take, the limit on it, and the name of the policy. Guarded as the stores are."""

    def __init__(self) -> None:
        self.maximum = UNLIMITED
        """The bytes that the keys may take."""
        self.ample = UNLIMITED
        """While less is used, there is room for any batch."""
        self.used = 0
        """Approximate bytes that they take."""
        self.sizes = DEFAULT_SIZES
        self.tracks_use = False
        """Whether `DatabaseMemory.use` has an effect. Then the engine calls it for each command."""
        self.notes_changes = False
        """Whether each change of a value has this effect. Then the engine does not call it for a batch of changes."""
        self.policy = "noeviction"
        self._databases: dict[int, DatabaseMemory] = {}
        self._goal = UNLIMITED  # until so much is used commands evict: the limit, or more, which `tend` then lowers

    def observer_of(self, keyspace: Keyspace) -> DatabaseMemory:
        """Begin to count what a database takes, which takes about 40 ns for each of its keys."""
        keyspace.memory = self._databases[keyspace.index] = database = DatabaseMemory(self, keyspace)
        keyspace.needs_begin = True
        return database

    def on_swap(self, first: int, second: int) -> None:
        """Exchange what the policy knows of the keys of two databases."""
        self._databases[first].swap(self._databases[second])

    def change(self, limit: int, policy: str) -> None:
        """Set the limit, 0 for none, and the policy.

        Commands evict what they add. Evicting what is used beyond a lower limit is left to `tend`, so that it delays no
        command for long.
        """
        if policy != self.policy:
            self.policy = policy
            for database in self._databases.values():
                database.add(-database.entries_size())
                database.set_policy()
            self.sizes = Sizes.with_policy(database.policy)
            self.tracks_use = database.policy.tracks_use
            self.notes_changes = database.policy.notes_changes
            for database in self._databases.values():
                database.add(database.entries_size())
        self.maximum = limit or UNLIMITED
        self.ample = self.maximum - BATCH_RESERVE
        self._goal = max(self.maximum, self.used)
        self.request_attention()

    def can_evict(self, count: int) -> bool:
        """Return whether there are at least so many keys that the policy may evict."""
        return sum([database.policy.evictable for database in self._databases.values()]) >= count

    @property
    def is_exceeded(self) -> bool:
        """Whether more is used than the limit allows."""
        return self.used > self.maximum

    def has_room_for(self, columns: Sequence[Sequence[bytes]]) -> bool:
        """Return whether the limit allows as many new keys as the columns have rows, of these lengths at most.

        With less than `ample` there is always room for a batch.
        """
        # Joining takes a third of the time of adding lengths.
        entry, expiry = self.sizes
        used = self.used + len(columns[0]) * (entry + expiry)
        for column in columns:
            used += len(b"".join(column))
        return used <= self.maximum

    def request_attention(self) -> None:
        """Let the next step on each database begin with a look at the limit and the policy."""
        for database in self._databases.values():
            database.keyspace.needs_begin = True

    # ---------------------------------------------------------------- eviction

    def make_room(self, now: int, stop: Callable[[], bool]) -> bool:
        """Evict keys for a command, at least one, until ``stop`` returns true. Return whether any could be evicted.

        Call it while the limit is exceeded. ``now`` is the time of the step.
        """
        self._refresh(now)
        while self._evict_one():
            if self.used <= self._goal or stop():
                self._lower_goal()
                return True
        self._goal = self.maximum
        return False

    def tend(self, now: int, stop: Callable[[], bool]) -> bool:
        """Evict what is used beyond the limit, and let the policy do its work, until ``stop`` returns true.

        Return whether nothing is left to do.
        """
        self._refresh(now)
        while self.used > self.maximum and self._evict_one():
            if stop():
                self._lower_goal()
                return False
        self._goal = self.maximum
        for database in self._databases.values():
            while not database.policy.tend():
                if stop():
                    return False
        return True

    def _refresh(self, now: int) -> None:
        for database in self._databases.values():
            database.policy.refresh(now)

    def _evict_one(self) -> bool:
        """Evict the key with the lowest rank, of one that each database proposes (Redis: `evictionPoolPopulate`)."""
        chosen: DatabaseMemory | None = None
        lowest = 0.0
        for database in self._databases.values():
            rank = database.policy.propose()
            if rank is not None and (chosen is None or rank < lowest):
                chosen, lowest = database, rank
        if chosen is None:
            return False
        chosen.keyspace.evict(chosen.policy.take_proposed())
        return True

    def _lower_goal(self) -> None:
        self._goal = max(self.maximum, min(self._goal, self.used))

    def check(self) -> None:
        """Verify the invariants. Raises AssertionError."""
        if self.used != sum(database.used for database in self._databases.values()):
            raise AssertionError("the databases together use another number of bytes")
        for database in self._databases.values():
            database.check()


class DatabaseMemory:
    """The part of the limit of one database: it counts what its keys take, and has its policy. Guarded as its store."""

    def __init__(self, limit: MemoryLimit, keyspace: Keyspace) -> None:
        self.limit = limit
        self.keyspace = keyspace
        self.used = 0
        """Approximate bytes that the keys of the database take."""
        self.set_policy()
        self.add(self.entries_size() + keyspace.total_lengths())

    def set_policy(self) -> None:
        """Use the policy of the limit from now on, for the keys that the database has."""
        keyspace = self.keyspace
        self._use(new_policy(self.limit.policy, keyspace, keyspace.now()))

    def swap(self, other: DatabaseMemory) -> None:
        """Exchange what is known of the keys with a database with which they were exchanged."""
        self.used, other.used = other.used, self.used
        mine, its = self.policy, other.policy
        mine.bind(other.keyspace)
        its.bind(self.keyspace)
        self._use(its)
        other._use(mine)

    def _use(self, policy: Policy) -> None:
        self.policy = policy
        self.use = policy.use
        """Note that a command uses these keys, which may be missing."""

    def entries_size(self) -> int:
        """Return approximately how many bytes the keys take, besides the lengths of keys and values."""
        sizes, keyspace = self.limit.sizes, self.keyspace
        return sizes.entry * len(keyspace.keys_in_order()) + sizes.expiry * len(keyspace.keys_with_expiry())

    def add(self, size: int) -> None:
        """Count so many bytes more."""
        self.used += size
        limit = self.limit
        limit.used += size
        if limit.used > limit.maximum:
            limit.request_attention()

    # ---------------------------------------------------------------- observing the store

    def on_set(self, key: bytes, value: bytes, expires_at: int | None, before: Entry | None) -> None:
        """Count the value, or the difference to the one before."""
        size = len(value)
        expired_before = None
        if before is None:
            size += self.limit.sizes.entry + len(key)
            if not self.policy.is_volatile:
                self.policy.add((key,))
        else:
            value_before, expired_before = before
            size -= len(value_before)
            if self.limit.notes_changes:
                self.use((key,))
        self.used += size
        limit = self.limit  # as `add`, without the cost of a call
        limit.used += size
        if expires_at != expired_before:
            self.on_expiry_change(key, expires_at, expired_before)
        if limit.used > limit.maximum:
            limit.request_attention()

    def on_set_many(self, keys: Sequence[bytes], values: Sequence[bytes], before: Sequence[bytes | None]) -> None:
        """Count the values, or the differences to those before."""
        limit = self.limit
        size = sum(map(len, values))
        try:  # it costs less to try than to look for a None
            size -= sum(map(len, before))  # type: ignore[arg-type]
        except TypeError:
            size -= sum(map(len, filter(None, before)))
            if limit.notes_changes:
                self.use(keys)
            created = [key for key, value in zip(keys, before, strict=True) if value is None]
            size += self.limit.sizes.entry * len(created) + sum(map(len, created))
            if not self.policy.is_volatile:
                self.policy.add(created)
        else:
            if limit.notes_changes and not self.policy.is_volatile:
                self.policy.change(keys)
        self.used += size  # as `add`, without the cost of a call
        limit.used += size
        if limit.used > limit.maximum:
            limit.request_attention()

    def on_write_range(self, key: bytes, offset: int, part: bytes, before: bytes | None) -> None:
        """Count what the value has grown."""
        end = offset + len(part)
        if before is None:
            self.on_set(key, b"", None, None)
            before = b""
        self.add(max(0, end - len(before)))

    def on_expiry_change(self, key: bytes, expires_at: int | None, before: int | None) -> None:
        """Count an expiry, or none."""
        if before is None and expires_at is not None:
            if self.policy.is_volatile:
                self.policy.add((key,))
            self.add(self.limit.sizes.expiry)
        elif expires_at is None and before is not None:
            self.add(-self.limit.sizes.expiry)

    def on_remove(self, key: bytes, cause: Removal, before: Entry) -> None:
        """Subtract what the key took. An expired one had an expiry, although ``before`` may have none."""
        value, expires_at = before
        size = self.limit.sizes.of(key, value, 0 if cause is Removal.EXPIRED else expires_at)
        self.used -= size
        self.limit.used -= size

    def on_clear(self, cleared: ClearedContents) -> None:
        """Subtract everything."""
        self.add(-self.used)
        cleared.free_too(self.policy.clear())

    def check(self) -> None:
        """Verify the invariants. Raises AssertionError."""
        total = self.entries_size() + self.keyspace.total_lengths()
        if self.used != total:
            raise AssertionError(f"{self.used} bytes are counted as used, and {total} are used")
        self.policy.check()
