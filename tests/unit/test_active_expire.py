"""The active expire cycle: memory of expired keys is freed although no client accesses them, in bounded slices."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from server.engines import embedded as engine_module
from server.engines import time_slice
from server.engines.embedded import EXPIRE_INTERVAL, EXPIRE_PAUSE, EXPIRE_SLICE, EmbeddedEngine
from server.keyspace.store import Store
from tests.harness.clock import Clock
from tests.harness.sessions import ClientSession, execute_line, send_lines
from tests.harness.waiting import wait_until


def fill(store: Store, clock: Clock, lives: list[int]) -> None:
    """Add keys that expire after so many milliseconds."""
    for number, life in enumerate(lives):
        store.set(b"%d" % number, b"v", clock.now + life)


def slow_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the removal of each key take a hundredth of a slice."""
    ticks = iter(range(0, 10**12, EXPIRE_SLICE // 100))
    monkeypatch.setattr(time_slice, "perf_counter_ns", lambda: next(ticks))


def test_active_expire_removes_what_expired_in_seconds_that_are_over_and_nothing_else(
    engine: EmbeddedEngine, store: Store, clock: Clock
) -> None:
    start = clock.now
    assert start % 1000 == 0
    store.set(b"persistent", b"v")
    fill(store, clock, [1, 999, 1000, 1001, 60_000])
    for passed, removed in ((0, 0), (999, 0), (1000, 2), (1999, 2), (2000, 4)):
        clock.now = start + passed
        assert engine.expire_slice()
        assert (store.expired_keys, store.expiring_keys) == (removed, 5 - removed)
    assert [key for key, _, _ in store.items()] == [b"persistent", b"4"]
    clock.forward(10**9)
    assert engine.expire_slice()
    assert (store.expired_keys, store.expiring_keys) == (5, 0)
    assert [key for key, _, _ in store.items()] == [b"persistent"]


@pytest.mark.parametrize("later", [0, 1, 999, 5000])
def test_active_expire_releases_the_lock_after_a_slice_and_continues_in_the_next(
    engine: EmbeddedEngine, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch, later: int
) -> None:
    slow_clock(monkeypatch)
    fill(store, clock, [1000] * 250)
    clock.forward(2000 + later)
    left = []
    while not engine.expire_slice():
        left.append(250 - store.expired_keys)
        assert store.expiring_keys == left[-1]
        store.check()
    assert left == [149, 48]
    assert (store.expired_keys, store.expiring_keys) == (250, 0)


def test_active_expire_reports_that_it_is_done_if_nothing_expires(engine: EmbeddedEngine, store: Store) -> None:
    assert engine.expire_slice()
    store.set(b"a", b"1")
    assert engine.expire_slice()


class Waits:
    """An event that is set after so many waits. It records the timeout of each."""

    def __init__(self, count: int) -> None:
        self.timeouts: list[float] = []
        self._count = count

    @property
    def done(self) -> bool:
        return len(self.timeouts) >= self._count

    def wait(self, timeout: float) -> bool:
        self.timeouts.append(timeout)
        return self.done

    def set(self) -> None:
        pass


@pytest.mark.uncompiled
def test_active_expire_pauses_briefly_while_expired_keys_are_left_and_long_otherwise(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_clock(monkeypatch)
    waits = Waits(5)
    fake = SimpleNamespace(Event=lambda: waits, RLock=threading.RLock, Thread=threading.Thread)
    monkeypatch.setattr(engine_module, "threading", fake)
    engine = EmbeddedEngine(store)
    fill(store, clock, [1000] * 250)
    clock.forward(2000)
    engine.start()
    wait_until(lambda: waits.done, "the active expire thread has waited five times")
    engine.stop()
    assert waits.timeouts == [EXPIRE_INTERVAL, EXPIRE_PAUSE, EXPIRE_PAUSE, EXPIRE_INTERVAL, EXPIRE_INTERVAL]
    assert store.expired_keys == 250


def test_the_active_expire_thread_ends_when_the_engine_stops(engine: EmbeddedEngine) -> None:
    before = set(threading.enumerate())
    engine.start()
    (thread,) = set(threading.enumerate()) - before
    assert (thread.name, thread.daemon) == ("active expire", True)
    engine.stop()
    wait_until(lambda: not thread.is_alive(), "the thread has ended")


def test_an_engine_that_was_never_started_can_be_stopped(engine: EmbeddedEngine) -> None:
    engine.stop()


def test_an_expired_key_counts_once_however_it_is_found(session: ClientSession, store: Store, clock: Clock) -> None:
    fill(store, clock, [100] * 4)
    clock.forward(100)
    send_lines(session, "GET 0", "GET 0", "SET 1 new", "DEL 2", "DBSIZE")
    assert store.expired_keys == 4
    assert execute_line(session, "DBSIZE") == 1
