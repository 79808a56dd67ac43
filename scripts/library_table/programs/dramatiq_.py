import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.rate_limits import ConcurrentRateLimiter
from dramatiq.rate_limits.backends import RedisBackend


def check_rate_limiter(url):
    with ConcurrentRateLimiter(RedisBackend(url=url), "key", limit=1).acquire() as acquired:
        assert acquired


def check_queue(url):
    broker = RedisBroker(url=url)
    dramatiq.actor(print, broker=broker, actor_name="show").send("hello")
