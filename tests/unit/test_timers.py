"""Timers of a thread: called in the order of their times, and released when they are cancelled."""

from __future__ import annotations

import time
import weakref

import pytest

from server.net.timers import MAX_CANCELLED, TimerHeap


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock: the test sets its only element."""
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return clock


def test_timers_are_called_in_the_order_of_their_times(now: list[float]) -> None:
    timers, called = TimerHeap(), list[str]()
    timers.add(2, lambda: called.append("second"))
    timers.add(1, lambda: called.append("first"))
    timers.add(2, lambda: called.append("third"))
    assert timers.seconds_to_next() == 1
    timers.run_due()
    assert called == []
    now[0] += 2
    timers.run_due()
    assert called == ["first", "second", "third"]
    assert timers.entries == []


def test_a_timer_is_called_once_and_may_be_added_by_another_one(now: list[float]) -> None:
    timers, called = TimerHeap(), list[str]()

    def again() -> None:
        called.append("called")
        timers.add(1, again)

    timers.add(0, again)
    timers.run_due()
    assert (called, timers.seconds_to_next()) == (["called"], 1)
    now[0] += 5
    assert timers.seconds_to_next() == 0
    timers.run_due()
    assert called == ["called"] * 2


def test_a_cancelled_timer_is_not_called(now: list[float]) -> None:
    timers, called = TimerHeap(), list[str]()
    cancelled = timers.add(1, lambda: called.append("cancelled"))
    timers.add(1, lambda: called.append("called"))
    cancelled.cancel()
    cancelled.cancel()
    now[0] += 1
    timers.run_due()
    cancelled.cancel()
    assert (called, timers.entries) == (["called"], [])


class Connection:
    """Something that a timer refers to."""

    def time_out(self) -> None:
        """Do nothing."""


def test_a_cancelled_timer_releases_what_it_refers_to() -> None:
    timers, connection = TimerHeap(), Connection()
    timer = timers.add(300, connection.time_out)
    released = weakref.ref(connection)
    del connection
    assert released() is not None
    timer.cancel()
    assert released() is None


def test_cancelled_timers_are_removed_before_they_are_due(now: list[float]) -> None:
    timers, called = TimerHeap(), list[int]()
    entries = timers.entries
    kept = [timers.add(300 - number, lambda number=number: called.append(number)) for number in range(10)]  # type: ignore[misc]
    for _ in range(10_000):
        timers.add(300, lambda: called.append(-1)).cancel()
        assert len(entries) <= len(kept) + MAX_CANCELLED + 1
    assert timers.entries is entries, "its owner has a reference to it"
    now[0] += 300
    timers.run_due()
    assert called == list(reversed(range(10)))
