"""Run redis-benchmark against a server and read what it measured."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import nan

from benchmarks.cost import cost_of
from benchmarks.errors import BenchmarkError
from benchmarks.servers import RunningServer

KEYS = 1000
"""Random keys in a run. Few, so that a short run of SET sets all of them and every GET finds its key."""

VALUE_SIZE = 16

RANDOM_KEY = "key:__rand_int__"
"""The pattern that redis-benchmark replaces by the keys that its own SET and GET tests use."""

VALUE = "x" * VALUE_SIZE

OWN_COMMANDS = {
    "MGET 10 keys": ["MGET", *[RANDOM_KEY] * 10],
    "MSET 10 keys": ["MSET", *[RANDOM_KEY, VALUE] * 10],
    "SET EX": ["SET", RANDOM_KEY, VALUE, "EX", "60"],
}
"""Commands that are passed to redis-benchmark as arguments. The others are tests that it has by name."""

PROBE_REQUESTS = 2000
MAX_PROBE_PIPELINE = 10
"""Requests of the run that finds the rate, and up to how many times as many with a pipeline.

A run of less than a millisecond has an infinite rate.
"""

MIN_REQUESTS = 1000
MAX_REQUESTS = 5_000_000
ENDLESS = 2_000_000_000
"""More requests than any run can send."""

RUN_TIMEOUT = 120.0
"""Seconds. Far more than a run takes, so that only a server that hangs ends the benchmarks."""


RATE = re.compile(r"throughput summary: ([\d.]+) requests per second")
SUMMARY = re.compile(r"avg\s+min\s+p50\s+p95\s+p99\s+max\s*\n([\d. ]+)")
PERCENTILE = re.compile(r"^([\d.]+)% <= ([\d.]+) milliseconds", re.MULTILINE)
"""What redis-benchmark prints. With ``--csv`` it prints no percentile above 99."""


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of load."""

    command: str
    """The name of a test of redis-benchmark, or a key of ``OWN_COMMANDS``."""
    connections: int
    pipeline: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run measured. Latencies in milliseconds, the rate in requests per second.

    ``cpu`` is the server's CPU time per request in microseconds, ``waits`` how often its threads waited per request.
    """

    rate: float
    p50: float
    p99: float
    p999: float = nan
    cpu: float = nan
    waits: float = nan


class Load:
    """Runs redis-benchmark for about the same time on every server: the number of requests depends on its rate.

    Before the first run of a case on a server, a short run finds the rate. It is not counted.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._rates: dict[tuple[str, Case], float] = {}

    def run(self, server: RunningServer, case: Case) -> Sample:
        """Measure one case on one server."""
        rate = self._rates.get((server.name, case))
        if rate is None:
            rate = run(server, case, PROBE_REQUESTS * min(case.pipeline, MAX_PROBE_PIPELINE)).rate
        requests = min(max(int(rate * self._seconds), MIN_REQUESTS), MAX_REQUESTS)
        sample = run(server, case, requests)
        self._rates[server.name, case] = sample.rate
        return sample


def warm_up(server: RunningServer) -> None:
    """Set the keys that the runs use, so that GET finds a value in the first run too."""
    run(server, Case("SET", 10, 1), 5 * KEYS)


def run(server: RunningServer, case: Case, requests: int) -> Sample:
    """Send this number of requests to a server."""
    before = cost_of(server.pid)
    try:
        done = subprocess.run(
            _command(server, case, requests),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{server.name} did not complete {case} in {RUN_TIMEOUT:.0f} s") from None
    # Standard error may contain a warning: redis-benchmark first sends CONFIG, which fakeredis does not implement.
    rate, summary = RATE.search(done.stdout), SUMMARY.search(done.stdout)
    if done.returncode != 0 or "Error from server" in done.stderr or not rate or not summary:
        raise BenchmarkError(f"redis-benchmark failed on {server.name}, {case}: {(done.stderr or done.stdout).strip()}")
    p999 = next(float(ms) for share, ms in PERCENTILE.findall(done.stdout) if float(share) >= 99.9)
    spent = cost_of(server.pid).since(before)
    _, _, p50, _, p99, _ = map(float, summary[1].split())
    return Sample(float(rate[1]), p50, p99, p999, spent.cpu / 1000 / requests, spent.waits / requests)


@contextmanager
def busy(server: RunningServer, case: Case) -> Iterator[None]:
    """Send requests until the end of the block. Raises `BenchmarkError` if the load ended earlier."""
    child = subprocess.Popen(
        _command(server, case, ENDLESS), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
        if child.poll() is not None:
            raise BenchmarkError(f"redis-benchmark ended too early on {server.name}, {case}")
    finally:
        child.kill()  # it has nothing to clean up
        child.wait()


def _command(server: RunningServer, case: Case, requests: int) -> list[str]:
    numbers = {"-p": server.port, "-c": case.connections, "-P": case.pipeline, "-n": requests}
    numbers |= {"-r": KEYS, "-d": VALUE_SIZE}
    options = [str(part) for option in numbers.items() for part in option]
    test = OWN_COMMANDS.get(case.command) or ["-t", case.command.lower()]
    return [tool("redis-benchmark"), "--precision", "3", *server.options, *options, *test]


def tool(name: str, package: str = "redis-tools") -> str:
    """Return the path of a program, or raise `BenchmarkError` with the Debian package that has it."""
    path = shutil.which(name)
    if path is None:
        raise BenchmarkError(f"{name} is not installed; Debian has it in the package {package}")
    return path
