"""The memory limit: hit rates of the policies beside Redis, resident memory at the limit, and what a limit costs."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate, islice

from benchmarks.errors import BenchmarkError
from benchmarks.load import Case
from benchmarks.memory import MIB, resident
from benchmarks.report import section, table, thousands, times
from benchmarks.rounds import Samples, cpu_times, measure_in_turn, median_ratio, progress, rates
from benchmarks.servers import RunningServer, Starter, kvline, redis
from benchmarks.sizes import Sizes
from benchmarks.wire import connect, encode, flush_keys, send_command

POLICIES = ("allkeys-lru", "allkeys-lfu", "allkeys-random")

DISTINCT_KEYS = 10
"""There are so many times as many keys as fit into the memory limit."""

PIPELINE = 32
"""Requests that the client sends at once. It sets the missing keys after each."""

VALUE_SIZE = 100

TURNOVER = 3
"""How many times as much as the limit is written then."""

VALUE_SIZES = (16, 100, 1_000, 20_000)

DAY = 24 * 3600 * 1000
"""Milliseconds."""

LIFETIMES = {"none": 0, "a day": DAY, "3 years": 3 * 365 * DAY}
"""When keys expire: not at all, many within the same seconds, or each by itself, which takes the most memory."""

LONGEST_TEST = 1_000_000
"""Milliseconds within which no key expires, because it is measured what eviction does."""

COST_CASES = [Case(command, 50, pipeline) for pipeline in (1, 16) for command in ("SET", "GET")]


def measure(sizes: Sizes) -> str:
    """Measure hit rates, memory and cost. Return the tables."""
    fitting = sizes.eviction_keys
    traces = {"Zipf": _zipf, "Zipf and scans": _zipf_and_scans}
    rates_ = [_hit_rates(policy, name, trace, sizes) for policy in POLICIES for name, trace in traces.items()]
    return section(
        "Eviction",
        f"Hit rates of {thousands(sizes.eviction_requests)} requests for {DISTINCT_KEYS} times as many keys as the "
        f"{thousands(fitting)} that fit. A missing key is set. The frequencies follow Zipf's law with exponent 1. "
        "A scan requests as many other keys as fit, each once, and comes after as many requests.",
        table(("policy", "requests", "kvline", "Redis", "kvline/Redis"), rates_),
        f"Resident memory with a limit of {sizes.eviction_limit // MIB} MiB, after {TURNOVER} times as much was "
        "written, without that of an empty server.",
        table(
            ("policy", "bytes per value", "expire within", "keys", "counted/limit", "resident/limit"),
            list(_memory(sizes)),
        ),
        "Rates and CPU times per request with a limit that is not reached, to those without a limit.",
        table(("policy", "command", "connections", "-P", "rate", "CPU"), _costs(sizes)),
    )


# ---------------------------------------------------------------- hit rates


def _zipf(fitting: int) -> Iterator[int]:
    chance = random.Random(1)
    keys = range(DISTINCT_KEYS * fitting)
    weights = list(accumulate(1 / (number + 1) for number in keys))
    while True:
        yield from chance.choices(keys, cum_weights=weights, k=10_000)


def _zipf_and_scans(fitting: int) -> Iterator[int]:
    usual, scanned = _zipf(fitting), DISTINCT_KEYS * fitting
    while True:
        yield from islice(usual, fitting)
        yield from range(scanned, scanned + fitting)
        scanned += fitting


def _hit_rates(policy: str, name: str, trace: Callable[[int], Iterator[int]], sizes: Sizes) -> tuple[str, ...]:
    found = [_hit_rate(start, policy, trace, sizes) for start in (kvline, redis)]
    return (policy, name, *map(times, found), times(found[0] / found[1]))


def _hit_rate(start: Starter, policy: str, trace: Callable[[int], Iterator[int]], sizes: Sizes) -> float:
    """Return the hit rate with a limit at which the same number of keys fits into each server."""
    with start() as server:
        progress(f"hit rate of {policy} on {server.name}")
        _configure(server, "maxmemory", "1gb")
        _configure(server, "maxmemory-policy", policy)
        _request(server, iter(range(sizes.eviction_keys)), sizes.eviction_keys)
        used = _info(server, "used_memory")
        flush_keys(server.port)
        _configure(server, "maxmemory", str(used))
        hits = _request(server, trace(sizes.eviction_keys), sizes.eviction_requests)
        if not _info(server, "evicted_keys"):
            raise BenchmarkError(f"{server.name} has evicted nothing")
    return hits / sizes.eviction_requests


def _request(server: RunningServer, trace: Iterator[int], count: int) -> int:
    """Request keys, and set those that are missing. Return the number of hits."""
    hits, value = 0, "x" * VALUE_SIZE
    with connect(server.port) as connection, connection.makefile("rb") as replies:
        while names := [f"key:{number:012}" for number in islice(trace, min(PIPELINE, count))]:
            count -= len(names)
            connection.sendall(b"".join(encode("GET", name) for name in names))
            missing = []
            for name in names:
                if replies.readline() == b"$-1\r\n":
                    missing.append(name)
                else:
                    replies.readline()
                    hits += 1
            connection.sendall(b"".join(encode("SET", name, value) for name in missing))
            for _ in missing:
                if replies.readline() != b"+OK\r\n":
                    raise BenchmarkError(f"{server.name} refused a SET")
    return hits


def _configure(server: RunningServer, name: str, value: str) -> None:
    if send_command(server.port, "CONFIG", "SET", name, value) != "+OK\r\n":
        raise BenchmarkError(f"{server.name} refused CONFIG SET {name}")


def _info(server: RunningServer, field: str) -> int:
    lines = send_command(server.port, "INFO").splitlines()
    return next(int(found[1]) for line in lines if (found := re.match(rf"{field}[:=](\d+)", line)))


# ---------------------------------------------------------------- resident memory


def _memory(sizes: Sizes) -> Iterator[tuple[str, ...]]:
    for policy, lifetime in (("allkeys-lru", "none"), ("volatile-ttl", "a day"), ("volatile-lru", "a day")):
        for size in (*VALUE_SIZES, 0):
            yield _memory_of(policy, size, lifetime, sizes.eviction_limit)
    yield _memory_of("volatile-ttl", min(VALUE_SIZES), "3 years", sizes.eviction_limit)


def _memory_of(policy: str, size: int, lifetime: str, limit: int) -> tuple[str, ...]:
    """Write ``TURNOVER`` times the limit with values of this size; 0: of all sizes, in random order."""
    longest = LIFETIMES[lifetime]
    chance = random.Random(1)
    with kvline(options=("--max-memory", str(limit), "--eviction", policy)) as server:
        progress(f"memory with {policy} and values of {size or 'all'} bytes")
        empty = resident(server.pid)
        written = number = 0
        with connect(server.port) as connection, connection.makefile("rb") as replies:
            while written < TURNOVER * limit:
                lengths = [size or int(16 * 1250 ** chance.random()) for _ in range(PIPELINE)]
                written += sum(lengths) + 200 * PIPELINE
                requests = []
                for length in lengths:
                    expiry = ("PX", str(chance.randrange(LONGEST_TEST, longest))) if longest else ()
                    requests.append(encode("SET", f"key:{number:012}", "x" * length, *expiry))
                    number += 1
                connection.sendall(b"".join(requests))
                if any(replies.readline() != b"+OK\r\n" for _ in requests):
                    raise BenchmarkError("the server refused a SET")
        used, keys = _info(server, "used_memory"), _info(server, "db0:keys")
        grown = resident(server.pid) - empty
    return policy, str(size or "16 to 20000"), lifetime, thousands(keys), times(used / limit), times(grown / limit)


# ---------------------------------------------------------------- cost


def _costs(sizes: Sizes) -> list[tuple[str, ...]]:
    limited = {
        policy: partial(kvline, name=policy, options=("--max-memory", "1gb", "--eviction", policy))
        for policy in ("noeviction", "allkeys-lru", "allkeys-lfu")
    }
    starters = (kvline, *limited.values())
    samples = measure_in_turn(starters, COST_CASES, sizes.eviction_rounds, min(0.3, sizes.run_seconds))
    return [_cost(samples, policy, case) for policy in limited for case in COST_CASES]


def _cost(samples: Samples, policy: str, case: Case) -> tuple[str, ...]:
    before, now = samples["kvline", case], samples[policy, case]
    ratios: Sequence[float] = (
        median_ratio(rates(now), rates(before)),
        median_ratio(cpu_times(now), cpu_times(before)),
    )
    return (policy, case.command, str(case.connections), str(case.pipeline), *map(times, ratios))
