"""A read-through cache: recent replies of a backing Redis, so that it need not be asked again.

    get(key) -> cached, and younger than the TTL? -> its value                        (hit)
                being fetched by another thread?  -> wait for that fetch, same result (coalesced)
                otherwise                         -> fetch, store, return             (miss)

What a reader may rely on: its reply was the key's value at some time less than ``ttl`` seconds before the read, or
later. The age counts from the *start* of the fetch, because the value cannot be older than that however long the fetch
took. So a reply that took longer than the TTL is not stored, and a fetch older than the TTL gets no more readers. A
writer invalidates its keys after the write. A read that begins after the invalidation never returns an older value.

Each operation takes constant time per key, ``clear`` included except for freeing the memory. The lock is held briefly,
and never during a fetch.

`cachetools.LRUCache` keeps the order for the eviction; the expiry times are stored next to it. `cachetools.TTLCache`
would do both, but does not fit: it counts from the time of storing rather than from the start of the fetch, a read
takes 1.5 times as long, and one store removes every expired entry, so that thousands of entries that expire together
delay every reader.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass

from cachetools import LRUCache

from common.replies import Reply

EXPIRED = float("-inf")
"""Expiry time assumed for a key that is not cached."""


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Counters of a cache since its creation. A read is a hit, a miss, or coalesced."""

    hits: int
    """Reads served from the cache."""

    misses: int
    """Reads that started a fetch."""

    evictions: int
    """Entries removed before their expiry because the cache was full."""

    expirations: int
    """Entries found expired on lookup or during eviction."""

    coalesced: int
    """Reads that waited for a fetch that another read had started."""

    keys: int
    """Entries now, including expired ones that have not been looked up since."""


class InFlightFetch(Future[Reply]):
    """A fetch shared by concurrent readers. Cancelled if the fetching thread terminates."""

    def __init__(self, expires_at: float) -> None:
        super().__init__()
        self.expires_at = expires_at  # when its result expires


