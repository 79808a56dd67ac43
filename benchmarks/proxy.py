"""kvline in front of a Redis: reads from its cache against the embedded store, and reads through against redis-py."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks import wrk
from benchmarks.errors import BenchmarkError
from benchmarks.load import KEYS, VALUE, Case, Load, Sample
from benchmarks.report import section, table, thousands, times
from benchmarks.rounds import median_ratio, progress, rates
from benchmarks.servers import RunningServer, kvline, redis
from benchmarks.sizes import Sizes
from benchmarks.web_servers import KEY, WebServer, kvline_with_http, webdis
from benchmarks.wire import HOST, connect, encode, receive
from benchmarks.wrk import Request

EMBEDDED, CACHED, UNCACHED, REDIS_PY = "embedded store", "with a cache", "without a cache", "redis-py alone"

MIN_CACHED_RATIO = 0.8
"""The required throughput of GETs from the cache, as a fraction of the embedded store's."""

MIN_UNCACHED_RATIO = 0.5
"""The required throughput of GETs without a cache, as a fraction of a program that uses redis-py."""

CACHE = ("--cache-keys", "10000", "--cache-ttl", "3600")

CACHED_CASES = [Case("GET", connections, pipeline) for connections in (1, 50) for pipeline in (1, 16)]
UNCACHED_CASES = [Case("GET", connections, 1) for connections in (1, 10, 50)]

HEADINGS = ("GET", "connections", "-P", "requests/s", "p50 ms", "p99 ms", "of", "ratio", "target")
HTTP_HEADINGS = ("GET by HTTP", "requests/s", "p50 ms", "p99 ms", "of webdis")

Samples = dict[tuple[str, Case], list[Sample]]


def measure(sizes: Sizes) -> str:
    """Measure GET with the embedded store, with and without a cache, and by redis-py. Return the tables."""
    samples: Samples = defaultdict(list)
    by_http: dict[str, list[Sample]] = defaultdict(list)
    for number in range(sizes.proxy_rounds):
        progress(f"proxy, round {number + 1} of {sizes.proxy_rounds}")
        _measure_gets(samples, sizes, in_reverse=number % 2 == 1)
        _measure_http(by_http, sizes, in_reverse=number % 2 == 1)
    rows = [_row(samples, CACHED, case, EMBEDDED, MIN_CACHED_RATIO) for case in CACHED_CASES]
    rows += [_row(samples, UNCACHED, case, REDIS_PY, MIN_UNCACHED_RATIO) for case in UNCACHED_CASES]
    http_rows = [_http_row(by_http, name) for name in by_http]
    return section("A backing Redis", table(HEADINGS, rows), table(HTTP_HEADINGS, http_rows))


# ---------------------------------------------------------------- by redis-benchmark


@contextmanager
def _in_front_of(redis_server: RunningServer, name: str, *options: str) -> Iterator[RunningServer]:
    backend = f"redis://{HOST}:{redis_server.port}/0"
    with kvline(name=name, options=["--backend", backend, *options]) as server:
        yield server


def _measure_gets(samples: Samples, sizes: Sizes, *, in_reverse: bool) -> None:
    with ExitStack() as stack:
        redis_server = stack.enter_context(redis())
        embedded = stack.enter_context(kvline(name=EMBEDDED))
        cached = stack.enter_context(_in_front_of(redis_server, CACHED, *CACHE))
        uncached = stack.enter_context(_in_front_of(redis_server, UNCACHED))
        for server in (embedded, cached):  # the second one sets the keys of the Redis
            _fill(server)
        load = Load(sizes.run_seconds)
        load.run(cached, CACHED_CASES[0])  # not counted: it fills the cache
        for case in CACHED_CASES:
            for server in (cached, embedded) if in_reverse else (embedded, cached):
                samples[server.name, case].append(load.run(server, case))
        for case in UNCACHED_CASES:
            runs = [
                (UNCACHED, lambda case=case: load.run(uncached, case)),
                (REDIS_PY, lambda case=case: _redis_py(redis_server, case, sizes.run_seconds)),
            ]
            for name, run in reversed(runs) if in_reverse else runs:
                samples[name, case].append(run())


def _fill(server: RunningServer) -> None:
    """Set every key that is read. A missing key is not cached, so each read of it would go to the Redis."""
    args = [arg for number in range(KEYS) for arg in (f"key:{number:012d}", VALUE)]
    with connect(server.port) as connection:
        connection.sendall(encode("MSET", *args))
        if receive(connection, 5) != b"+OK\r\n":
            raise BenchmarkError(f"{server.name} refused an MSET")


def _redis_py(server: RunningServer, case: Case, seconds: float) -> Sample:
    """Measure a program with a thread per connection, on one core like kvline."""
    command = [sys.executable, "-m", "benchmarks.redis_py_load", str(server.port), str(case.connections), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 + seconds, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"redis-py failed: {done.stderr.strip().splitlines()[-1:]}")
    rate, p50, p99 = map(float, done.stdout.split())
    return Sample(rate, p50, p99)


def _row(samples: Samples, name: str, case: Case, other: str, min_ratio: float) -> tuple[str, ...]:
    own = samples[name, case]
    ratio = median_ratio(rates(own), rates(samples[other, case]))
    return (
        name,
        str(case.connections),
        str(case.pipeline),
        *_figures(own),
        other,
        times(ratio),
        f"{'met' if ratio >= min_ratio else 'missed'} ({min_ratio})",
    )


def _figures(samples: list[Sample]) -> tuple[str, str, str]:
    return (
        thousands(statistics.median(rates(samples))),
        f"{statistics.median(sample.p50 for sample in samples):.3f}",
        f"{statistics.median(sample.p99 for sample in samples):.3f}",
    )


# ---------------------------------------------------------------- by wrk


def _measure_http(samples: dict[str, list[Sample]], sizes: Sizes, *, in_reverse: bool) -> None:
    """Measure the HTTP listener of a kvline with a cache against webdis, each in front of its own Redis."""
    with ExitStack() as stack:
        redis_server = stack.enter_context(redis())
        options = ("--backend", f"redis://{HOST}:{redis_server.port}/0", *CACHE)
        runs: list[tuple[WebServer, Request]] = [
            (stack.enter_context(kvline_with_http(CACHED, options)), Request("GET", f"/keys/{KEY}")),
            (stack.enter_context(webdis()), Request("GET", f"/GET/{KEY}")),
        ]
        for server, request in reversed(runs) if in_reverse else runs:
            wrk.check(server, request)
            samples[server.name].append(wrk.run(server, request, sizes.http_seconds))


def _http_row(samples: dict[str, list[Sample]], name: str) -> tuple[str, ...]:
    own = samples[name]
    return (name, *_figures(own), times(median_ratio(rates(own), rates(samples["webdis"]))))
