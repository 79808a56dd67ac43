from urllib.parse import urlsplit

import aioredlock


async def check_lock(url):
    manager = aioredlock.Aioredlock([("127.0.0.1", urlsplit(url).port)], retry_count=1)
    lock = await manager.lock("lock", lock_timeout=10)
    assert await manager.is_locked("lock")
    await manager.unlock(lock)
    await manager.destroy()