class ReadThroughCache:
    """Cache the values of at most ``keys`` keys, each for ``ttl`` seconds. Safe to use from any thread.

    The number of keys is bounded, their size is not. ``clock`` returns seconds. Raises ValueError for a bound that is
    not positive.
    """

    def __init__(self, keys: int, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        if keys < 1:
            raise ValueError(f"a cache needs room for at least 1 key, not {keys}")
        if not ttl > 0:
            raise ValueError(f"a cache needs a TTL of more than 0 seconds, not {ttl}")
        self._capacity = keys
        self._ttl = ttl
        self._clock = clock
        self._lock = threading.Lock()
        self._acquire, self._release = self._lock.acquire, self._lock.release  # bound once, for every hit
        self._reset()
        self._hits = self._misses = self._evictions = self._expirations = self._coalesced = 0

    def get(self, key: bytes, fetch: Callable[[bytes], Reply]) -> Reply:
        """Return the cached value of a key, or the result of ``fetch``, which is stored if it is ``bytes``.

        Concurrent misses of a key are coalesced (single-flight): one reader fetches, and all of them get the same
        result or exception. An exception that is not an `Exception`, such as SystemExit, is raised in the fetching
        thread only, and the others start again. They wait as long as the fetch takes, so it should have a time limit.
        It must not read the same key through this cache.
        """
        now = self._clock()
        self._acquire()  # a with statement takes longer, and every hit passes here
        try:
            if now < self._expires_at.get(key, EXPIRED):
                self._hits += 1
                return self._values[key]
            in_flight, is_ours = self._join_or_start_fetch(key, now)
        finally:
            self._release()
        # Without the lock: readers of other keys must not wait for this fetch.
        if is_ours:
            return self._run(key, fetch, in_flight)
        try:
            return in_flight.result()
        except CancelledError:  # the fetching thread terminates, which says nothing about the key
            pass
        return self.get(key, fetch)  # here rather than in the handler, so that errors do not chain

    def get_cached(self, key: bytes) -> tuple[bytes, float] | None:
        """Return the cached value of a key and its age, which counts as a hit, or None, which counts as nothing.

        The age is in seconds since the fetch of the value began.
        A caller that gets None calls `get` next, and that counts the read. Takes no longer than the lock is held.
        """
        now = self._clock()
        self._acquire()  # a with statement takes longer, and every hit passes here
        try:
            expires_at = self._expires_at[key]
            if now < expires_at:
                self._hits += 1
                return self._values[key], now - (expires_at - self._ttl)
        except KeyError:
            pass
        finally:
            self._release()
        return None

    def invalidate(self, keys: Iterable[bytes]) -> None:
        """Remove keys, one after the other. Later reads get the result of a fetch that starts later.

        A fetch in flight still serves the readers that wait for it, but its result is not stored.
        """
        for key in keys:
            with self._lock:  # acquired again for each key, so that a long list does not block readers
                # The fetch may have read the old value. `_finish` finds that it is not the current one, and later
                # readers start another.
                self._fetches.pop(key, None)
                if key in self._expires_at:
                    self._remove(key)

    def clear(self) -> None:
        """Invalidate all keys in one step."""
        with self._lock:
            removed = self._values, self._expires_at  # keeps them alive beyond the with statement
            self._reset()
        del removed  # after the lock is released, because freeing many entries takes long

    def stats(self) -> CacheStats:
        """Return all counters as of one point in time."""
        with self._lock:
            return CacheStats(
                self._hits, self._misses, self._evictions, self._expirations, self._coalesced, len(self._values)
            )

    # ---------------------------------------------------------------- fetching

    def _run(self, key: bytes, fetch: Callable[[bytes], Reply], in_flight: InFlightFetch) -> Reply:
        """Fetch, store, then resolve the future. It is no longer in ``_fetches`` then, so no reader joins it."""
        try:
            reply = fetch(key)
            self._finish(key, in_flight, reply)
        except Exception as problem:
            # First out of `_fetches`, then resolved. Otherwise a reader could still join, and get the error of a fetch
            # that ended before its read began.
            self._finish(key, in_flight, None)
            in_flight.set_exception(problem)
            raise
        except BaseException:  # such as SystemExit, which is meant for this thread only
            self._finish(key, in_flight, None)
            in_flight.cancel()
            raise
        in_flight.set_result(reply)
        return reply

    def _finish(self, key: bytes, in_flight: InFlightFetch, reply: Reply) -> None:
        """Store a fetched value, unless the key was invalidated meanwhile or a newer fetch has replaced this one."""
        now = self._clock()
        with self._lock:
            if self._fetches.get(key) is not in_flight:
                return
            del self._fetches[key]
            # A missing key (None) is not cached, so `get_cached` can return None for a miss.
            if isinstance(reply, bytes) and now < in_flight.expires_at:
                self._make_room(now)
                self._values[key] = reply
                self._expires_at[key] = in_flight.expires_at

    # ---------------------------------------------------------------- under the lock

    def _join_or_start_fetch(self, key: bytes, now: float) -> tuple[InFlightFetch, bool]:
        """Return the fetch of a key that is not cached, and whether the caller has to run it."""
        # A fetch older than the TTL gets no more readers, because its result would be too old for them.
        in_flight = self._fetches.get(key)
        if in_flight is not None and now < in_flight.expires_at:
            self._coalesced += 1
            return in_flight, False
        # Expired, or the caller would not be here. Removed, so that `_finish` inserts it as the newest entry again.
        if key in self._expires_at:
            self._expirations += 1
            self._remove(key)
        self._misses += 1
        in_flight = self._fetches[key] = InFlightFetch(now + self._ttl)
        return in_flight, True

    def _make_room(self, now: float) -> None:
        """If full, evict the oldest entry if it has expired, otherwise the least recently used one."""
        if len(self._values) < self._capacity:
            return
        # The oldest entry expires first, or nearly so: entries are in the order in which their fetches ended, and all
        # have the same TTL. So no search is needed.
        oldest, expires_at = next(iter(self._expires_at.items()))
        if expires_at <= now:
            self._expirations += 1
            self._remove(oldest)
        else:
            self._evictions += 1
            least_recently_used, _ = self._values.popitem()
            del self._expires_at[least_recently_used]

    def _remove(self, key: bytes) -> None:
        del self._values[key]
        del self._expires_at[key]

    def _reset(self) -> None:
        self._values: LRUCache[bytes, bytes] = LRUCache(self._capacity)
        # In order of insertion. A plain dict would have to skip all removed entries to find its first one.
        self._expires_at: OrderedDict[bytes, float] = OrderedDict()
        self._fetches: dict[bytes, InFlightFetch] = {}
