import huey


def check_queue(url):
    queue = huey.RedisHuey("queue", url=url)

    @queue.task()
    def double(number):
        return 2 * number

    result = double(2)
    queue.execute(queue.dequeue())
    assert result(blocking=True, timeout=30) == 4


def check_lock(url):
    with huey.RedisHuey("queue", url=url).lock_task("lock"):
        pass
