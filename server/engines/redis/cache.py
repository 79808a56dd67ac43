"""A read-through cache: what the Redis behind this server said lately, so that it need not be asked again.

    get(key) -> kept, and younger than the ttl? -> its value
                fetched by somebody right now?  -> wait for that, and share its outcome
                else                            -> fetch, keep, and share

What a reader may rely on: its reply was the key's value at some moment less than ``ttl`` seconds before it asked, or at
some moment since. The time counts from the moment at which the fetch *began*, because the value is at least that young
however long it was under way. So a fetch that took longer than the ttl is not kept, and one that has been under way for
longer is joined no more. Whoever writes drops the keys, and then no reader that asks later sees what was there before.

Every operation takes the same time however many keys there are, `clear` included but for the freeing of what it forgot.
The lock is held for moments, and never during a fetch.

`cachetools.LRUCache` says who goes when there is no room, and the moments of expiry stand beside it. `TTLCache` would
do both, and does not fit: it counts from when a value was put and not from when its fetch began, its reads take half as
long again, and one put removes all that has expired, so that thousands of keys that expire together hold everyone up.
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

PAST = float("-inf")
"""When a key expired that is not there."""


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """What a cache has counted since it was made. A read is a hit, a miss, or coalesced."""

    hits: int
    """Reads that were answered at once."""

    misses: int
    """Reads that began a fetch."""

    evictions: int
    """Keys that went before their time, to make room."""

    expirations: int
    """Keys whose time was over when somebody asked for them or their room was needed."""

    coalesced: int
    """Reads that waited for a fetch that another had begun."""

    keys: int
    """How many keys are kept now, with those whose time is over and that nobody has asked for since."""


class _Fetch(Future[Reply]):
    """A fetch that is under way, and its outcome; cancelled where the thread that ran it came to its end in it."""

    def __init__(self, expires_at: float) -> None:
        super().__init__()
        self.expires_at = expires_at  # the moment until which its outcome counts as fresh


class ReadThroughCache:
    """Keep the values of so many keys, each for ``ttl`` seconds of the clock. Safe to use from any thread.

    The bound is on the number of keys and not on their bytes. Raises ValueError for one that is not positive.
    """

    def __init__(self, keys: int, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        if keys < 1:
            raise ValueError(f"a cache keeps at least 1 key, not {keys}")
        if not ttl > 0:
            raise ValueError(f"a cache keeps keys for more than 0 seconds, not {ttl}")
        self._capacity = keys
        self._ttl = ttl
        self._clock = clock
        self._lock = threading.Lock()
        self._acquire, self._release = self._lock.acquire, self._lock.release
        self._forget_all()
        self._hits = self._misses = self._evictions = self._expirations = self._coalesced = 0

    def get(self, key: bytes, fetch: Callable[[bytes], Reply]) -> Reply:
        """Return the key's value if it is kept; else what ``fetch`` returns for it, which is kept if it is ``bytes``.

        All who miss a key at once share one fetch: they get the same reply, or the same exception is raised in each.
        One that is no `Exception` (SystemExit, say) concerns only the thread that fetched; the others try anew. They
        wait as long as the fetch takes, so it should have a limit. It must not read the same key by this cache.
        """
        asked = self._clock()
        self._acquire()  # a with statement takes longer, and every hit comes this way
        try:
            if asked < self._expires_at.get(key, PAST):
                self._hits += 1
                return self._values[key]
            fetching, is_ours = self._join_or_begin(key, asked)
        finally:
            self._release()
        if is_ours:
            return self._run(key, fetch, fetching)
        try:
            return fetching.result()
        except CancelledError:
            pass
        return self.get(key, fetch)

    def peek(self, key: bytes) -> bytes | None:
        """Return the key's value if it is kept, which counts as a read; None otherwise, which counts as nothing."""
        asked = self._clock()
        self._acquire()  # a with statement takes longer, and every hit comes this way
        try:
            if asked < self._expires_at[key]:
                self._hits += 1
                return self._values[key]
        except KeyError:
            pass
        finally:
            self._release()
        return None

    def drop(self, keys: Iterable[bytes]) -> None:
        """Forget these keys, one after the other: who asks from then on gets what a fetch that began later brings.

        Fetches under way still serve those who wait for them, and leave nothing behind.
        """
        for key in keys:
            with self._lock:  # for each anew, so that a long list holds nobody up
                self._fetches.pop(key, None)
                if key in self._expires_at:
                    self._remove(key)

    def clear(self) -> None:
        """Do as ``drop`` for all keys, in one step."""
        with self._lock:
            forgotten = self._values, self._expires_at
            self._forget_all()
        del forgotten  # here, for to free many takes longer than the lock may be held

    def figures(self) -> CacheFigures:
        """Return what was counted, as it stood at one moment."""
        with self._lock:
            return CacheFigures(
                self._hits, self._misses, self._evictions, self._expirations, self._coalesced, len(self._values)
            )

    # ---------------------------------------------------------------- fetching

    def _run(self, key: bytes, fetch: Callable[[bytes], Reply], fetching: _Fetch) -> Reply:
        """Fetch, keep, and then tell those who wait: nobody can join any more what has an outcome."""
        try:
            reply = fetch(key)
            self._end(key, fetching, reply)
        except Exception as problem:
            self._end(key, fetching, None)
            fetching.set_exception(problem)
            raise
        except BaseException:
            self._end(key, fetching, None)
            fetching.cancel()
            raise
        fetching.set_result(reply)
        return reply

    def _end(self, key: bytes, fetching: _Fetch, reply: Reply) -> None:
        """Keep what was fetched, unless the key was dropped meanwhile or another fetch has taken this one's place."""
        now = self._clock()
        with self._lock:
            if self._fetches.get(key) is not fetching:
                return
            del self._fetches[key]
            if isinstance(reply, bytes) and now < fetching.expires_at:
                self._make_room(now)
                self._values[key] = reply
                self._expires_at[key] = fetching.expires_at

    # ---------------------------------------------------------------- under the lock

    def _join_or_begin(self, key: bytes, asked: float) -> tuple[_Fetch, bool]:
        """Return the fetch of a key that is not kept, and whether it is for the caller to run."""
        fetching = self._fetches.get(key)
        if fetching is not None and asked < fetching.expires_at:
            self._coalesced += 1
            return fetching, False
        if key in self._expires_at:
            self._expirations += 1
            self._remove(key)
        self._misses += 1
        fetching = self._fetches[key] = _Fetch(asked + self._ttl)
        return fetching, True

    def _make_room(self, now: float) -> None:
        """Let one key go if there is no room for another: the first that was fetched if it has expired, else by use."""
        if len(self._values) < self._capacity:
            return
        oldest, expires_at = next(iter(self._expires_at.items()))
        if expires_at <= now:
            self._expirations += 1
            self._remove(oldest)
        else:
            self._evictions += 1
            least_recently_read, _ = self._values.popitem()
            del self._expires_at[least_recently_read]

    def _remove(self, key: bytes) -> None:
        del self._values[key]
        del self._expires_at[key]

    def _forget_all(self) -> None:
        self._values: LRUCache[bytes, bytes] = LRUCache(self._capacity)
        # In the order in which they were put. A plain dict would look for its first key past all that were removed.
        self._expires_at: OrderedDict[bytes, float] = OrderedDict()
        self._fetches: dict[bytes, _Fetch] = {}
