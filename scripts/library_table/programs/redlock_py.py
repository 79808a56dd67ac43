from urllib.parse import urlsplit

import redlock


def check_lock(url):
    manager = redlock.Redlock([{"host": "127.0.0.1", "port": urlsplit(url).port, "db": 0}], retry_count=1)
    lock = manager.lock("lock", 10_000)
    assert lock
    assert manager.lock("lock", 10_000) is False
    manager.unlock(lock)
    assert manager.lock("lock", 10_000)
