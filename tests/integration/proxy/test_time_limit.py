"""A limit belongs to a thread and to what runs inside; the one that ends first holds."""

from __future__ import annotations

import threading

from server.engines.redis.time_limit import LONGEST, SHORTEST, seconds_left, within


def test_a_limit_holds_inside_and_not_behind() -> None:
    assert seconds_left() == LONGEST
    with within(10):
        assert 9 < seconds_left() <= 10
    assert seconds_left() == LONGEST


def test_the_limit_that_ends_first_holds() -> None:
    with within(10):
        with within(100):
            assert seconds_left() <= 10
        with within(1):
            assert seconds_left() <= 1
        assert 9 < seconds_left() <= 10


def test_a_limit_that_is_over_leaves_a_moment_which_is_no_refusal_to_wait() -> None:
    with within(-1):
        assert seconds_left() == SHORTEST > 0


def test_a_limit_does_not_concern_other_threads() -> None:
    seen: list[float] = []
    with within(1):
        thread = threading.Thread(target=lambda: seen.append(seconds_left()))
        thread.start()
        thread.join()
    assert seen == [LONGEST]
