"""What the sweeper costs those who read while a million keys expire, beside a server whose keys stay."""

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

ALLOWED = 0.020
"""Seconds by which the sweeper may make the 99th percentile later."""

REST = 2.0
"""Seconds that the sweeper gets after the last key expired, before it is looked at what it left."""

LATENCY_HEADINGS = ("readers", "keys", "GETs/s", "p50 ms", "p99 ms", "p99.9 ms", "maximum ms", "demand")
MEMORY_HEADINGS = ("readers", "keys", "MiB empty", "MiB loaded", "MiB at the end", "DBSIZE then", "it took ms")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run measured."""

    latencies: Sequence[float]
    """In seconds, ascending."""
    resident: tuple[int, int, int]
    """Bytes of the server's memory: empty, loaded, and after the readers and a rest."""
    left: int
    """The keys that DBSIZE says are there in the end."""
    counting: float
    """The seconds that this DBSIZE took. It removes what the sweeper left, so that shows here."""


def measure(sizes: Sizes) -> str:
    """Read from a server whose keys stay and from one whose keys expire, paced and as fast as it goes."""
    latencies, memory = [], []
    for pace, readers in ((PACE, f"{PACE} GETs/s each"), (0, "unpaced")):
        staying, expiring = (_run(sizes, pace, expire=expire) for expire in (False, True))
        verdict = _verdict(percentile(staying.latencies, 99), percentile(expiring.latencies, 99))
        for keys, outcome, demand in (("stay", staying, "–"), ("expire", expiring, verdict)):
            latencies.append((readers, keys, *_latency_cells(outcome, sizes.expiry_seconds), demand))
            memory.append((readers, keys, *_memory_cells(outcome)))
    return section(
        "Expiry",
        f"{thousands(sizes.expiry_keys)} keys, which stay, or expire spread evenly over the "
        f"{sizes.expiry_seconds:.0f} s in which {READERS} readers send GET.",
        table(LATENCY_HEADINGS, latencies),
        table(MEMORY_HEADINGS, memory),
    )


def _verdict(staying: float, expiring: float) -> str:
    """Say whether the sweeper is quick enough, unless the machine is too noisy to tell."""
    if expiring <= ALLOWED:
        return "met"
    if staying > ALLOWED:
        return "unclear: run again"
    return "met" if expiring - staying <= ALLOWED else "missed"


def _latency_cells(outcome: Outcome, seconds: float) -> list[str]:
    shown = [percentile(outcome.latencies, percent) for percent in (50, 99, 99.9, 100)]
    return [thousands(len(outcome.latencies) / seconds), *(f"{1000 * latency:.3f}" for latency in shown)]


def _memory_cells(outcome: Outcome) -> list[str]:
    sizes = [f"{size / MIB:.1f}" for size in outcome.resident]
    return [*sizes, thousands(outcome.left), f"{1000 * outcome.counting:.1f}"]


def _run(sizes: Sizes, pace: int, *, expire: bool) -> Outcome:
    """Load a new server and read from it; check that the keys that expire are gone in the end, and no others."""
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
        time.sleep(REST)
        end = resident(server.pid)
        asked = time.perf_counter()
        left = database_size(server.port)
        counting = time.perf_counter() - asked
    if left != (0 if expire else keys):
        raise BenchmarkError(f"{left} keys are left in the end, of {keys} that {'expire' if expire else 'stay'}")
    return Outcome(latencies, (empty, loaded, end), left, counting)


def _load(server: RunningServer, keys: int, expiry: tuple[float, float] | None) -> None:
    """Set the keys; with an expiry, each to be gone at some moment within so many seconds from its start."""
    if expiry is None:
        load_keys(server.port, keys)
        return
    start, seconds = expiry
    chance = random.Random(0)  # by chance, as neighbours in the table seldom expire together

    def options(_: int) -> tuple[str, str]:
        deadline = start + chance.random() * seconds
        return "PX", str(max(1, int(1000 * (deadline - time.perf_counter()))))

    load_keys(server.port, keys, options)
