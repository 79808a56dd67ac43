"""The read-through cache: what is cached and for how long, eviction, invalidation, and coalesced fetches.

The clock and the TTL of these tests are in milliseconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

pytest.importorskip("cachetools", reason="the extra proxy is not installed")
pytest.importorskip("redis", reason="the extra proxy is not installed")

from common.errors import SYNTAX_ERROR, CommandError
from common.replies import OK, ErrorReply, Reply
from server.engines.redis.cache import CacheStats, ReadThroughCache
from tests.harness.clock import Clock
from tests.harness.waiting import TIMEOUT, all_at_once, wait_until

TTL = 1000
THREADS = 100


class Backing:
    """Values by key, and the keys that were fetched. A fetch takes ``takes`` milliseconds."""

    def __init__(self, clock: Clock) -> None:
        self.values: dict[bytes, bytes] = {}
        self.fetched: list[bytes] = []
        self.takes = 0
        self._clock = clock

    def fetch(self, key: bytes) -> Reply:
        self.fetched.append(key)
        self._clock.forward(self.takes)
        return self.values.get(key, b"value of " + key)


class Gate:
    """A fetch that does not return before the gate is opened."""

    def __init__(self, reply: Reply | BaseException) -> None:
        self._reply = reply
        self._entered = threading.Event()
        self._opened = threading.Event()
        self.fetches = 0

    def fetch(self, _: bytes) -> Reply:
        self.fetches += 1
        self._entered.set()
        assert self._opened.wait(TIMEOUT)
        if isinstance(self._reply, BaseException):
            raise self._reply
        return self._reply

    def wait_until_entered(self) -> None:
        assert self._entered.wait(TIMEOUT)

    def open(self) -> None:
        self._opened.set()


@pytest.fixture
def backing(clock: Clock) -> Backing:
    return Backing(clock)


@pytest.fixture
def cache(clock: Clock) -> ReadThroughCache:
    return ReadThroughCache(3, TTL, clock)


def read(cache: ReadThroughCache, backing: Backing, *keys: bytes) -> list[bytes]:
    """Read keys one after the other. Return those that were fetched."""
    before = len(backing.fetched)
    for key in keys:
        assert cache.get(key, backing.fetch) == backing.values.get(key, b"value of " + key)
    return backing.fetched[before:]


def never(key: bytes) -> Reply:
    raise AssertionError(f"{key!r} was fetched")


@contextmanager
def reading(cache: ReadThroughCache, fetch: Callable[[bytes], Reply], threads: int) -> Iterator[list[Future[Reply]]]:
    """Read ``key`` in several threads. Continue when each of them fetches or waits."""
    before = cache.stats()
    with ThreadPoolExecutor(threads) as pool:
        readers = [pool.submit(cache.get, b"key", fetch) for _ in range(threads)]
        wait_until(lambda: reads(cache.stats()) - reads(before) == threads, "every thread fetches or waits")
        yield readers


def reads(stats: CacheStats) -> int:
    return stats.hits + stats.misses + stats.coalesced


# ---------------------------------------------------------------- what is cached


def test_a_value_is_fetched_once_and_then_cached(cache: ReadThroughCache, backing: Backing) -> None:
    assert read(cache, backing, b"a", b"a", b"b", b"a", b"b") == [b"a", b"b"]
    assert cache.stats() == CacheStats(hits=3, misses=2, evictions=0, expirations=0, coalesced=0, keys=2)


def test_an_empty_value_is_a_value(cache: ReadThroughCache, backing: Backing) -> None:
    backing.values[b""] = b""
    assert read(cache, backing, b"", b"") == [b""]


@pytest.mark.parametrize("reply", [None, 1, 1.5, True, OK, ErrorReply.from_text(b"ERR no"), [b"a"], {b"a": b"b"}])
def test_only_bytes_are_cached(cache: ReadThroughCache, reply: Reply) -> None:
    for _ in range(2):
        assert cache.get(b"key", lambda _: reply) == reply
    assert cache.stats() == CacheStats(hits=0, misses=2, evictions=0, expirations=0, coalesced=0, keys=0)


def test_an_exception_is_raised_and_not_cached(cache: ReadThroughCache, backing: Backing) -> None:
    def fail(_: bytes) -> Reply:
        raise CommandError(SYNTAX_ERROR)

    for _ in range(2):
        with pytest.raises(CommandError):
            cache.get(b"key", fail)
    assert cache.stats().misses == 2
    assert read(cache, backing, b"key", b"key") == [b"key"]


@pytest.mark.parametrize(("keys", "ttl"), [(0, 1), (-1, 1), (1, 0), (1, -0.5), (1, float("nan"))])
def test_a_cache_without_room_or_ttl_is_refused(keys: int, ttl: float) -> None:
    with pytest.raises(ValueError, match="a cache needs"):
        ReadThroughCache(keys, ttl)


def test_the_default_clock(backing: Backing) -> None:
    cache = ReadThroughCache(1, float("inf"))
    assert read(cache, backing, b"a", b"a") == [b"a"]


# ---------------------------------------------------------------- expiry


def test_an_entry_expires_after_the_ttl_although_it_was_read(
    cache: ReadThroughCache, backing: Backing, clock: Clock
) -> None:
    read(cache, backing, b"a")
    clock.forward(TTL - 1)
    assert read(cache, backing, b"a") == []
    clock.forward(1)
    assert read(cache, backing, b"a") == [b"a"], "the hit has not prolonged its life"
    assert cache.stats() == CacheStats(hits=1, misses=2, evictions=0, expirations=1, coalesced=0, keys=1)


def test_the_ttl_counts_from_the_start_of_the_fetch(cache: ReadThroughCache, backing: Backing, clock: Clock) -> None:
    backing.takes = TTL - 1
    read(cache, backing, b"a")
    assert read(cache, backing, b"a") == []
    clock.forward(1)
    assert read(cache, backing, b"a") == [b"a"]


def test_a_fetch_longer_than_the_ttl_is_not_cached(cache: ReadThroughCache, backing: Backing) -> None:
    read(cache, backing, b"a", b"b", b"c")
    backing.takes = TTL
    assert read(cache, backing, b"slow") == [b"slow"]
    assert cache.stats() == CacheStats(hits=0, misses=4, evictions=0, expirations=0, coalesced=0, keys=3)


# ---------------------------------------------------------------- eviction


def test_a_full_cache_evicts_the_least_recently_used_entry(cache: ReadThroughCache, backing: Backing) -> None:
    read(cache, backing, b"a", b"b", b"c", b"a")
    assert read(cache, backing, b"d") == [b"d"]
    assert cache.stats().evictions == 1
    assert read(cache, backing, b"c", b"a", b"d") == []
    assert read(cache, backing, b"b") == [b"b"]
    assert read(cache, backing, b"a", b"d", b"c") == [b"c"]
    assert cache.stats().keys == 3


def test_an_expired_entry_is_removed_before_another_is_evicted(
    cache: ReadThroughCache, backing: Backing, clock: Clock
) -> None:
    read(cache, backing, b"old")
    clock.forward(TTL - 1)
    read(cache, backing, b"a", b"b", b"old")
    clock.forward(1)
    assert read(cache, backing, b"new", b"a", b"b") == [b"new"], "although both were read before the old one"
    stats = cache.stats()
    assert (stats.evictions, stats.expirations, stats.keys) == (0, 1, 3)


def test_a_missing_key_evicts_nothing(cache: ReadThroughCache, backing: Backing) -> None:
    read(cache, backing, b"a", b"b", b"c")
    assert cache.get(b"absent", lambda _: None) is None
    assert read(cache, backing, b"a", b"b", b"c") == []


def test_invalidated_keys_make_room(cache: ReadThroughCache, backing: Backing) -> None:
    read(cache, backing, b"a", b"b", b"c")
    cache.invalidate([b"a", b"nothing", b"c"])
    assert cache.stats().keys == 1
    assert read(cache, backing, b"d", b"e", b"b") == [b"d", b"e"]
    assert cache.stats().evictions == 0


# ---------------------------------------------------------------- invalidation


def test_an_invalidated_key_is_fetched_again(cache: ReadThroughCache, backing: Backing) -> None:
    read(cache, backing, b"a", b"b")
    backing.values[b"a"] = b"new"
    cache.invalidate(iter([b"a"]))
    assert read(cache, backing, b"a", b"b") == [b"a"]
    stats = cache.stats()
    assert (stats.evictions, stats.expirations) == (0, 0)


def test_clear_invalidates_everything(cache: ReadThroughCache, backing: Backing) -> None:
    read(cache, backing, b"a", b"b", b"c")
    cache.clear()
    assert cache.stats().keys == 0
    assert read(cache, backing, b"a", b"b", b"c") == [b"a", b"b", b"c"]
    assert cache.stats().evictions == 0


INVALIDATIONS = pytest.mark.parametrize(
    "invalidate", [lambda cache: cache.invalidate([b"key"]), ReadThroughCache.clear], ids=["invalidate", "clear"]
)
Invalidate = Callable[[ReadThroughCache], None]


@INVALIDATIONS
def test_a_fetch_overtaken_by_an_invalidation_is_not_cached(
    cache: ReadThroughCache, backing: Backing, invalidate: Invalidate
) -> None:
    def fetch(_: bytes) -> Reply:
        invalidate(cache)
        return b"old"

    assert cache.get(b"key", fetch) == b"old"
    assert cache.stats().keys == 0
    assert read(cache, backing, b"key") == [b"key"]


@INVALIDATIONS
def test_a_fetch_overtaken_by_an_invalidation_gets_no_new_readers_and_overwrites_nothing_newer(
    cache: ReadThroughCache, invalidate: Invalidate
) -> None:
    gate = Gate(b"old")
    with reading(cache, gate.fetch, threads=3) as before:
        gate.wait_until_entered()
        invalidate(cache)
        assert cache.get(b"key", lambda _: b"new") == b"new", "a read after the invalidation starts a fetch of its own"
        gate.open()
        assert {reader.result() for reader in before} == {b"old"}, "readers that waited before get the old value"
    assert cache.get(b"key", never) == b"new"
    assert gate.fetches == 1


def test_a_fetch_overtaken_by_an_invalidation_does_not_end_a_later_fetch(cache: ReadThroughCache) -> None:
    first, second = Gate(b"old"), Gate(b"new")
    with reading(cache, first.fetch, 1) as before:
        first.wait_until_entered()
        cache.invalidate([b"key"])
        with reading(cache, second.fetch, 2) as after:
            first.open()
            assert before[0].result() == b"old"
            with reading(cache, never, 2) as later:
                second.open()
                assert {reader.result() for reader in after + later} == {b"new"}
    assert cache.get(b"key", never) == b"new"


# ---------------------------------------------------------------- coalescing (single-flight)


@pytest.mark.parametrize("reply", [b"value", None, OK], ids=["value", "missing key", "status"])
def test_single_flight_concurrent_misses_share_one_fetch(cache: ReadThroughCache, reply: Reply) -> None:
    gate = Gate(reply)
    with reading(cache, gate.fetch, THREADS) as readers:
        gate.open()
        assert [reader.result() for reader in readers] == [reply] * THREADS
    assert gate.fetches == 1
    stats = cache.stats()
    assert (stats.misses, stats.coalesced, stats.hits) == (1, THREADS - 1, 0)
    assert stats.keys == isinstance(reply, bytes)


def test_single_flight_concurrent_misses_share_the_exception(cache: ReadThroughCache) -> None:
    gate = Gate(CommandError(SYNTAX_ERROR))
    with reading(cache, gate.fetch, THREADS) as readers:
        gate.open()
        raised = [reader.exception() for reader in readers]
    assert [each.reply for each in raised if isinstance(each, CommandError)] == [SYNTAX_ERROR] * THREADS
    assert gate.fetches == 1
    assert cache.get(b"key", lambda _: b"recovered") == b"recovered"


def test_single_flight_readers_start_again_if_the_fetching_thread_terminates(cache: ReadThroughCache) -> None:
    terminating = Gate(SystemExit())
    with reading(cache, terminating.fetch, 1) as dying, reading(cache, lambda _: b"value", THREADS) as others:
        terminating.open()
        assert isinstance(dying[0].exception(), SystemExit)
        assert [reader.result() for reader in others] == [b"value"] * THREADS
    assert terminating.fetches == 1
    assert cache.get(b"key", never) == b"value"


def test_a_fetch_does_not_block_reads_of_other_keys(cache: ReadThroughCache, backing: Backing) -> None:
    gate = Gate(b"value")
    read(cache, backing, b"a")
    with reading(cache, gate.fetch, 1):
        gate.wait_until_entered()
        assert read(cache, backing, b"a", b"b") == [b"b"]
        cache.invalidate([b"a"])
        cache.stats()
        gate.open()


def test_a_fetch_older_than_the_ttl_gets_no_new_readers(cache: ReadThroughCache, clock: Clock) -> None:
    stuck = Gate(b"old")
    with reading(cache, stuck.fetch, 1) as waiting:
        stuck.wait_until_entered()
        clock.forward(TTL - 1)
        with reading(cache, never, 1) as joined:
            clock.forward(1)
            assert cache.get(b"key", lambda _: b"new") == b"new"
            stuck.open()
            assert {reader.result() for reader in waiting + joined} == {b"old"}
    assert cache.get(b"key", never) == b"new"


def test_get_cached_counts_hits_only(clock: Clock) -> None:
    cache = ReadThroughCache(2, TTL, clock)
    assert cache.get_cached(b"a") is None
    assert cache.get(b"a", lambda _: b"1") == b"1"
    assert cache.get(b"b", lambda _: b"2") == b"2"
    assert cache.get_cached(b"a") == (b"1", 0)
    assert cache.get(b"c", lambda _: b"3") == b"3", "which evicts the least recently used key: b"
    clock.forward(TTL - 1)
    assert (cache.get_cached(b"a"), cache.get_cached(b"b")) == ((b"1", TTL - 1), None)
    clock.forward(1)
    assert cache.get_cached(b"a") is None
    assert cache.stats() == CacheStats(hits=2, misses=3, evictions=1, expirations=0, coalesced=0, keys=2)


@pytest.mark.stress
def test_no_read_after_a_write_returns_an_older_value() -> None:
    keys = [b"a", b"b", b"c"]
    values = dict.fromkeys(keys, 0)
    writing = threading.Lock()
    cache = ReadThroughCache(2, 60)

    def fetch(key: bytes) -> Reply:
        return b"%d" % values[key]

    def write_and_read() -> None:
        seen = dict.fromkeys(keys, 0)
        for number in range(2000):
            key = keys[number % len(keys)]
            if number % 5 == 0:
                with writing:
                    seen[key] = values[key] = values[key] + 1
                cache.invalidate([key])
            value = cache.get(key, fetch)
            assert isinstance(value, bytes)
            assert int(value) >= seen[key], "an older value was returned"
            seen[key] = int(value)

    all_at_once([write_and_read] * 8)
    stats = cache.stats()
    assert reads(stats) == 16_000
    assert stats.keys <= 2
