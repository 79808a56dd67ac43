import anyio
import coredis
from coredis.patterns.cache import LRUCache


async def check_strings_and_pipelines(url):
    client = coredis.Redis.from_url(url, decode_responses=True)
    async with client:
        assert await client.set("key", "1")
        assert await client.getex("key", ex=100) == "1"
        async with client.pipeline() as pipeline:
            results = [pipeline.incr("key"), pipeline.get("key")]
        assert [await each for each in results] == [2, "2"]


async def check_client_side_cache(url):
    cache = LRUCache()
    async with coredis.Redis.from_url(url, cache=cache) as client, coredis.Redis.from_url(url) as other:
        await client.set("key", "1")
        assert await client.get("key") == await client.get("key") == b"1"
        assert cache.stats.hits
        await other.set("key", "2")
        while await client.get("key") != b"2":
            await anyio.sleep(0.005)
