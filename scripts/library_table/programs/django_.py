import django
from django.conf import settings


def setup(url):
    backend = "django.core.cache.backends.redis.RedisCache"
    settings.configure(
        CACHES={"default": {"BACKEND": backend, "LOCATION": url}},
        SESSION_ENGINE="django.contrib.sessions.backends.cache",
    )
    django.setup()


def check_cache(url):
    setup(url)
    from django.core.cache import cache

    cache.set_many({"a": 1, "b": [2]}, timeout=100)
    assert cache.get_many(["a", "b", "c"]) == {"a": 1, "b": [2]}
    assert cache.incr("a") == 2
    assert cache.add("a", 3) is False
    assert cache.touch("a", 200)


def check_sessions(url):
    from django.contrib.sessions.backends.cache import SessionStore

    session = SessionStore()
    session["user"] = 1
    session.save()
    assert SessionStore(session.session_key)["user"] == 1
