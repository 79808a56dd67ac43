"""Ten thousand idle connections: the memory they take, their effect on busy ones, and whether they stay connected."""

from __future__ import annotations

import re
import resource
import socket
import statistics
import time
from contextlib import ExitStack

from benchmarks.errors import BenchmarkError
from benchmarks.load import Case, Load, Sample, warm_up
from benchmarks.memory import resident
from benchmarks.report import section, table, thousands, times
from benchmarks.rounds import median_ratio, progress, rates
from benchmarks.servers import kvline
from benchmarks.sizes import Sizes
from benchmarks.wire import PING, PONG, TIMEOUT, connect, encode, receive

BUSY = Case("GET", 10, 1)
SPARE_FILES = 200
"""Open files beside the idle connections, in this process and in the server, busy connections included."""


def measure(sizes: Sizes) -> str:
    """Measure the busy connections without and with idle ones in turn. Return the table."""
    count = _raise_file_limit(sizes.idle_connections)
    without: list[Sample] = []
    beside: list[Sample] = []
    alive: list[int] = []
    memory: list[float] = []
    load = Load(sizes.run_seconds)
    for number in range(sizes.idle_rounds):
        progress(f"idle connections, round {number + 1} of {sizes.idle_rounds}")
        # A new server each round, on a new port: TIME_WAIT of the last round's connections then blocks no addresses.
        with kvline(options=["--max-clients", str(count + SPARE_FILES)]) as server, ExitStack() as stack:
            warm_up(server)
            without.append(load.run(server, BUSY))
            before = resident(server.pid)
            connections = [stack.enter_context(connect(server.port)) for _ in range(count)]
            _wait_until_accepted(server.port, count)
            memory.append((resident(server.pid) - before) / count)
            beside.append(load.run(server, BUSY))
            alive.append(_count_replies(connections))
    rows = [
        _row("0", without, without, "–", "–"),
        _row(
            thousands(count),
            beside,
            without,
            f"{thousands(min(alive))} of {thousands(count)}",
            thousands(statistics.median(memory)),
        ),
    ]
    headings = (
        "idle connections",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "of that without",
        "idle ones alive at the end",
        "bytes of an idle one",
    )
    return section(
        "Idle connections", f"{BUSY.connections} busy connections send {BUSY.command}.", table(headings, rows)
    )


def _row(idle: str, samples: list[Sample], base: list[Sample], alive: str, memory: str) -> tuple[str, ...]:
    return (
        idle,
        thousands(statistics.median(rates(samples))),
        f"{statistics.median(sample.p50 for sample in samples):.3f}",
        f"{statistics.median(sample.p99 for sample in samples):.3f}",
        times(median_ratio(rates(samples), rates(base))),
        alive,
        memory,
    )


def _wait_until_accepted(port: int, count: int) -> None:
    """Wait until the server has accepted this many connections. Before, some may be in the kernel's backlog."""
    deadline = time.monotonic() + TIMEOUT
    with connect(port) as connection:
        while time.monotonic() < deadline:
            connection.sendall(encode("INFO", "clients"))
            found = re.search(rb"connected_clients:(\d+)", connection.recv(4096))
            if found and int(found[1]) > count:
                return
            time.sleep(0.05)
    raise BenchmarkError(f"the server did not accept {count} connections in {TIMEOUT:.0f} s")


def _raise_file_limit(wanted: int) -> int:
    """Raise the limit on open files as far as allowed. Return how many idle connections that permits."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard - SPARE_FILES)
    if possible < 1:
        raise BenchmarkError(f"the limit of {hard} open files allows no idle connections")
    if possible < wanted:
        progress(f"only {possible} of {wanted} idle connections: the limit on open files is {hard}")
    return possible


def _count_replies(connections: list[socket.socket]) -> int:
    """Send PING on each connection. Return how many replied."""
    return sum(map(_replies, connections))


def _replies(connection: socket.socket) -> bool:
    try:
        connection.sendall(PING)
        return receive(connection, len(PONG)) == PONG
    except OSError:
        return False
