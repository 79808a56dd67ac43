"""The store: keys and values (bytes) of a database in memory, their expiry, and the sessions that watch them.

    session -> engine (takes the lock) -> command -> Store -> _put, _remove, _clear -> observers
                                                                     (watches, the memory limit, the durable log)

The store is a plain data structure without a lock. Its engine serialises all calls, which makes a command, and a
transaction of commands, one atomic step.

Every change goes through ``_put``, ``write_range``, ``_set_expiry``, ``_remove`` or ``_clear``, which keep the parts of
the store consistent and notify the observers (`server.keyspace.observers`). Without a log and a memory limit, and
while no key is watched, there is no observer, and the notification costs the look at an empty tuple.

Time stands still within a step: `begin_step` begins one, the first `now` reads the clock, and later ones return the
same. An expired key does not exist for any caller from its millisecond on. It is removed on access or by the active
expire cycle.

Keys are in the order of their creation. Overwriting a key keeps its position. COMPACT prints keys in this order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, KeysView, Sequence, Set
from itertools import islice
from typing import TYPE_CHECKING

from common.limits import DEFAULT_LIMITS
from server.keyspace.contents import ClearedContents, ItemsCopy
from server.keyspace.expiration import ExpirationIndex
from server.keyspace.memory import DEFAULT_SIZES, DatabaseMemory
from server.keyspace.observers import KeyspaceObserver, Removal
from server.keyspace.random_keys import RandomKeys
from server.keyspace.scan import ScanSnapshots
from server.keyspace.watches import Watch, Watches

if TYPE_CHECKING:
    from server.keyspace.databases import Databases

Clock = Callable[[], int]
"""Returns the time in milliseconds since the epoch."""

MAX_EXPIRED_PER_STEP = 1000
"""Expired keys that a command on all keys removes. It only skips the rest, because a removal takes about 2 µs."""


def system_clock() -> int:
    """Return the time of the operating system, in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class Store:
    """Maps keys to values: database number ``index``. Not thread-safe: its engine serialises all calls."""

    databases: Databases
    """All databases of the server. Set by them."""

    def __init__(
        self, clock: Clock = system_clock, observers: Iterable[KeyspaceObserver] = (), *, index: int = 0
    ) -> None:
        self.index = index
        self.max_value_size = DEFAULT_LIMITS.max_bulk
        """The bytes up to which APPEND and SETRANGE may make a value grow."""
        self.deletion_count = 0
        """Keys removed since the start, for whatever cause. SCAN's cursors contain it."""
        self.expired_keys = 0
        """Keys removed because their time to live was over."""
        self.evicted_keys = 0
        """Keys removed because of the memory limit."""
        self.memory: DatabaseMemory | None = None
        """Its part of the memory limit; None if there is none and no policy that tracks the use of keys."""
        self.needs_begin = False
        """Whether a new step must begin with `begin_step`: this one has a time, or memory needs attention."""
        self.hits = 0
        """Keys that `read` and its callers have found. Those of `server.registry.Flag.NULL_IS_MISS` are not counted."""
        self.misses = 0
        """Keys that they have not found."""
        self._clock = clock
        self._now: int | None = None  # the time of the current step; None if it has none yet
        self._values: dict[bytes, bytes] = {}
        self._expiration = ExpirationIndex()
        self._snapshots = ScanSnapshots()
        self._random_keys = RandomKeys()
        self._watches = Watches()
        self._permanent_observers = tuple(observers)
        self._observers: tuple[KeyspaceObserver, ...] = self._permanent_observers

    def observe(self, observer: KeyspaceObserver) -> None:
        """Notify this observer of every change from now on, before the others."""
        self._permanent_observers = (observer, *self._permanent_observers)
        self._update_observers()

    def stop_observing(self, observer: KeyspaceObserver) -> None:
        """Notify this observer no more."""
        self._permanent_observers = tuple(each for each in self._permanent_observers if each is not observer)
        self._update_observers()

    def new_sibling(self, index: int) -> Store:
        """Return an empty store for another database of the server."""
        store = Store(self._clock, index=index)
        store.databases = self.databases
        store.max_value_size = self.max_value_size
        return store

    def begin_step(self, now: int | None = None) -> None:
        """Begin a step at the time ``now``, or at the clock's time when `now` is first called."""
        self._now = now
        memory = self.memory
        if memory is None:
            self.needs_begin = now is not None
        else:
            limit = memory.limit
            self.needs_begin = now is not None or limit.tracks_use or limit.used > limit.maximum

    def other(self, index: int) -> Store:
        """Return the store of a database of the server, in the same step. Raises `CommandError` if there is none."""
        store = self.databases[index]
        if store is not self:
            store.begin_step(self.now())
        return store

    def all(self) -> list[Store]:
        """Return the stores of all databases that were used, this one among them, in the same step."""
        return [self.other(store.index) for store in self.databases]

    def now(self) -> int:
        """Return the time of the current step, in milliseconds since the epoch."""
        if self._now is None:
            self._now = self._clock()
            self.needs_begin = True
        return self._now

    # ---------------------------------------------------------------- reading

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None if it does not exist."""
        if self._expiration.by_key and self._expire_if_needed(key):
            return None
        return self._values.get(key)

    def read(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None, and count a hit or a miss."""
        value = self.get(key)
        self.count_lookups(1, value is not None)
        return value

    def count_lookups(self, keys: int, found: int) -> None:
        """Count that a command has looked ``keys`` keys up to read them, and found some."""
        self.hits += found
        self.misses += keys - found

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of keys, None for each that does not exist."""
        may_expire = self._expiration.by_key and self._may_expire(keys)
        return list(map(self.get if may_expire else self._values.get, keys))

    def __contains__(self, key: bytes) -> bool:
        return key in self._values and not (self._expiration.by_key and self._expire_if_needed(key))

    def __len__(self) -> int:
        expired = self._expire_some()
        return len(self._values) - len(expired)

    def all_keys(self) -> list[bytes]:
        """Return a copy of all keys, oldest first. Takes about 10 ns per key."""
        expired = self._expire_some()
        return [key for key in self._values if key not in expired] if expired else list(self._values)

    def items(self) -> list[tuple[bytes, bytes, int | None]]:
        """Return all keys with their values and expiries, oldest key first."""
        return list(self.copy_items())

    def copy_items(self) -> ItemsCopy:
        """Copy references to all keys, values and expiries, to be read outside the lock."""
        self._expire_some()
        return ItemsCopy(self._values.copy(), self._expiration.by_key.copy(), self.now())

    def keys_in_order(self) -> KeysView[bytes]:
        """Return a view of the keys, oldest first, among them expired ones that are not removed yet."""
        return self._values.keys()

    def entries(self, keys: Iterable[bytes]) -> list[tuple[bytes, bytes, int | None]]:
        """Return those of these keys that are stored, with values and expiries. Nothing expires by this."""
        values, expires_at = self._values, self._expiration.by_key.get
        return [(key, value, expires_at(key)) for key in keys if (value := values.get(key)) is not None]

    def scan_page(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """Return SCAN's next cursor and its next ``count`` keys. See `server.keyspace.scan`."""
        page = self._snapshots.page(cursor, count, self)
        self._update_observers()
        return page

    def evict_unused_snapshots(self) -> None:
        """Evict what SCAN has stored for iterations that were abandoned."""
        if self._snapshots in self._observers:
            self._snapshots.evict_unused(self.now())
            self._update_observers()

    def random_key(self) -> bytes | None:
        """Return a random key, or None if there is none. See `server.keyspace.random_keys`."""
        if not len(self):
            return None
        while (key := self._random_keys.pick(self._values)) not in self:
            pass  # it has expired
        return key

    def memory_usage(self, key: bytes) -> int | None:
        """Return approximately how many bytes a key and its value take, or None if the key does not exist."""
        value = self.get(key)
        sizes = DEFAULT_SIZES if self.memory is None else self.memory.limit.sizes
        return None if value is None else sizes.of(key, value, self._expiration.by_key.get(key))

    # ---------------------------------------------------------------- writing

    def set(self, key: bytes, value: bytes, expires_at: int | None = None) -> None:
        """Set the value and the expiry of a key. A time in the past removes the key."""
        if expires_at is None and not self._expiration.by_key and not self._observers:
            self._values[key] = value  # the usual case of `_put`, without the cost of a call
            return
        if self._expiration.by_key:
            self._expire_if_needed(key)  # an expired key loses its position
        self._put(key, value, expires_at)
        if expires_at is not None and expires_at <= self.now():
            self._remove(key, Removal.DELETED)

    def set_many(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Set the values of keys in this order, without an expiry. There are as many values as keys."""
        stored = self._values
        if self._expiration.by_key and self._may_expire(keys):
            for key, value in zip(keys, values, strict=True):
                self.set(key, value)
        elif not self._observers:
            stored.update(zip(keys, values, strict=False))  # a check of the lengths takes a fifth of the time
        else:
            before: list[bytes | None] = []
            for key, value in zip(keys, values, strict=False):
                before.append(stored.get(key))
                stored[key] = value
            for observer in self._observers:
                observer.on_set_many(keys, values, before)

    def values_to_change(self, keys: Iterable[bytes]) -> dict[bytes, bytes] | None:
        """Return the values by key, for a caller that sets many of these keys; None if one of them has an expiry.

        The caller sets them in the dict, in the same step. If `is_observed`, it then calls `notify_changes`.
        """
        return None if self._expiration.by_key and self._may_expire(keys) else self._values

    @property
    def is_observed(self) -> bool:
        """Whether something is notified of changes."""
        return bool(self._observers)

    def notify_changes(self, keys: Sequence[bytes], values: Sequence[bytes], before: Sequence[bytes | None]) -> None:
        """Notify the observers of what was set in `values_to_change`: see `KeyspaceObserver.on_set_many`."""
        for observer in self._observers:
            observer.on_set_many(keys, values, before)

    def overwrite(self, key: bytes, value: bytes) -> None:
        """Set the value of a key and keep its expiry. The caller has read the key in the same step."""
        if not self._expiration.by_key and not self._observers:
            self._values[key] = value  # as in `set`
        else:
            self._put(key, value, self._expiration.by_key.get(key))

    def write_range(self, key: bytes, offset: int, part: bytes) -> int:
        """Overwrite a part of a value, or of an empty one if the key does not exist, and keep the expiry.

        A gap before the offset is filled with NUL bytes. Returns the new length. The caller has read the key in the
        same step.
        """
        before = self._values.get(key)
        old = before or b""
        if offset == len(old):
            value = old + part
        else:
            view = memoryview(old)  # one copy: views copy nothing
            value = b"".join((view[:offset], bytes(max(0, offset - len(old))), part, view[offset + len(part) :]))
        self._values[key] = value
        if self._observers:
            self._notify_range(key, offset, part, before)
        return len(value)

    def delete(self, key: bytes) -> bool:
        """Remove a key. Return whether it existed."""
        if key not in self:
            return False
        self._remove(key, Removal.DELETED)
        return True

    def clear(self) -> ClearedContents:
        """Remove all keys. Return what they took, so that the caller can free it outside the lock."""
        return self._clear()

    def restore(self, cleared: ClearedContents) -> None:
        """Undo a `clear` that a durable log could not record. The store is empty."""
        self._values, self._expiration = cleared.take()
        for key, value in self._values.items():
            for observer in self._observers:
                observer.on_set(key, value, self._expiration.by_key.get(key), None)

    def swap_contents(self, other: Store) -> None:
        """Exchange all keys with another store. Watches stay, and become dirty if their key exists in one of both."""
        for store in (self, other):
            store._watches.touch(lambda key: key in self or key in other)
        self._values, other._values = other._values, self._values
        self._expiration, other._expiration = other._expiration, self._expiration
        self._snapshots, other._snapshots = other._snapshots, self._snapshots
        self._random_keys, other._random_keys = other._random_keys, self._random_keys
        self.deletion_count, other.deletion_count = other.deletion_count, self.deletion_count
        self._update_observers()
        other._update_observers()

    def rename(self, key: bytes, new_key: bytes) -> None:
        """Move the value and the expiry of an existing key to another key, whatever that was before."""
        value, expires_at = self._values[key], self._expiration.by_key.get(key)
        self._remove(key, Removal.DELETED)
        self.set(new_key, value, expires_at)

    # ---------------------------------------------------------------- expiry

    def expires_at(self, key: bytes) -> int | None:
        """Return when an existing key expires, in milliseconds since the epoch, or None if it does not."""
        return self._expiration.by_key.get(key)

    def expire_at(self, key: bytes, expires_at: int) -> None:
        """Set the expiry of an existing key, in milliseconds since the epoch. A time in the past removes the key."""
        if expires_at <= self.now():
            self._remove(key, Removal.DELETED)
        else:
            self._set_expiry(key, expires_at)

    def persist(self, key: bytes) -> bool:
        """Remove the expiry of an existing key. Return whether it had one."""
        if key not in self._expiration.by_key:
            return False
        self._set_expiry(key, None)
        return True

    @property
    def expiring_keys(self) -> int:
        """The number of keys that have an expiry."""
        return len(self._expiration.by_key)

    def remove_expired(self, stop: Callable[[], bool]) -> bool:
        """Remove keys that expired before this second, until ``stop`` returns true. Return whether none is left."""
        for key in self._expiration.pop_expired_before_this_second(self.now()):
            self._expire(key)
            if stop():
                return False
        return True

    def _may_expire(self, keys: Iterable[bytes]) -> bool:
        """Return whether one of the keys has an expiry."""
        by_key = self._expiration.by_key
        return bool(by_key) and not by_key.keys().isdisjoint(keys)

    def _expire_some(self) -> Set[bytes]:
        """Remove up to `MAX_EXPIRED_PER_STEP` expired keys. Return those that are left, which no caller may see."""
        if not self._expiration.by_key:
            return frozenset()
        found = list(islice(self._expiration.pop_expired(self.now()), MAX_EXPIRED_PER_STEP))
        for key in found:
            self._expire(key)
        return self._expiration.expired(self.now()) if len(found) == MAX_EXPIRED_PER_STEP else frozenset()

    def _expire_if_needed(self, key: bytes) -> bool:
        """Remove the key if it has expired. Return whether it had."""
        expires_at = self._expiration.by_key.get(key)
        if expires_at is None or expires_at > self.now():
            return False
        self._expire(key)
        return True

    def _expire(self, key: bytes) -> None:
        self._remove(key, Removal.EXPIRED)
        self.expired_keys += 1

    # ---------------------------------------------------------------- the memory limit

    def evict(self, key: bytes) -> None:
        """Remove an existing key because of the memory limit."""
        self._remove(key, Removal.EVICTED)
        self.evicted_keys += 1

    def keys_with_expiry(self) -> KeysView[bytes]:
        """Return a view of the keys that have an expiry, among them expired ones that are not removed yet."""
        return self._expiration.by_key.keys()

    def total_lengths(self) -> int:
        """Return the lengths of all keys and values together."""
        return sum(map(len, self._values)) + sum(map(len, self._values.values()))

    def soonest_expiring_key(self) -> bytes | None:
        """Return a key that expires in the earliest second in which one does; None if no key has an expiry."""
        return self._expiration.soonest()

    # ---------------------------------------------------------------- watching

    def watch(self, watch: Watch, keys: Iterable[bytes]) -> None:
        """Add keys to a watch. It becomes dirty when one of them is created, changed or removed."""
        for key in keys:
            self._expire_if_needed(key)  # a key that has expired already is watched as missing
            self._watches.add(watch, key)
        self._update_observers()

    def unwatch(self, watch: Watch) -> None:
        """End a watch."""
        self._watches.remove(watch)
        self._update_observers()

    def is_dirty(self, watch: Watch) -> bool:
        """Return whether a watched key has changed. An expired key counts, even if nothing has accessed it since."""
        for key in watch.keys:
            self._expire_if_needed(key)
        return watch.dirty

    def _update_observers(self) -> None:
        watches = (self._watches,) if len(self._watches) else ()
        snapshots = (self._snapshots,) if len(self._snapshots) else ()
        self._observers = (*self._permanent_observers, *watches, *snapshots)

    # ---------------------------------------------------------------- the mutation path

    def _put(self, key: bytes, value: bytes, expires_at: int | None) -> None:
        observers = self._observers
        by_key = self._expiration.by_key
        if observers:
            value_before = self._values.get(key)
            before = None if value_before is None else (value_before, by_key.get(key) if by_key else None)
        if (by_key or expires_at is not None) and by_key.get(key) != expires_at:
            self._index_expiry(key, expires_at)
        self._values[key] = value
        for observer in observers:
            observer.on_set(key, value, expires_at, before)

    def _notify_range(self, key: bytes, offset: int, part: bytes, before: bytes | None) -> None:
        for observer in self._observers:
            observer.on_write_range(key, offset, part, before)

    def _set_expiry(self, key: bytes, expires_at: int | None) -> None:
        before = self._expiration.by_key.get(key)
        self._index_expiry(key, expires_at)
        for observer in self._observers:
            observer.on_expiry_change(key, expires_at, before)

    def _remove(self, key: bytes, cause: Removal) -> None:
        expires_at = self._expiration.by_key.get(key)
        value = self._values.pop(key)
        self.deletion_count += 1
        if expires_at is not None:
            self._expiration.remove(key)
        for observer in self._observers:
            observer.on_remove(key, cause, (value, expires_at))

    def _clear(self) -> ClearedContents:
        self.deletion_count += len(self._values)
        cleared = ClearedContents(self._values, self._expiration, self._snapshots)
        self._values, self._expiration, self._snapshots = {}, ExpirationIndex(), ScanSnapshots()
        self._random_keys = RandomKeys()
        for observer in self._observers:
            observer.on_clear(cleared)
        self._update_observers()
        return cleared

    def _index_expiry(self, key: bytes, expires_at: int | None) -> None:
        if expires_at is None:
            self._expiration.remove(key)
        else:
            self._expiration.set(key, expires_at)

    # ---------------------------------------------------------------- checking

    def check(self) -> None:
        """Verify the invariants. Raises AssertionError. For tests and debugging."""
        for key, value in self._values.items():
            if type(key) is not bytes or type(value) is not bytes:
                raise AssertionError(f"keys and values are bytes, but {key!r} has {value!r}")
        self._expiration.check()
        if not self._expiration.by_key.keys() <= self._values.keys():
            raise AssertionError("a key has an expiry and no value")
        if self.memory is not None:
            self.memory.check()
        self._watches.check()
        if (self._watches in self._observers) != (len(self._watches) > 0):
            raise AssertionError("the watches are notified if and only if there are any")
        if len(self._snapshots) and self._snapshots not in self._observers:
            raise AssertionError("the snapshots of SCAN are notified if there are any")
