"""What ten thousand idle connections cost the few busy ones, and whether each of them lives on."""

from __future__ import annotations

import resource
import socket
import statistics
from contextlib import ExitStack

from benchmarks.errors import BenchmarkError
from benchmarks.load import Case, Load, Sample, warm_up
from benchmarks.report import section, table, thousands, times
from benchmarks.rounds import median_ratio, progress, rates
from benchmarks.servers import kvline
from benchmarks.sizes import Sizes
from benchmarks.wire import PING, PONG, connect, receive

BUSY = Case("GET", 10, 1)
SPARE_FILES = 200
"""Open files that this process and the server need beside the idle connections; places for the busy ones, too."""


def measure(sizes: Sizes) -> str:
    """Measure the busy connections without and with idle ones, in turn, and return the table."""
    wanted = _possible(sizes.idle_connections)
    without: list[Sample] = []
    beside: list[Sample] = []
    answered: list[int] = []
    load = Load(sizes.run_seconds)
    for number in range(sizes.idle_rounds):
        progress(f"idle connections, round {number + 1} of {sizes.idle_rounds}")
        # A new server each round, as its port is new: the closed connections of the last round block no addresses.
        with kvline(options=["--max-clients", str(wanted + SPARE_FILES)]) as server, ExitStack() as stack:
            warm_up(server)
            without.append(load.run(server, BUSY))
            connections = [stack.enter_context(connect(server.port)) for _ in range(wanted)]
            # A connection is the server's once it answered; before, the kernel may hold it in the backlog.
            _count_answers(connections)
            beside.append(load.run(server, BUSY))
            answered.append(_count_answers(connections))
    rows = [
        _row("0", without, without, "–"),
        _row(thousands(wanted), beside, without, f"{thousands(min(answered))} of {thousands(wanted)}"),
    ]
    headings = (
        "idle connections",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "of that without",
        "idle ones answering at the end",
    )
    return section(
        "Idle connections", f"{BUSY.connections} busy connections send {BUSY.command}.", table(headings, rows)
    )


def _row(idle: str, samples: list[Sample], base: list[Sample], answering: str) -> tuple[str, ...]:
    return (
        idle,
        thousands(statistics.median(rates(samples))),
        f"{statistics.median(sample.p50 for sample in samples):.3f}",
        f"{statistics.median(sample.p99 for sample in samples):.3f}",
        times(median_ratio(rates(samples), rates(base))),
        answering,
    )


def _possible(wanted: int) -> int:
    """Allow this process as many open files as it may have; return how many connections that makes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard - SPARE_FILES)
    if possible < 1:
        raise BenchmarkError(f"the limit of {hard} open files leaves no room for idle connections")
    if possible < wanted:
        progress(f"only {possible} of {wanted} idle connections: the limit on open files is {hard}")
    return possible


def _count_answers(connections: list[socket.socket]) -> int:
    """Return how many of the connections answer a PING."""
    return sum(map(_answers, connections))


def _answers(connection: socket.socket) -> bool:
    try:
        connection.sendall(PING)
        return receive(connection, len(PONG)) == PONG
    except OSError:
        return False
