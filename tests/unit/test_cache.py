"""The read-through cache: what it keeps and for how long, who goes, and what happens while a fetch is under way.

The clock here counts milliseconds, and so does the ttl.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from common.errors import SYNTAX_ERROR, CommandError
from common.replies import OK, ErrorReply, Reply
from server.engines.redis.cache import CacheFigures, ReadThroughCache
from tests.harness.processes import TIMEOUT, all_at_once, wait_until
from tests.harness.sessions import Clock

TTL = 1000
THREADS = 100


class Backing:
    """What is cached: values by key, and the keys that were fetched. A fetch takes as long as it is told."""

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
    """A fetch that waits, once it has its reply, until it is let through."""

    def __init__(self, reply: Reply | BaseException) -> None:
        self._reply = reply
        self._entered = threading.Event()
        self._open = threading.Event()
        self.fetches = 0

    def fetch(self, _: bytes) -> Reply:
        self.fetches += 1
        self._entered.set()
        assert self._open.wait(TIMEOUT)
        if isinstance(self._reply, BaseException):
            raise self._reply
        return self._reply

    def wait_until_entered(self) -> None:
        assert self._entered.wait(TIMEOUT)

    def let_through(self) -> None:
        self._open.set()


@pytest.fixture
def backing(clock: Clock) -> Backing:
    return Backing(clock)


@pytest.fixture
def cache(clock: Clock) -> ReadThroughCache:
    return ReadThroughCache(3, TTL, clock)


def read(cache: ReadThroughCache, backing: Backing, *keys: bytes) -> list[bytes]:
    """Read keys one after the other; return those that had to be fetched."""
    before = len(backing.fetched)
    for key in keys:
        assert cache.get(key, backing.fetch) == backing.values.get(key, b"value of " + key)
    return backing.fetched[before:]


def never(key: bytes) -> Reply:
    raise AssertionError(f"{key!r} was fetched")


@contextmanager
def reading(cache: ReadThroughCache, fetch: Callable[[bytes], Reply], threads: int) -> Iterator[list[Future[Reply]]]:
    """Read ``key`` in threads of their own; go on when each of them fetches or waits."""
    before = cache.figures()
    with ThreadPoolExecutor(threads) as pool:
        readers = [pool.submit(cache.get, b"key", fetch) for _ in range(threads)]
        wait_until(lambda: reads(cache.figures()) - reads(before) == threads, "every thread fetches or waits")
        yield readers


def reads(figures: CacheFigures) -> int:
    return figures.hits + figures.misses + figures.coalesced


# ---------------------------------------------------------------- what is kept


def test_a_value_is_fetched_once_and_then_kept(cache: ReadThroughCache, backing: Backing) -> None:
    assert read(cache, backing, b"a", b"a", b"b", b"a", b"b") == [b"a", b"b"]
    assert cache.figures() == CacheFigures(hits=3, misses=2, evictions=0, expirations=0, coalesced=0, keys=2)


def test_an_empty_value_is_a_value(cache: ReadThroughCache, backing: Backing) -> None:
    backing.values[b""] = b""
    assert read(cache, backing, b"", b"") == [b""]


@pytest.mark.parametrize("reply", [None, 1, 1.5, True, OK, ErrorReply.from_text(b"ERR no"), [b"a"], {b"a": b"b"}])
def test_nothing_but_bytes_is_kept(cache: ReadThroughCache, reply: Reply) -> None:
    for _ in range(2):
        assert cache.get(b"key", lambda _: reply) == reply
    assert cache.figures() == CacheFigures(hits=0, misses=2, evictions=0, expirations=0, coalesced=0, keys=0)


def test_an_exception_is_raised_and_not_kept(cache: ReadThroughCache, backing: Backing) -> None:
    def fail(_: bytes) -> Reply:
        raise CommandError(SYNTAX_ERROR)

    for _ in range(2):
        with pytest.raises(CommandError):
            cache.get(b"key", fail)
    assert cache.figures().misses == 2
    assert read(cache, backing, b"key", b"key") == [b"key"]


@pytest.mark.parametrize(("keys", "ttl"), [(0, 1), (-1, 1), (1, 0), (1, -0.5), (1, float("nan"))])
def test_a_cache_of_nothing_is_refused(keys: int, ttl: float) -> None:
    with pytest.raises(ValueError, match="a cache keeps"):
        ReadThroughCache(keys, ttl)


def test_it_has_a_clock_of_its_own(backing: Backing) -> None:
    cache = ReadThroughCache(1, float("inf"))
    assert read(cache, backing, b"a", b"a") == [b"a"]


# ---------------------------------------------------------------- for how long


def test_a_value_is_kept_for_the_ttl_and_not_a_moment_longer(
    cache: ReadThroughCache, backing: Backing, clock: Clock
) -> None:
    read(cache, backing, b"a")
    clock.forward(TTL - 1)
    assert read(cache, backing, b"a") == []
    clock.forward(1)
    assert read(cache, backing, b"a") == [b"a"], "the hit before has not prolonged it"
    assert cache.figures() == CacheFigures(hits=1, misses=2, evictions=0, expirations=1, coalesced=0, keys=1)


def test_the_ttl_counts_from_when_the_fetch_began(cache: ReadThroughCache, backing: Backing, clock: Clock) -> None:
    backing.takes = TTL - 1
    read(cache, backing, b"a")
    assert read(cache, backing, b"a") == []
    clock.forward(1)
    assert read(cache, backing, b"a") == [b"a"]


def test_what_took_longer_than_the_ttl_to_fetch_is_not_kept(cache: ReadThroughCache, backing: Backing) -> None:
    read(cache, backing, b"a", b"b", b"c")
    backing.takes = TTL
    assert read(cache, backing, b"slow") == [b"slow"]
    assert cache.figures() == CacheFigures(hits=0, misses=4, evictions=0, expirations=0, coalesced=0, keys=3)


# ---------------------------------------------------------------- who goes


def test_the_least_recently_read_goes_when_there_is_no_room(cache: ReadThroughCache, backing: Backing) -> None:
    read(cache, backing, b"a", b"b", b"c", b"a")
    assert read(cache, backing, b"d") == [b"d"]
    assert cache.figures().evictions == 1
    assert read(cache, backing, b"c", b"a", b"d") == []
    assert read(cache, backing, b"b") == [b"b"]
    assert read(cache, backing, b"a", b"d", b"c") == [b"c"]
    assert cache.figures().keys == 3


def test_one_that_has_expired_goes_before_one_that_has_not(
    cache: ReadThroughCache, backing: Backing, clock: Clock
) -> None:
    read(cache, backing, b"old")
    clock.forward(TTL - 1)
    read(cache, backing, b"a", b"b", b"old")
    clock.forward(1)
    assert read(cache, backing, b"new", b"a", b"b") == [b"new"], "though both were read before the old one was"
    figures = cache.figures()
    assert (figures.evictions, figures.expirations, figures.keys) == (0, 1, 3)


def test_a_key_that_is_not_there_takes_nobodys_place(cache: ReadThroughCache, backing: Backing) -> None:
    read(cache, backing, b"a", b"b", b"c")
    assert cache.get(b"absent", lambda _: None) is None
    assert read(cache, backing, b"a", b"b", b"c") == []


def test_keys_that_were_dropped_leave_their_room(cache: ReadThroughCache, backing: Backing) -> None:
    read(cache, backing, b"a", b"b", b"c")
    cache.drop([b"a", b"nothing", b"c"])
    assert cache.figures().keys == 1
    assert read(cache, backing, b"d", b"e", b"b") == [b"d", b"e"]
    assert cache.figures().evictions == 0


# ---------------------------------------------------------------- writes


def test_what_was_dropped_is_fetched_anew(cache: ReadThroughCache, backing: Backing) -> None:
    read(cache, backing, b"a", b"b")
    backing.values[b"a"] = b"new"
    cache.drop(iter([b"a"]))
    assert read(cache, backing, b"a", b"b") == [b"a"]
    figures = cache.figures()
    assert (figures.evictions, figures.expirations) == (0, 0)


def test_clear_drops_everything(cache: ReadThroughCache, backing: Backing) -> None:
    read(cache, backing, b"a", b"b", b"c")
    cache.clear()
    assert cache.figures().keys == 0
    assert read(cache, backing, b"a", b"b", b"c") == [b"a", b"b", b"c"]
    assert cache.figures().evictions == 0


DROPS = pytest.mark.parametrize(
    "drop", [lambda cache: cache.drop([b"key"]), ReadThroughCache.clear], ids=["drop", "clear"]
)
Drop = Callable[[ReadThroughCache], None]


@DROPS
def test_a_fetch_that_a_write_overtakes_leaves_nothing_behind(
    cache: ReadThroughCache, backing: Backing, drop: Drop
) -> None:
    def fetch(_: bytes) -> Reply:
        drop(cache)
        return b"old"

    assert cache.get(b"key", fetch) == b"old"
    assert cache.figures().keys == 0
    assert read(cache, backing, b"key") == [b"key"]


@DROPS
def test_a_fetch_that_a_write_overtakes_is_joined_no_more_and_does_not_overwrite_what_is_newer(
    cache: ReadThroughCache, drop: Drop
) -> None:
    gate = Gate(b"old")
    with reading(cache, gate.fetch, threads=3) as before:
        gate.wait_until_entered()
        drop(cache)
        assert cache.get(b"key", lambda _: b"new") == b"new", "whoever asks after the write fetches by himself"
        gate.let_through()
        assert {reader.result() for reader in before} == {b"old"}, "those who waited already get what they waited for"
    assert cache.get(b"key", never) == b"new"
    assert gate.fetches == 1


def test_a_fetch_that_a_write_overtakes_does_not_end_the_one_that_began_later(cache: ReadThroughCache) -> None:
    first, second = Gate(b"old"), Gate(b"new")
    with reading(cache, first.fetch, 1) as before:
        first.wait_until_entered()
        cache.drop([b"key"])
        with reading(cache, second.fetch, 2) as after:
            first.let_through()
            assert before[0].result() == b"old"
            with reading(cache, never, 2) as later:
                second.let_through()
                assert {reader.result() for reader in after + later} == {b"new"}
    assert cache.get(b"key", never) == b"new"


# ---------------------------------------------------------------- many at once


@pytest.mark.parametrize("reply", [b"value", None, OK], ids=["a value", "no such key", "a status"])
def test_all_who_miss_at_once_share_one_fetch(cache: ReadThroughCache, reply: Reply) -> None:
    gate = Gate(reply)
    with reading(cache, gate.fetch, THREADS) as readers:
        gate.let_through()
        assert [reader.result() for reader in readers] == [reply] * THREADS
    assert gate.fetches == 1
    figures = cache.figures()
    assert (figures.misses, figures.coalesced, figures.hits) == (1, THREADS - 1, 0)
    assert figures.keys == isinstance(reply, bytes)


def test_all_who_miss_at_once_share_the_exception(cache: ReadThroughCache) -> None:
    gate = Gate(CommandError(SYNTAX_ERROR))
    with reading(cache, gate.fetch, THREADS) as readers:
        gate.let_through()
        raised = [reader.exception() for reader in readers]
    assert [each.reply for each in raised if isinstance(each, CommandError)] == [SYNTAX_ERROR] * THREADS
    assert gate.fetches == 1
    assert cache.get(b"key", lambda _: b"well again") == b"well again"


def test_when_the_fetching_thread_comes_to_its_end_those_who_wait_fetch_by_themselves(cache: ReadThroughCache) -> None:
    deadly = Gate(SystemExit())
    with reading(cache, deadly.fetch, 1) as dying, reading(cache, lambda _: b"value", THREADS) as others:
        deadly.let_through()
        assert isinstance(dying[0].exception(), SystemExit)
        assert [reader.result() for reader in others] == [b"value"] * THREADS
    assert deadly.fetches == 1
    assert cache.get(b"key", never) == b"value"


def test_a_fetch_of_one_key_holds_up_nobody_who_wants_another(cache: ReadThroughCache, backing: Backing) -> None:
    gate = Gate(b"value")
    read(cache, backing, b"a")
    with reading(cache, gate.fetch, 1):
        gate.wait_until_entered()
        assert read(cache, backing, b"a", b"b") == [b"b"]
        cache.drop([b"a"])
        cache.figures()
        gate.let_through()


def test_a_fetch_that_is_older_than_the_ttl_is_joined_no_more(cache: ReadThroughCache, clock: Clock) -> None:
    stuck = Gate(b"old")
    with reading(cache, stuck.fetch, 1) as waiting:
        stuck.wait_until_entered()
        clock.forward(TTL - 1)
        with reading(cache, never, 1) as joined:
            clock.forward(1)
            assert cache.get(b"key", lambda _: b"new") == b"new"
            stuck.let_through()
            assert {reader.result() for reader in waiting + joined} == {b"old"}
    assert cache.get(b"key", never) == b"new"


def test_a_peek_is_a_read_of_what_is_kept_and_otherwise_nothing(clock: Clock) -> None:
    cache = ReadThroughCache(2, TTL, clock)
    assert cache.peek(b"a") is None
    assert cache.get(b"a", lambda _: b"1") == b"1"
    assert cache.get(b"b", lambda _: b"2") == b"2"
    assert cache.peek(b"a") == b"1"
    assert cache.get(b"c", lambda _: b"3") == b"3", "for which the least recently read goes: b"
    assert (cache.peek(b"a"), cache.peek(b"b")) == (b"1", None)
    clock.forward(TTL)
    assert cache.peek(b"a") is None
    assert cache.figures() == CacheFigures(hits=2, misses=3, evictions=1, expirations=0, coalesced=0, keys=2)


@pytest.mark.stress
def test_nobody_reads_what_was_there_before_a_write_that_has_ended() -> None:
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
                cache.drop([key])
            value = cache.get(key, fetch)
            assert isinstance(value, bytes)
            assert int(value) >= seen[key], "a value that was there before is back"
            seen[key] = int(value)

    all_at_once([write_and_read] * 8)
    figures = cache.figures()
    assert reads(figures) == 16_000
    assert figures.keys <= 2
