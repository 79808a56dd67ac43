import redis
import walrus


def database(url):
    return walrus.Database(connection_pool=redis.ConnectionPool.from_url(url))


def check_cache(url):
    cache = database(url).cache(name="cache")
    calls = []

    @cache.cached(timeout=100)
    def double(number):
        calls.append(number)
        return 2 * number

    assert double(2) == double(2) == 4
    assert calls == [2]


def check_lock(url):
    with database(url).lock("lock", ttl=10_000):
        pass


def check_rate_limit(url):
    limit = database(url).rate_limit("limit", limit=1, per=100)
    assert [limit.limit("user"), limit.limit("user")] == [False, True]
