import coredis


async def check_strings_and_pipelines(url):
    client = coredis.Redis.from_url(url, decode_responses=True)
    async with client:
        assert await client.set("key", "1")
        assert await client.getex("key", ex=100) == "1"
        async with client.pipeline() as pipeline:
            results = [pipeline.incr("key"), pipeline.get("key")]
        assert [await each for each in results] == [2, "2"]
