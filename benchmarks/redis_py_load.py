"""Send GETs with redis-py from several threads. Print requests/s, and p50 and p99 in milliseconds.

    python -m benchmarks.redis_py_load PORT THREADS SECONDS

It stays on one core, as kvline does, so that the comparison does not depend on the number of cores.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time

import redis

from benchmarks.load import KEYS
from benchmarks.wire import HOST


def main() -> None:
    """Run the load and print the result."""
    port, threads, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    os.sched_setaffinity(0, {random.choice(sorted(os.sched_getaffinity(0)))})
    client = redis.Redis(connection_pool=redis.ConnectionPool(host=HOST, port=port, max_connections=threads))
    latencies: list[list[float]] = [[] for _ in range(threads)]
    ends = [0.0]

    def start_clock() -> None:
        """Start the time when all threads are connected. The barrier calls it before it releases them."""
        ends[0] = time.perf_counter() + seconds

    ready = threading.Barrier(threads + 1, action=start_clock)

    def run(taken: list[float]) -> None:
        client.ping()
        ready.wait()
        while (started := time.perf_counter()) < ends[0]:
            client.get(f"key:{random.randrange(KEYS):012d}")
            taken.append(time.perf_counter() - started)

    workers = [threading.Thread(target=run, args=(taken,), daemon=True) for taken in latencies]
    for worker in workers:
        worker.start()
    ready.wait()
    started = time.perf_counter()
    for worker in workers:
        worker.join()
    seconds_taken = time.perf_counter() - started
    together = sorted(latency for taken in latencies for latency in taken)
    p50, p99 = (together[int(len(together) * part)] * 1000 for part in (0.5, 0.99))
    print(len(together) / seconds_taken, p50, p99)


if __name__ == "__main__":
    main()
