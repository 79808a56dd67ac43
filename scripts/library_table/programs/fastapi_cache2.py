import redis.asyncio
from fastapi_cache import FastAPICache
from fastapi_cache.backends.redis import RedisBackend
from fastapi_cache.decorator import cache


async def check_cache(url):
    client = redis.asyncio.Redis.from_url(url)
    FastAPICache.init(RedisBackend(client), prefix="cache")
    calls = []

    @cache(expire=100)
    async def double(number: int) -> int:
        calls.append(number)
        return 2 * number

    assert await double(2) == await double(2) == 4
    assert calls == [2]
    await client.aclose()


async def check_clear(url):
    client = redis.asyncio.Redis.from_url(url)
    await RedisBackend(client).clear(namespace="cache")
    await client.aclose()
