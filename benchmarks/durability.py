"""The cost of a durable log: throughput, log size, start and rewriting, beside Redis's append-only file."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.load import Case, Sample, run
from benchmarks.memory import MIB, resident
from benchmarks.report import section, table, thousands, times
from benchmarks.rounds import measure_in_turn, median_ratio, progress, rates
from benchmarks.servers import (
    RunningServer,
    Starter,
    free_port,
    kvline_command,
    redis_command,
    running,
)
from benchmarks.sizes import Sizes
from benchmarks.wire import database_size, load_keys, send_command

LEVELS = ("none", "everysec", "always")
CONNECTIONS = 50
CASES = [Case("SET", CONNECTIONS, pipeline) for pipeline in (1, 16)]
SIZED_REQUESTS = 20_000
REWRITE_REQUESTS = 40_000

KVLINE, REDIS = "kvline", "Redis"


def measure(sizes: Sizes) -> str:
    """Measure throughput at each level, the size of the logs, the start and a rewrite. Return the tables."""
    return section(
        "Durability",
        _throughput(sizes),
        _sizes(),
        _starts(sizes.memory_keys),
        _rewrite(sizes.memory_keys),
    )


# ---------------------------------------------------------------- servers


def _command(name: str, level: str, directory: str, port: int) -> list[str]:
    """Return the command that starts a server at a level of durability."""
    if name == KVLINE:
        return [*kvline_command(port), *([] if level == "none" else ["--data", directory, "--fsync", level])]
    durable = ["--appendonly", "no" if level == "none" else "yes", "--dir", directory]
    return [*redis_command(port), *durable, *([] if level == "none" else ["--appendfsync", level])]


def _start(name: str, level: str, directory: str) -> AbstractContextManager[RunningServer]:
    port = 0 if name == KVLINE else free_port()
    return running(f"{name} {level}", _command(name, level, directory, port), port=port or None)


@contextmanager
def _new(name: str, level: str) -> Iterator[RunningServer]:
    with tempfile.TemporaryDirectory() as directory, _start(name, level, directory) as server:
        yield server


# ---------------------------------------------------------------- throughput


def _throughput(sizes: Sizes) -> str:
    names = [(name, level) for name in (KVLINE, REDIS) for level in LEVELS]
    starters: list[Starter] = [partial(_new, name, level) for name, level in names]
    samples = measure_in_turn(starters, CASES, sizes.rounds, sizes.run_seconds)
    rows = [
        _row(name, level, case, samples[f"{name} {level}", case], samples[f"{name} none", case])
        for case in CASES
        for name, level in names
    ]
    headings = ("pipeline", "server", "fsync", "SETs/s", "p99 ms", "of no log")
    return f"SET at {CONNECTIONS} connections.\n\n{table(headings, rows)}"


def _row(name: str, level: str, case: Case, own: Sequence[Sample], base: Sequence[Sample]) -> tuple[str, ...]:
    return (
        str(case.pipeline),
        name,
        level,
        thousands(statistics.median(rates(own))),
        f"{statistics.median(sample.p99 for sample in own):.3f}",
        times(median_ratio(rates(own), rates(base))),
    )


# ---------------------------------------------------------------- size


def _sizes() -> str:
    """Measure the bytes per SET, in the logs of servers that got the same requests."""
    rows = []
    for level in LEVELS[1:]:
        found = {name: _log_size(name, level) / SIZED_REQUESTS for name in (KVLINE, REDIS)}
        rows.append((level, *(f"{found[name]:.1f}" for name in found), times(found[KVLINE] / found[REDIS])))
    headings = ("fsync", "kvline bytes per SET", "Redis bytes per SET", "of Redis")
    title = f"Size of the log after {thousands(SIZED_REQUESTS)} SETs of {CONNECTIONS} connections."
    return f"{title}\n\n{table(headings, rows)}"


def _log_size(name: str, level: str) -> int:
    progress(f"size of the log of {name}, {level}")
    with tempfile.TemporaryDirectory() as directory, _start(name, level, directory) as server:
        run(server, Case("SET", CONNECTIONS, 1), SIZED_REQUESTS)
        return sum(path.stat().st_size for path in Path(directory).rglob("*") if path.is_file())


# ---------------------------------------------------------------- start


def _starts(keys: int) -> str:
    """Measure the time from the start of the process until it replies, with the keys in its log."""
    seconds = {name: _start_seconds(name, keys) for name in (KVLINE, REDIS)}
    rows = [(name, f"{each:.2f}", times(each / seconds[REDIS])) for name, each in seconds.items()]
    return f"Start with {thousands(keys)} keys in the log.\n\n{table(('server', 'seconds', 'of Redis'), rows)}"


def _start_seconds(name: str, keys: int) -> float:
    progress(f"start of {name} with {thousands(keys)} keys")
    with tempfile.TemporaryDirectory() as directory:
        with _start(name, "everysec", directory) as server:
            load_keys(server.port, keys)
        started = time.perf_counter()
        with _start(name, "everysec", directory) as server:
            seconds = time.perf_counter() - started
            if database_size(server.port) != keys:
                raise BenchmarkError(f"{name} lost keys")
    return seconds


# ---------------------------------------------------------------- rewriting


def _rewrite(keys: int) -> str:
    """Measure the latency of SETs without and during rewrites, and the memory that a rewrite takes."""
    progress(f"rewriting {thousands(keys)} keys")
    with tempfile.TemporaryDirectory() as directory, _start(KVLINE, "everysec", directory) as server:
        load_keys(server.port, keys)
        before = resident(server.pid)
        quiet = [run(server, CASES[0], REWRITE_REQUESTS).p99 for _ in range(3)]
        during, peak = [], before
        for _ in range(3):
            send_command(server.port, "BGREWRITEAOF")
            during.append(run(server, CASES[0], REWRITE_REQUESTS).p99)
            peak = max(peak, resident(server.pid))
            while "aof_rewrite_in_progress:0" not in send_command(server.port, "INFO", "persistence"):
                peak = max(peak, resident(server.pid))
                time.sleep(0.05)
    row = (
        f"{statistics.median(quiet):.3f}",
        f"{statistics.median(during):.3f}",
        f"{statistics.median(during) / statistics.median(quiet):.2f}",
        f"{before / MIB:.1f}",
        f"{peak / before:.3f}",
    )
    headings = ("p99 ms", "p99 ms during a rewrite", "ratio", "MiB", "peak during a rewrite, of that")
    return f"SET at {CONNECTIONS} connections while {thousands(keys)} keys are rewritten.\n\n{table(headings, [row])}"
