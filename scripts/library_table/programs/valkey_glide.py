from urllib.parse import urlsplit

import glide


async def check_strings_and_transactions(url):
    address = glide.NodeAddress("127.0.0.1", urlsplit(url).port)
    client = await glide.GlideClient.create(glide.GlideClientConfiguration([address]))
    await client.set("key", "1")
    assert await client.incr("key") == 2
    batch = glide.Batch(is_atomic=True)
    batch.incr("key")
    batch.get("key")
    assert await client.exec(batch, raise_on_error=True) == [3, b"3"]
    await client.close()
