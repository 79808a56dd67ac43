"""Requests per second, latencies and CPU time of kvline, Redis and fakeredis, measured with redis-benchmark."""

from __future__ import annotations

import statistics

from benchmarks.load import Case
from benchmarks.report import section, table, thousands, times
from benchmarks.rounds import Samples, cpu_times, measure_in_turn, median_ratio, rates
from benchmarks.servers import fakeredis, kvline, redis
from benchmarks.sizes import Sizes

COMMANDS = ("SET", "GET", "INCR", "MGET 10 keys", "MSET 10 keys", "SET EX")
"""SET EX is the last, because commands on keys with an expiry must check it."""

SETTINGS = ((1, 1), (50, 1), (200, 1), (50, 16), (10, 100))
"""Connections, and commands in a pipeline."""

NAMES = ("kvline", "Redis", "fakeredis")
HEADINGS = (
    "command",
    "server",
    "requests/s",
    "of Redis",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "CPU µs/request",
    "of Redis's",
    "waits/request",
)


def measure(sizes: Sizes) -> str:
    """Measure every case. Return one table per number of connections and pipeline depth."""
    cases = [Case(command, *setting) for command in COMMANDS for setting in SETTINGS]
    samples = measure_in_turn((kvline, redis, fakeredis), cases, sizes.rounds, sizes.run_seconds, _left_out)
    tables = []
    for connections, pipeline in SETTINGS:
        rows = [
            _row(samples, name, case)
            for case in (Case(each, connections, pipeline) for each in COMMANDS)
            for name in NAMES
            if not _left_out(name, case)
        ]
        title = "one command per round trip" if pipeline == 1 else f"{pipeline} commands pipelined"
        plural = "" if connections == 1 else "s"
        tables.append(f"### {connections} connection{plural}, {title}\n\n{table(HEADINGS, rows)}")
    return section("Throughput", *tables)


def _left_out(name: str, case: Case) -> bool:
    """Leave out what takes fakeredis minutes, and 200 connections, which it resets."""
    return name == "fakeredis" and (case.connections != 50 or case.command not in ("SET", "GET", "INCR"))


def _row(samples: Samples, name: str, case: Case) -> tuple[str, ...]:
    own, redis_ = samples[name, case], samples["Redis", case]
    return (
        case.command,
        name,
        thousands(statistics.median(rates(own))),
        times(median_ratio(rates(own), rates(redis_))),
        f"{statistics.median(sample.p50 for sample in own):.3f}",
        f"{statistics.median(sample.p99 for sample in own):.3f}",
        f"{statistics.median(sample.p999 for sample in own):.3f}",
        f"{statistics.median(sample.cpu for sample in own):.1f}",
        times(median_ratio(cpu_times(own), cpu_times(redis_))),
        f"{statistics.median(sample.waits for sample in own):.3f}",
    )
