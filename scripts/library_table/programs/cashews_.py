import redis
from cashews import Cache


async def check_cache(url):
    cache = Cache()
    cache.setup(url)
    calls = []

    @cache(ttl="10m")
    async def double(number):
        calls.append(number)
        return 2 * number

    assert await double(2) == await double(2) == 4
    assert calls == [2]
    await cache.close()


async def check_lock(url):
    cache = Cache()
    cache.setup(url)
    async with cache.lock("key", expire=10):
        pass
    await cache.close()


async def check_client_side_cache(url):
    cache = Cache()
    cache.setup(url, client_side=True)
    await cache.init()
    await cache.set("key", "1", expire=100)
    assert await cache.get("key") == "1"
    with redis.Redis.from_url(url) as client:  # without tracking, cashews logs an error and asks the server each time
        client.client_trackinginfo()
    await cache.close()
