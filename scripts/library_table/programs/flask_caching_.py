from flask import Flask
from flask_caching import Cache


def check_cache(url):
    app = Flask("app")
    cache = Cache(app, config={"CACHE_TYPE": "RedisCache", "CACHE_REDIS_URL": url})
    with app.app_context():
        cache.set_many({"a": 1, "b": [2]}, timeout=100)
        assert cache.get_many("a", "b", "c") == [1, [2], None]
        cache.delete_many("a", "b")
        cache.clear()
        assert cache.get("a") is None
