from urllib.parse import urlsplit

from cachelib import RedisCache


def check_cache(url):
    cache = RedisCache("127.0.0.1", urlsplit(url).port)
    assert cache.set("key", [1], timeout=100)
    assert cache.get("key") == [1]
    assert cache.inc("n", 2) == 2
    assert cache.add("key", 2) is False
    assert cache.clear()
