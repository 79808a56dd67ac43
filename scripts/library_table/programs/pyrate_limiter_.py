import redis
from pyrate_limiter import Duration, Limiter, Rate, RedisBucket


def check_rate_limit(url):
    bucket = RedisBucket.init([Rate(2, Duration.HOUR)], redis.Redis.from_url(url), "bucket")
    limiter = Limiter(bucket)
    assert [limiter.try_acquire("user", blocking=False) for _ in range(3)] == [True, True, False]
