"""How long a server takes from the start of its process to the first reply to PING."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping

from benchmarks.errors import BenchmarkError
from benchmarks.report import section, table, times
from benchmarks.rounds import median_ratio, progress
from benchmarks.servers import START_TIMEOUT, free_port, kvline_command, process, redis_command
from benchmarks.sizes import Sizes
from benchmarks.wire import responds_to_ping

COMMANDS = {"kvline": kvline_command, "Redis": redis_command}
POLL_INTERVAL = 0.0005


def measure(sizes: Sizes) -> str:
    """Start each server in turn, many times. Return the table."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    progress(f"{sizes.starts} starts of each server")
    with tempfile.TemporaryDirectory(prefix="kvline-") as cache:
        # Modules are compiled once, as they are for users, even if this program was told not to store what it compiles.
        variables = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": cache}
        for number in range(sizes.starts + 1):
            for name in COMMANDS:
                taken = _start(name, variables)
                if number > 0:  # the first start reads the files from disk and compiles them, so it is not counted
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


def _start(name: str, variables: Mapping[str, str]) -> float:
    """Return the seconds of one start. Both servers get a given port, so both are polled in the same way."""
    port = free_port()
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        with process(COMMANDS[name](port), log.fileno(), variables=variables) as child:
            while not responds_to_ping(port):
                if child.poll() is not None or time.perf_counter() - started > START_TIMEOUT:
                    raise BenchmarkError(f"{name} did not start")
                time.sleep(POLL_INTERVAL)
            return time.perf_counter() - started
