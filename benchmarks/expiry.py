"""Latencies of readers while a million keys expire, against a server whose keys have no expiry."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.errors import BenchmarkError
from benchmarks.memory import MIB, resident
from benchmarks.readers import LEAD, PACE, READERS, Plan, off_the_core_of, percentile, read_all
from benchmarks.report import section, table, thousands
from benchmarks.rounds import progress
from benchmarks.servers import RunningServer, kvline
from benchmarks.sizes import Sizes
from benchmarks.wire import database_size, load_keys

MAX_DELAY = 0.020
"""Seconds by which the active expire cycle may increase the 99th percentile."""

SETTLE_TIME = 2.0
"""Seconds from the expiry of the last key to the reading of memory and DBSIZE."""

LATENCY_HEADINGS = ("readers", "keys", "GETs/s", "p50 ms", "p99 ms", "p99.9 ms", "maximum ms", "target")
MEMORY_HEADINGS = ("readers", "keys", "MiB empty", "MiB loaded", "MiB at the end", "DBSIZE then", "DBSIZE took ms")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run measured."""

    latencies: Sequence[float]
    """In seconds, ascending."""
    resident: tuple[int, int, int]
    """Bytes of resident memory: empty, loaded, and `SETTLE_TIME` after the readers."""
    remaining: int
    """The reply to DBSIZE at the end."""
    dbsize_seconds: float
    """The time that this DBSIZE took. It deletes the expired keys that the active expire cycle has not deleted."""


def measure(sizes: Sizes) -> str:
    """Read from a server whose keys stay and from one whose keys expire, paced and unpaced. Return the tables."""
    latencies, memory = [], []
    for pace, readers in ((PACE, f"{PACE} GETs/s each"), (0, "unpaced")):
        staying, expiring = (_run(sizes, pace, expire=expire) for expire in (False, True))
        verdict = _verdict(percentile(staying.latencies, 99), percentile(expiring.latencies, 99))
        for keys, outcome, target in (("stay", staying, "–"), ("expire", expiring, verdict)):
            latencies.append((readers, keys, *_latency_cells(outcome, sizes.expiry_seconds), target))
            memory.append((readers, keys, *_memory_cells(outcome)))
    return section(
        "Expiry",
        f"{thousands(sizes.expiry_keys)} keys without an expiry, or expiring evenly within the "
        f"{sizes.expiry_seconds:.0f} s in which {READERS} readers send GET.",
        table(LATENCY_HEADINGS, latencies),
        table(MEMORY_HEADINGS, memory),
    )


def _verdict(staying: float, expiring: float) -> str:
    """Compare the 99th percentiles. Unclear if the machine is too noisy for a verdict."""
    if expiring <= MAX_DELAY:
        return "met"
    if staying > MAX_DELAY:
        return "unclear: run again"
    return "met" if expiring - staying <= MAX_DELAY else "missed"


def _latency_cells(outcome: Outcome, seconds: float) -> list[str]:
    shown = [percentile(outcome.latencies, percent) for percent in (50, 99, 99.9, 100)]
    return [thousands(len(outcome.latencies) / seconds), *(f"{1000 * latency:.3f}" for latency in shown)]


def _memory_cells(outcome: Outcome) -> list[str]:
    sizes = [f"{size / MIB:.1f}" for size in outcome.resident]
    return [*sizes, thousands(outcome.remaining), f"{1000 * outcome.dbsize_seconds:.1f}"]


def _run(sizes: Sizes, pace: int, *, expire: bool) -> Outcome:
    """Load a new server and read from it. Raises `BenchmarkError` if keys are lost, or expired keys remain."""
    keys, seconds = sizes.expiry_keys, sizes.expiry_seconds
    progress(f"{thousands(keys)} keys that {'expire' if expire else 'stay'}, readers {'paced' if pace else 'unpaced'}")
    with kvline() as server:
        empty = resident(server.pid)
        start = time.perf_counter() + sizes.expiry_lead
        _load(server, keys, (start, seconds) if expire else None)
        if time.perf_counter() > start:
            raise BenchmarkError(f"loading {thousands(keys)} keys took more than its {sizes.expiry_lead:.0f} s")
        if not expire:
            start = time.perf_counter() + LEAD
        loaded = resident(server.pid)
        with off_the_core_of(server):
            latencies = read_all(Plan(server.port, keys, start, seconds, pace))
        time.sleep(SETTLE_TIME)
        end = resident(server.pid)
        started = time.perf_counter()
        remaining = database_size(server.port)
        dbsize_seconds = time.perf_counter() - started
    if remaining != (0 if expire else keys):
        raise BenchmarkError(f"{remaining} keys remain of {keys} that {'expire' if expire else 'stay'}")
    return Outcome(latencies, (empty, loaded, end), remaining, dbsize_seconds)


def _load(server: RunningServer, keys: int, expiry: tuple[float, float] | None) -> None:
    """Set the keys. ``expiry`` is a start and a number of seconds within which they expire, at random times."""
    if expiry is None:
        load_keys(server.port, keys)
        return
    start, seconds = expiry
    generator = random.Random(0)  # not in the order of insertion, which is more regular than in practice

    def options(_: int) -> tuple[str, str]:
        expires_at = start + generator.random() * seconds
        return "PX", str(max(1, int(1000 * (expires_at - time.perf_counter()))))

    load_keys(server.port, keys, options)
