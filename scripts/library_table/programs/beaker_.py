from beaker.cache import CacheManager
from beaker.util import parse_cache_config_options


def check_cache(url):
    manager = CacheManager(**parse_cache_config_options({"cache.type": "ext:redis", "cache.url": url}))
    cache = manager.get_cache("cache", expire=100)
    assert cache.get(key="key", createfunc=lambda: [1]) == cache.get(key="key") == [1]
    cache.clear()
