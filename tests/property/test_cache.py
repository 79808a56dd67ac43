"""The read-through cache compared with a naive model: every reply and every counter, whatever happens during a fetch.

One thread does everything. A fetch is a list of operations, reads included, that happen before it returns.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

pytest.importorskip("cachetools", reason="the extra proxy is not installed")
pytest.importorskip("redis", reason="the extra proxy is not installed")

from common.replies import OK, Reply
from server.engines.redis.cache import ReadThroughCache
from tests.harness.clock import Clock
from tests.harness.profiles import examples

TTL = 10

Operation = tuple[object, ...]


class FetchFailed(Exception):
    """Raised by a fetch."""


class Model:
    """The specification of the cache, as lists that are searched linearly."""

    def __init__(self, capacity: int, clock: Clock) -> None:
        self.capacity = capacity
        self.clock = clock
        self.cached: list[tuple[bytes, bytes, int]] = []  # key, value, expires_at; in order of insertion
        self.read: list[bytes] = []  # the least recently used first
        self.fetches: list[tuple[bytes, int]] = []  # key, expires_at
        self.counts = Counter[str]()

    def look(self, key: bytes) -> bytes | None:
        """Return the cached value of a key, or None."""
        for each, value, expires_at in self.cached:
            if each == key and self.clock() < expires_at:
                self.counts["hits"] += 1
                self.use(key)
                return value
        return None

    def use(self, key: bytes) -> None:
        self.read = [*(each for each in self.read if each != key), key]

    def would_join(self, key: bytes) -> bool:
        return any(each == key and self.clock() < expires_at for each, expires_at in self.fetches)

    def begin(self, key: bytes) -> tuple[bytes, int]:
        self.counts["misses"] += 1
        self.counts["expirations"] += any(each == key for each, _, _ in self.cached)
        self.remove(key)
        fetch = (key, self.clock() + TTL)
        self.fetches.append(fetch)
        return fetch

    def end(self, fetch: tuple[bytes, int], reply: Reply) -> None:
        key, expires_at = fetch
        if not any(each is fetch for each in self.fetches):
            return
        self.fetches = [each for each in self.fetches if each is not fetch]
        if isinstance(reply, bytes) and self.clock() < expires_at:
            if len(self.cached) == self.capacity:
                self.make_room()
            self.cached.append((key, reply, expires_at))
            self.use(key)

    def make_room(self) -> None:
        oldest, _, expires_at = self.cached[0]
        expired = expires_at <= self.clock()
        self.counts["expirations" if expired else "evictions"] += 1
        self.remove(oldest if expired else self.read[0])

    def remove(self, key: bytes) -> None:
        """Invalidate a key and its fetch."""
        self.cached = [each for each in self.cached if each[0] != key]
        self.read = [each for each in self.read if each != key]
        self.fetches = [each for each in self.fetches if each[0] != key]


class Both:
    """Apply every operation to the cache and to the model, and compare them."""

    def __init__(self, capacity: int) -> None:
        self.clock = Clock()
        self.model = Model(capacity, self.clock)
        self.cache = ReadThroughCache(capacity, TTL, self.clock)

    def do(self, operation: Operation) -> None:
        name, *arguments = operation
        getattr(self, str(name))(*arguments)
        stats = asdict(self.cache.stats())
        assert {name: count for name, count in stats.items() if count} == {
            name: count for name, count in (self.model.counts | Counter(keys=len(self.model.cached))).items() if count
        }

    def forward(self, milliseconds: int) -> None:
        self.clock.forward(milliseconds)

    def invalidate(self, keys: list[bytes]) -> None:
        self.cache.invalidate(keys)
        for key in keys:
            self.model.remove(key)

    def clear(self) -> None:
        self.cache.clear()
        for key in KEYS:
            self.model.remove(key)

    def get(self, key: bytes, outcome: Reply | FetchFailed, meanwhile: list[Operation]) -> None:
        expected = self.model.look(key)
        if expected is not None:
            assert self.cache.get(key, self._never) == expected
            return
        if self.model.would_join(key):
            return  # this thread would wait for its own fetch
        fetch = self.model.begin(key)

        def run(_: bytes) -> Reply:
            for operation in meanwhile:
                self.do(operation)
            self.model.end(fetch, None if isinstance(outcome, FetchFailed) else outcome)
            if isinstance(outcome, FetchFailed):
                raise outcome
            return outcome

        if isinstance(outcome, FetchFailed):
            with pytest.raises(FetchFailed):
                self.cache.get(key, run)
        else:
            assert self.cache.get(key, run) == outcome

    @staticmethod
    def _never(key: bytes) -> Reply:
        raise AssertionError(f"{key!r} was fetched although it is cached")


KEYS = [b"a", b"b", b"c", b"d"]
keys = st.sampled_from(KEYS)
times = st.sampled_from([1, 3, TTL - 1, TTL])
values = st.integers(0, 99).map(b"%d".__mod__)
outcomes = st.one_of(values, values, values, st.sampled_from([None, OK]), st.builds(FetchFailed))
changes: st.SearchStrategy[Operation] = st.one_of(
    st.tuples(st.just("forward"), times),
    st.tuples(st.just("invalidate"), st.lists(keys, min_size=1, max_size=2)),
    st.just(("clear",)),
)


def gets(meanwhile: st.SearchStrategy[list[Operation]]) -> st.SearchStrategy[Operation]:
    return st.tuples(st.just("get"), keys, outcomes, meanwhile)


quick_gets = gets(st.just([]))
gets_with_changes = gets(st.lists(changes, max_size=3))


class Cache(RuleBasedStateMachine):
    @initialize(capacity=st.integers(1, 3))
    def begin(self, capacity: int) -> None:
        self.both = Both(capacity)

    @rule(get=quick_gets)
    def read(self, get: Operation) -> None:
        self.both.do(get)

    @rule(get=gets(st.lists(changes | gets_with_changes, max_size=4)))
    def read_with_other_operations_during_the_fetch(self, get: Operation) -> None:
        self.both.do(get)

    @rule(change=changes)
    def change(self, change: Operation) -> None:
        self.both.do(change)


TestCache = Cache.TestCase
TestCache.settings = settings(max_examples=examples(100), stateful_step_count=50)
