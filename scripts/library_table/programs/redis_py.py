import redis


def check_strings_and_pipelines(url):
    with redis.Redis.from_url(url, decode_responses=True) as client:
        client.set("key", "välue", ex=100)
        assert client.get("key") == "välue"
        with client.pipeline() as pipeline:
            assert pipeline.incr("n").append("key", "!").get("key").execute() == [1, len("välue!".encode()), "välue!"]


def check_publish_subscribe(url):
    with redis.Redis.from_url(url) as client, client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe("news")
        pubsub.get_message(timeout=30)
        client.publish("news", "hello")
        assert pubsub.get_message(timeout=30)["data"] == b"hello"


async def check_asyncio(url):
    async with redis.asyncio.Redis.from_url(url, protocol=3) as client:
        await client.mset({"a": "1", "b": "2"})
        assert await client.mget("a", "b") == [b"1", b"2"]


def check_lock(url):
    with redis.Redis.from_url(url) as client, client.lock("lock", timeout=10, blocking_timeout=1):
        assert not client.lock("lock").acquire(blocking=False)


def check_client_side_cache(url):
    cache = redis.cache.CacheConfig()
    with redis.Redis.from_url(url, protocol=3, cache_config=cache) as client, redis.Redis.from_url(url) as other:
        client.set("key", "1")
        assert client.get("key") == client.get("key") == b"1"
        other.set("key", "2")
        while client.get("key") != b"2":
            pass


def check_database_1(url):
    with redis.Redis.from_url(url.replace("/0", "/1")) as client:
        assert client.set("key", "1")
