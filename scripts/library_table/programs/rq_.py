import redis
import rq


def check_queue(url):
    assert rq.Queue(connection=redis.Redis.from_url(url)).enqueue(print, "hello").id
