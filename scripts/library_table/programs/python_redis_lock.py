import redis
import redis_lock


def check_lock(url):
    client = redis.Redis.from_url(url)
    lock = redis_lock.Lock(client, "lock", expire=10)
    assert lock.acquire(blocking=False)
    assert not redis_lock.Lock(client, "lock").acquire(blocking=False)
    lock.release()
