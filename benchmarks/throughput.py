"""Requests per second and latencies of kvline, Redis and fakeredis, measured with redis-benchmark."""

from __future__ import annotations

import statistics

from benchmarks.load import Case
from benchmarks.report import section, table, thousands, times
from benchmarks.rounds import Samples, measure_in_turn, median_ratio, rates
from benchmarks.servers import fakeredis, kvline, redis
from benchmarks.sizes import Sizes

COMMANDS = ("SET", "GET", "INCR", "MGET 10 keys", "MSET 10 keys", "SET EX")
"""SET EX is the last, because commands on keys with an expiry must check it."""

CONNECTIONS = (1, 10, 50)
PIPELINES = (1, 16)
NAMES = ("kvline", "Redis", "fakeredis")
HEADINGS = ("command", "connections", "server", "requests/s", "p50 ms", "p99 ms", "of Redis")


def measure(sizes: Sizes) -> str:
    """Measure every case. Return one table per pipeline depth."""
    cases = [
        Case(command, connections, pipeline)
        for command in COMMANDS
        for pipeline in PIPELINES
        for connections in CONNECTIONS
    ]
    samples = measure_in_turn((kvline, redis, fakeredis), cases, sizes.rounds, sizes.run_seconds)
    tables = []
    for pipeline in PIPELINES:
        rows = [_row(samples, name, case) for case in cases if case.pipeline == pipeline for name in NAMES]
        title = "One command per round trip" if pipeline == 1 else f"{pipeline} commands pipelined"
        tables.append(f"### {title} (`-P {pipeline}`)\n\n{table(HEADINGS, rows)}")
    return section("Throughput", *tables)


def _row(samples: Samples, name: str, case: Case) -> tuple[str, ...]:
    own = samples[name, case]
    return (
        case.command,
        str(case.connections),
        name,
        thousands(statistics.median(rates(own))),
        f"{statistics.median(sample.p50 for sample in own):.3f}",
        f"{statistics.median(sample.p99 for sample in own):.3f}",
        times(median_ratio(rates(own), rates(samples["Redis", case]))),
    )
