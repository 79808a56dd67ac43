import portalocker
import redis


def check_lock(url):
    first, second = (portalocker.RedisLock("lock", redis.Redis.from_url(url), timeout=0) for _ in range(2))
    first.acquire()
    try:
        second.acquire()
    except portalocker.AlreadyLocked:
        first.release()
    second.acquire(timeout=30)
    second.release()
