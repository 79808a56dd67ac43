"""The time limit of a request: it belongs to a thread, and the limit that ends first is in force."""

from __future__ import annotations

import threading

from server.engines.redis.time_limit import MAX_TIMEOUT, MIN_TIMEOUT, seconds_left, time_limit


def test_a_limit_holds_inside_the_block_and_not_after_it() -> None:
    assert seconds_left() == MAX_TIMEOUT
    with time_limit(10):
        assert 9 < seconds_left() <= 10
    assert seconds_left() == MAX_TIMEOUT


def test_of_nested_limits_the_one_that_ends_first_is_in_force() -> None:
    with time_limit(10):
        with time_limit(100):
            assert seconds_left() <= 10
        with time_limit(1):
            assert seconds_left() <= 1
        assert 9 < seconds_left() <= 10


def test_an_expired_limit_leaves_the_minimum_timeout_which_is_not_zero() -> None:
    with time_limit(-1):
        assert seconds_left() == MIN_TIMEOUT > 0


def test_a_limit_does_not_affect_other_threads() -> None:
    seen: list[float] = []
    with time_limit(1):
        thread = threading.Thread(target=lambda: seen.append(seconds_left()))
        thread.start()
        thread.join()
    assert seen == [MAX_TIMEOUT]
