"""How long a server takes from the start of its process to the first answered PING, kvline beside Redis."""

from __future__ import annotations

import statistics
import tempfile
import time

from benchmarks.errors import BenchmarkError
from benchmarks.report import section, table, times
from benchmarks.rounds import median_ratio, progress
from benchmarks.servers import START_TIMEOUT, free_port, kvline_command, process, redis_command
from benchmarks.sizes import Sizes
from benchmarks.wire import answers_ping

COMMANDS = {"kvline": kvline_command, "Redis": redis_command}
POLL_PAUSE = 0.0005


def measure(sizes: Sizes) -> str:
    """Start each server in turn, many times, and return the table."""
    progress(f"{sizes.starts} starts of each server")
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(sizes.starts + 1):
        for name in COMMANDS:
            taken = _start(name)
            if number > 0:  # the first start reads the files from disk, and may compile them
                seconds[name].append(taken)
    rows = [
        (
            name,
            f"{1000 * statistics.median(taken):.1f}",
            f"{1000 * min(taken):.1f}",
            times(median_ratio(taken, seconds["Redis"])),
        )
        for name, taken in seconds.items()
    ]
    return section("Start-up", table(("server", "median ms", "fastest ms", "of Redis"), rows))


def _start(name: str) -> float:
    """Return how many seconds one start took. Both servers get a chosen port, so both are watched in the same way."""
    port = free_port()
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        with process(COMMANDS[name](port), log.fileno()) as child:
            while not answers_ping(port):
                if child.poll() is not None or time.perf_counter() - started > START_TIMEOUT:
                    raise BenchmarkError(f"{name} did not start")
                time.sleep(POLL_PAUSE)
            return time.perf_counter() - started
