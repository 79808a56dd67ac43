import django
from django.conf import settings


def check_cache(url):
    settings.configure(CACHES={"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": url}})
    django.setup()
    from django.core.cache import cache

    cache.set("key", {"a": 1}, timeout=100)
    assert cache.get("key") == {"a": 1}
    assert 0 < cache.ttl("key") <= 100
    assert list(cache.iter_keys("k*")) == ["key"]
    assert cache.delete_pattern("k*") == 1


def check_lock(url):
    from django.core.cache import cache

    with cache.lock("lock", timeout=10):
        pass
