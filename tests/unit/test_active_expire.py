"""Sweeping: memory comes back though nobody asks for the keys, in slices, and at a price that stays in proportion."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server.engines import embedded as engine_module
from server.engines.embedded import SWEEP_INTERVAL, SWEEP_PAUSE, SWEEP_SLICE, EmbeddedEngine
from server.keyspace.expiration import WEEDING_SIZE, Deadlines
from server.keyspace.store import Store
from tests.harness.sessions import ClientSession, Clock, execute_line, send_lines


def fill(store: Store, clock: Clock, lives: list[int]) -> None:
    """Add keys that live so many milliseconds."""
    for number, life in enumerate(lives):
        store.set(b"%d" % number, b"v")
        store.expire_at(b"%d" % number, clock.now + life)


def test_a_sweep_removes_what_expired_in_seconds_that_are_over_and_nothing_else(
    engine: EmbeddedEngine, store: Store, clock: Clock
) -> None:
    start = clock.now
    assert start % 1000 == 0
    store.set(b"for ever", b"v")
    fill(store, clock, [1, 999, 1000, 1001, 60_000])
    for passed, left in ((0, 6), (999, 6), (1000, 4), (1999, 4), (2000, 2)):
        clock.now = start + passed
        assert engine.sweep()
        assert len(store._values) == left
    assert (store.expired_keys, store.keys_with_deadline) == (4, 1)
    assert set(store._values) == {b"for ever", b"4"}
    clock.forward(10**9)
    assert engine.sweep()
    assert set(store._values) == {b"for ever"}
    assert store._deadlines._by_second == {}


@pytest.mark.parametrize("later", [0, 1, 999, 5000])
def test_a_sweep_lets_go_of_the_lock_when_its_slice_is_over_and_goes_on_next_time(
    engine: EmbeddedEngine, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch, later: int
) -> None:
    """By a clock on which the removal of a key takes a hundredth of a slice."""
    ticks = iter(range(0, 10**12, SWEEP_SLICE // 100))
    monkeypatch.setattr(engine_module, "perf_counter_ns", lambda: next(ticks))
    fill(store, clock, [1000] * 250)
    clock.forward(2000 + later)
    left = []
    while not engine.sweep():
        left.append(len(store._values))
        assert store.keys_with_deadline == len(store._values)
        store.check()
    assert left == [149, 48]
    assert len(store._values) == 0
    assert store.expired_keys == 250


def test_a_sweep_that_is_done_says_so_where_nothing_expires(engine: EmbeddedEngine, store: Store) -> None:
    assert engine.sweep()
    store.set(b"a", b"1")
    assert engine.sweep()


class Waits:
    """An event that is set after so many waits, and notes how long each was to be."""

    def __init__(self, count: int) -> None:
        self.timeouts: list[float] = []
        self._count = count

    def wait(self, timeout: float) -> bool:
        self.timeouts.append(timeout)
        return len(self.timeouts) >= self._count


def test_the_sweeper_pauses_briefly_while_there_is_more_to_sweep_and_long_when_there_is_not(
    engine: EmbeddedEngine, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(0, 10**12, SWEEP_SLICE // 100))
    monkeypatch.setattr(engine_module, "perf_counter_ns", lambda: next(ticks))
    waits = Waits(5)
    monkeypatch.setattr(engine, "_stop", waits)
    fill(store, clock, [1000] * 250)
    clock.forward(2000)
    engine._sweep_until_stopped()
    assert waits.timeouts == [SWEEP_INTERVAL, SWEEP_PAUSE, SWEEP_PAUSE, SWEEP_INTERVAL, SWEEP_INTERVAL]
    assert len(store._values) == 0


def test_the_sweepers_thread_ends_when_it_is_told(engine: EmbeddedEngine) -> None:
    engine.start()
    assert engine._sweeper.is_alive()
    engine.stop()
    assert not engine._sweeper.is_alive()


def test_an_expired_key_counts_once_whoever_finds_it(session: ClientSession, store: Store, clock: Clock) -> None:
    fill(store, clock, [100] * 4)
    clock.forward(100)
    send_lines(session, "GET 0", "GET 0", "SET 1 new", "DEL 2", "DBSIZE")
    assert store.expired_keys == 4
    assert execute_line(session, "DBSIZE") == 1


# ---------------------------------------------------------------- what it costs


class CountingSet(set[bytes]):
    """A set that counts how often somebody goes to its first member: the more have gone, the longer that takes."""

    searches = 0

    def __iter__(self) -> Iterator[bytes]:
        self.searches += 1
        return super().__iter__()


def test_keys_that_expired_in_one_second_are_found_without_a_search(store: Store, clock: Clock) -> None:
    fill(store, clock, [1000] * 1000)
    by_second = store._deadlines._by_second
    (second,) = by_second
    counting = by_second[second] = CountingSet(by_second[second])
    clock.forward(2000)
    store.moment = None  # as the engine does before each step
    assert len(store) == 0
    assert (counting.searches, store.expired_keys) == (0, 1000)


def test_a_deadline_that_is_moved_again_and_again_leaves_no_trail() -> None:
    deadlines = Deadlines()
    deadlines.place(b"still", 5)
    for second in range(10 * WEEDING_SIZE):
        deadlines.place(b"moving", second * 1000)
        assert len(deadlines._seconds) <= WEEDING_SIZE + 2 * 2 + 1
    deadlines.check()
    assert deadlines.by_key == {b"still": 5, b"moving": second * 1000}


def test_weeding_loses_no_second() -> None:
    deadlines = Deadlines()
    keys = [b"%d" % number for number in range(4 * WEEDING_SIZE)]
    for number, key in enumerate(keys):
        deadlines.place(key, number * 1000)
    for key in keys[1::4] + keys[2::4] + keys[3::4]:
        assert deadlines.discard(key)
    deadlines.check()
    assert len(deadlines._seconds) < len(keys)
    found = []
    for key in deadlines.due(10**9):
        found.append(key)
        deadlines.discard(key)
    assert found == keys[::4], "earliest first"


# ---------------------------------------------------------------- the check


def sound() -> Deadlines:
    deadlines = Deadlines()
    for number in range(3):
        deadlines.place(b"%d" % number, number * 1000)
    deadlines.check()
    return deadlines


def test_the_check_finds_a_deadline_in_no_second() -> None:
    deadlines = sound()
    deadlines.by_key[b"new"] = 5000
    with pytest.raises(AssertionError, match="differ"):
        deadlines.check()


def test_the_check_finds_a_deadline_in_the_wrong_second() -> None:
    deadlines = sound()
    deadlines.by_key[b"0"] = 5000
    with pytest.raises(AssertionError, match="differ"):
        deadlines.check()


def test_the_check_finds_a_second_that_the_heap_lacks() -> None:
    deadlines = sound()
    deadlines._seconds.remove(1)
    with pytest.raises(AssertionError, match="heap"):
        deadlines.check()


def test_the_check_finds_a_second_without_keys() -> None:
    deadlines = sound()
    deadlines._by_second[7] = set()
    deadlines._seconds.append(7)
    with pytest.raises(AssertionError, match="without keys"):
        deadlines.check()


def test_the_stores_check_finds_a_deadline_without_a_value() -> None:
    store = Store()
    store._deadlines.place(b"a", 1)
    with pytest.raises(AssertionError, match="no value"):
        store.check()
    store.clear()
