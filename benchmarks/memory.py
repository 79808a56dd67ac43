"""Resident memory per key, kvline against Redis."""

from __future__ import annotations

from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.report import section, table, thousands, times
from benchmarks.rounds import progress
from benchmarks.servers import Starter, kvline, redis
from benchmarks.sizes import Sizes
from benchmarks.wire import count_keys, load_keys

KIB = 1024
MIB = 1024 * KIB


def measure(sizes: Sizes) -> str:
    """Load each server with the same keys. Return the table of the growth."""
    keys = sizes.memory_keys
    progress(f"memory of {thousands(keys)} keys")
    growth = {name: _growth(start, keys) for name, start in (("kvline", kvline), ("Redis", redis))}
    rows = [
        (name, f"{grown / MIB:.1f}", f"{grown / keys:.0f}", times(grown / growth["Redis"]))
        for name, grown in growth.items()
    ]
    return section(
        "Memory",
        f"{thousands(keys)} keys of 14 bytes with values of 16 bytes.",
        table(("server", "grown by MiB", "bytes per key", "of Redis"), rows),
    )


def _growth(start: Starter, keys: int) -> int:
    """Return the growth in bytes of a new server that is loaded with this number of keys."""
    with start() as server:
        before = resident(server.pid)
        load_keys(server.port, keys)
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
