from dogpile.cache import make_region


def region(url, **arguments):
    return make_region().configure("dogpile.cache.redis", expiration_time=100, arguments={"url": url, **arguments})


def check_cache(url):
    assert region(url).get_or_create("key", lambda: {"a": 1}) == {"a": 1}
    assert region(url).get("key") == {"a": 1}


def check_lock(url):
    assert region(url, distributed_lock=True, lock_timeout=10).get_or_create("other", lambda: 1) == 1
