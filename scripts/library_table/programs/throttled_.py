import throttled
from throttled import RateLimiterType, per_hour


def results(url, kind):
    throttle = throttled.Throttled(
        key="user", using=kind.value, quota=per_hour(2, burst=2), store=throttled.RedisStore(server=url)
    )
    return [throttle.limit().limited for _ in range(3)]


def check_fixed_window(url):
    assert results(url, RateLimiterType.FIXED_WINDOW) == [False, False, True]


def check_gcra(url):
    assert results(url, RateLimiterType.GCRA) == [False, False, True]
