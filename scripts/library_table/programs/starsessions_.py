from starsessions.stores.redis import RedisStore


async def check_sessions(url):
    store = RedisStore(url)
    await store.write("id", b"data", lifetime=100, ttl=100)
    assert await store.read("id", lifetime=100) == b"data"
    await store.remove("id")
