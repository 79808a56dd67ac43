"""Resident memory per key, kvline against Redis."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.report import section, table, thousands, times
from benchmarks.rounds import progress
from benchmarks.servers import Starter, kvline, redis
from benchmarks.sizes import Sizes
from benchmarks.wire import count_keys, load_keys

KIB = 1024
MIB = 1024 * KIB
DAY = 86_400


def measure(sizes: Sizes) -> str:
    """Load each server with the same keys, without and with an expiry. Return the table of the growth."""
    keys = sizes.memory_keys
    rows = []
    for expiry, options in (("no", _no_options), ("yes", _expiring)):
        progress(f"memory of {thousands(keys)} keys, expiry: {expiry}")
        growth = {name: _growth(start, keys, options) for name, start in (("kvline", kvline), ("Redis", redis))}
        rows += [
            (name, expiry, f"{grown / MIB:.1f}", f"{grown / keys:.0f}", times(grown / growth["Redis"]))
            for name, grown in growth.items()
        ]
    return section(
        "Memory",
        f"{thousands(keys)} keys of 16 bytes with values of 16 bytes, without an expiry, and with one at a random time "
        "within a day.",
        table(("server", "expiry", "grown by MiB", "bytes per key", "of Redis"), rows),
    )


def _no_options(_: int) -> Sequence[str]:
    return ()


def _expiring(number: int) -> Sequence[str]:
    return ("EX", str(3600 + random.Random(number).randrange(DAY)))


def _growth(start: Starter, keys: int, options: Callable[[int], Sequence[str]]) -> int:
    """Return the growth in bytes of a new server that is loaded with this number of keys."""
    with start() as server:
        before = resident(server.pid)
        load_keys(server.port, keys, options)
        after = resident(server.pid)
        if count_keys(server.port, keys) != keys:
            raise BenchmarkError(f"{server.name} lost keys")
    return after - before


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * KIB
    raise BenchmarkError(f"process {pid} has no VmRSS")
