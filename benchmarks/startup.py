"""How long a server takes from the start of its process to the first reply to PING, and the client for one command."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from benchmarks.errors import BenchmarkError
from benchmarks.report import section, table, times
from benchmarks.rounds import median_ratio, progress
from benchmarks.servers import (
    ROOT,
    START_TIMEOUT,
    free_port,
    interpreter,
    kvline,
    kvline_command,
    process,
    redis_command,
)
from benchmarks.sizes import Sizes
from benchmarks.wire import responds_to_ping

COMMANDS = {"kvline": kvline_command, "Redis": redis_command}
POLL_INTERVAL = 0.0005


def measure(sizes: Sizes) -> str:
    """Start each server in turn, many times, and the client beside a bare Python. Return the tables."""
    with tempfile.TemporaryDirectory(prefix="kvline-") as cache:
        # Modules are compiled once, as they are for users, even if this program was told not to store what it compiles.
        variables = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": cache}
        progress(f"{sizes.starts} starts of each server")
        servers = _in_turn(sizes.starts, {name: partial(_start, name, variables) for name in COMMANDS})
        progress(f"{sizes.starts} commands by the client")
        with kvline() as server:
            ping = ["-m", "client", "--port", str(server.port), "PING"]
            programs = {"bare Python": ["-c", "pass"], "client": ping}
            clients = _in_turn(sizes.starts, {name: partial(_run, args, variables) for name, args in programs.items()})
    return section(
        "Start-up",
        table(("server", "median ms", "fastest ms", "of Redis"), _rows(servers, "Redis")),
        "One command by the client, from the start of the process to its end:",
        table(("program", "median ms", "fastest ms", "of bare Python"), _rows(clients, "bare Python")),
    )


def _in_turn(starts: int, starters: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Return the seconds of each start."""
    seconds: dict[str, list[float]] = {name: [] for name in starters}
    for number in range(starts + 1):
        for name, start in starters.items():
            taken = start()
            if number > 0:  # the first start reads the files from disk and compiles them, so it is not counted
                seconds[name].append(taken)
    return seconds


def _rows(seconds: Mapping[str, list[float]], base: str) -> list[tuple[str, ...]]:
    return [
        (
            name,
            f"{1000 * statistics.median(taken):.1f}",
            f"{1000 * min(taken):.1f}",
            times(median_ratio(taken, seconds[base])),
        )
        for name, taken in seconds.items()
    ]


def _run(args: Sequence[str], variables: Mapping[str, str]) -> float:
    """Return the seconds of a run of Python with these arguments."""
    started = time.perf_counter()
    done = subprocess.run(
        [interpreter(), *args],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=START_TIMEOUT,
        check=False,
    )
    if done.returncode != 0:
        raise BenchmarkError(f"python {' '.join(args)} failed: {done.stderr.decode(errors='replace')}")
    return time.perf_counter() - started


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
