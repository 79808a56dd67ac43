import redis
from pottery import NextID, Redlock, redis_cache


def check_lock(url):
    with Redlock(key="lock", masters={redis.Redis.from_url(url)}, auto_release_time=10):
        pass


def check_next_id(url):
    numbers = NextID(key="ids", masters={redis.Redis.from_url(url)})
    assert [next(numbers), next(numbers)] == [1, 2]


def check_cache(url):
    @redis_cache(redis=redis.Redis.from_url(url), key="cache")
    def double(number):
        return 2 * number

    assert double(2) == double(2) == 4
