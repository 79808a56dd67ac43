"""The store: keys and values, both bytes, in memory; when keys expire; and who watches them.

    session -> engine (takes the lock) -> command -> store

The store knows no lock and no wire. It is a plain data structure, and whoever calls it holds the engine's lock. That is
the whole of its concurrency rule, and what makes a command, and a transaction of commands, one step. Time comes from
the clock that it is given, so that a test can set it.

Keys stand in the order in which they came to be: overwriting keeps a key's place, deleting gives it up. That order is
what COMPACT prints.

A key whose deadline has come is gone for every caller from that millisecond on. Its memory goes when somebody asks for
it or when ``sweep`` comes by. Deadlines and watches cost nothing but a look at an empty table where there are none.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterable
from itertools import islice

from server.keyspace.expiration import Deadlines
from server.keyspace.scan import Scans

Clock = Callable[[], int]
"""Return the time, in milliseconds since the epoch."""

ENTRY_SIZE = 104
"""About how many bytes a key costs in the table beside itself and its value, when the table is two thirds full."""


def system_clock() -> int:
    return time.time_ns() // 1_000_000


class Watch:
    """The keys that one session watches, and whether any of them has changed since."""

    __slots__ = ("broken", "keys")

    def __init__(self) -> None:
        self.keys: set[bytes] = set()
        self.broken = False


class Store:
    """Map keys to values. Not thread-safe by itself: the engine that owns it serialises every call."""

    def __init__(self, clock: Clock = system_clock) -> None:
        self.moment: int | None = None
        """The time of the step that is under way, once somebody has asked for it; the engine sets it anew for each."""
        self._clock = clock
        self.scans = Scans()
        self.removals = 0
        """How many keys have been removed, for whatever reason: SCAN reckons with it."""
        self.expired_keys = 0
        """How many keys have gone because their deadline came."""
        self._values: dict[bytes, bytes] = {}
        self._deadlines = Deadlines()
        self._expiring = self._deadlines.by_key
        self._watches: dict[bytes, set[Watch]] = {}

    def now(self) -> int:
        """Return the time of this step, in milliseconds since the epoch: it stands still until the next one."""
        if self.moment is None:
            self.moment = self._clock()
        return self.moment

    # ---------------------------------------------------------------- reading

    def get(self, key: bytes) -> bytes | None:
        """Return the key's value, or None where there is no such key."""
        if self._expiring and self._expire(key):
            return None
        return self._values.get(key)

    def __contains__(self, key: bytes) -> bool:
        return key in self._values and not (self._expiring and self._expire(key))

    def __len__(self) -> int:
        self._expire_all()
        return len(self._values)

    def all_keys(self) -> list[bytes]:
        """Copy out every key, oldest first, as they are at this moment."""
        self._expire_all()
        return list(self._values)

    def items(self) -> list[tuple[bytes, bytes, int | None]]:
        """Copy out every key with its value and its deadline, oldest key first, as they are at this moment."""
        self._expire_all()
        deadline = self._expiring.get
        return [(key, value, deadline(key)) for key, value in self._values.items()]

    def random_key(self) -> bytes | None:
        """Return some key, each as likely as any other, or None from an empty store. Takes O(n) time."""
        count = len(self)
        return next(islice(self._values, random.randrange(count), None)) if count else None

    def size_of(self, key: bytes) -> int | None:
        """Return about how many bytes of memory a key and its value take, or None where there is no such key."""
        value = self.get(key)
        return None if value is None else sys.getsizeof(key) + sys.getsizeof(value) + ENTRY_SIZE

    # ---------------------------------------------------------------- writing

    def set(self, key: bytes, value: bytes) -> None:
        """Give the key this value and no deadline, whatever it had before."""
        if self._expiring and not self._expire(key):  # a key that has expired gives up its place
            self._deadlines.discard(key)
        self._values[key] = value
        if self._watches:
            self._touch(key)

    def update(self, key: bytes, value: bytes) -> None:
        """Give the key this value; a deadline that it has stays. The caller has read the key in the same step."""
        self._values[key] = value
        if self._watches:
            self._touch(key)

    def delete(self, key: bytes) -> bool:
        """Remove the key; tell whether it was there."""
        if key not in self:
            return False
        self._remove(key)
        return True

    def clear(self) -> None:
        """Remove every key."""
        for key in self._watches:
            if key in self._values:
                self._touch(key)
        self.removals += len(self._values)
        self._values = {}
        self._deadlines = Deadlines()
        self._expiring = self._deadlines.by_key
        self.scans.clear()

    def rename(self, key: bytes, new_key: bytes) -> None:
        """Move a key that is there, with its value and deadline, over whatever the other held."""
        value, deadline = self._values[key], self._expiring.get(key)
        self._remove(key)
        self.set(new_key, value)
        if deadline is not None:
            self._deadlines.place(new_key, deadline)

    def _remove(self, key: bytes) -> None:
        del self._values[key]
        self.removals += 1
        if self._expiring:
            self._deadlines.discard(key)
        if self._watches:
            self._touch(key)

    # ---------------------------------------------------------------- expiry

    def deadline(self, key: bytes) -> int | None:
        """Return the moment at which a key that is there expires, or None where it does not."""
        return self._expiring.get(key)

    def expire_at(self, key: bytes, deadline: int) -> None:
        """Give a key that is there a deadline, in milliseconds since the epoch; one that has come removes the key."""
        if deadline <= self.now():
            self._remove(key)
            return
        self._deadlines.place(key, deadline)
        if self._watches:
            self._touch(key)

    def persist(self, key: bytes) -> bool:
        """Take the deadline of a key that is there away; tell whether it had one."""
        if not self._deadlines.discard(key):
            return False
        self._touch(key)
        return True

    @property
    def keys_with_deadline(self) -> int:
        return len(self._expiring)

    def sweep(self, pause: Callable[[], bool]) -> bool:
        """Remove keys that expired before this second; stop when ``pause`` says so. Tell whether none is left."""
        for key in self._deadlines.overdue(self.now()):
            self._let_expire(key)
            if pause():
                return False
        return True

    def _expire_all(self) -> None:
        """Remove every key whose deadline has come."""
        if self._expiring:
            for key in self._deadlines.due(self.now()):
                self._let_expire(key)

    def _let_expire(self, key: bytes) -> None:
        self._remove(key)
        self.expired_keys += 1

    def _expire(self, key: bytes) -> bool:
        """Remove the key if its deadline has come; tell whether it had."""
        deadline = self._expiring.get(key)
        if deadline is None or deadline > self.now():
            return False
        self._let_expire(key)
        return True

    # ---------------------------------------------------------------- watching

    def watch(self, watch: Watch, keys: Iterable[bytes]) -> None:
        """Break the watch when one of these keys changes, goes or comes from now on."""
        for key in keys:
            self._expire(key)  # one that is gone already has nothing to lose
            watch.keys.add(key)
            self._watches.setdefault(key, set()).add(watch)

    def unwatch(self, watch: Watch) -> None:
        """Forget the watch."""
        for key in watch.keys:
            watchers = self._watches[key]
            watchers.discard(watch)
            if not watchers:
                del self._watches[key]
        watch.keys.clear()

    def is_broken(self, watch: Watch) -> bool:
        """Tell whether a watched key has changed, an expired one that nobody has touched since included."""
        for key in watch.keys:
            self._expire(key)
        return watch.broken

    def _touch(self, key: bytes) -> None:
        for watch in self._watches.get(key, ()):
            watch.broken = True

    # ---------------------------------------------------------------- checking

    def check(self) -> None:
        """Verify what must always hold; raise AssertionError where it does not. For tests and debugging."""
        for key, value in self._values.items():
            if type(key) is not bytes or type(value) is not bytes:
                raise AssertionError(f"keys and values are bytes, but {key!r} has {value!r}")
        self._deadlines.check()
        if not self._expiring.keys() <= self._values.keys():
            raise AssertionError("a key has a deadline and no value")
        for key, watchers in self._watches.items():
            if not watchers or any(key not in watch.keys for watch in watchers):
                raise AssertionError(f"the watches on {key!r} and their sessions differ")
