import limits
import limits.storage
import limits.strategies


def hits(url, strategy):
    limiter = strategy(limits.storage.storage_from_string(url))
    item = limits.parse("2/hour")
    return [limiter.hit(item, strategy.__name__) for _ in range(3)]


def check_fixed_window(url):
    assert hits(url, limits.strategies.FixedWindowRateLimiter) == [True, True, False]


def check_sliding_window_counter(url):
    assert hits(url, limits.strategies.SlidingWindowCounterRateLimiter) == [True, True, False]


def check_moving_window(url):
    assert hits(url, limits.strategies.MovingWindowRateLimiter) == [True, True, False]
