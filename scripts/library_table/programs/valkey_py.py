import valkey


def check_strings_and_pipelines(url):
    client = valkey.Valkey.from_url(url, decode_responses=True)
    assert client.set("key", "1", nx=True)
    assert client.pipeline().incr("key").get("key").execute() == [2, "2"]


async def check_asyncio(url):
    client = valkey.asyncio.Valkey.from_url(url, protocol=3)
    await client.set("key", "1", ex=100)
    assert 0 < await client.ttl("key") <= 100
    await client.aclose()


def check_lock(url):
    client = valkey.Valkey.from_url(url)
    with client.lock("lock", timeout=10, blocking_timeout=1):
        assert client.exists("lock")
