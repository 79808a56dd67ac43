import redis
from requests_cache.backends.redis import RedisDict


def check_cache(url):
    cache = RedisDict("cache", connection=redis.Redis.from_url(url), ttl=False)
    cache["key"] = "value"
    assert cache["key"] == "value"
