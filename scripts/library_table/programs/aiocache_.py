from urllib.parse import urlsplit

import aiocache
import aiocache.lock


def cache(url):
    return aiocache.RedisCache(endpoint="127.0.0.1", port=urlsplit(url).port)


async def check_cache(url):
    async with cache(url) as each:
        await each.multi_set([("a", "1"), ("b", "2")], ttl=100)
        assert await each.multi_get(["a", "b", "c"]) == ["1", "2", None]
        assert await each.increment("n", 2) == 2
        assert await each.clear()


async def check_lock(url):
    async with cache(url) as each, aiocache.lock.RedLock(each, "key", lease=10):
        pass
