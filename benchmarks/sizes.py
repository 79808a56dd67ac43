"""How much each measurement does: the counts of a full run, and of one that only shows that everything works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """The counts and times of one run."""

    run_seconds: float
    """How long one run of redis-benchmark should take."""
    rounds: int
    """How often `throughput` measures every server."""
    compare_rounds: int
    """How often `compare` measures both revisions: more, as it has to see a few per cent."""
    memory_keys: int
    starts: int
    """How often `startup` starts each server."""
    piped_lines: int
    piping_rounds: int
    idle_connections: int
    idle_rounds: int
    expiry_keys: int
    expiry_seconds: float
    """How long the keys take to expire, and are read."""
    expiry_lead: float
    """How long the keys may take to load, before the first of them expires."""
    http_rounds: int
    http_seconds: int
    """How long one run of wrk takes: it knows whole seconds only."""
    proxy_rounds: int
    neighbour_rounds: int
    """How often the TCP door is read beside every load."""
    neighbour_seconds: float
    """How long the paced readers read beside each load."""


FULL = Sizes(
    run_seconds=1.0,
    rounds=5,
    compare_rounds=31,
    memory_keys=1_000_000,
    starts=15,
    piped_lines=1_000_000,
    piping_rounds=3,
    idle_connections=10_000,
    idle_rounds=5,
    expiry_keys=1_000_000,
    expiry_seconds=60.0,
    expiry_lead=60.0,
    http_rounds=7,
    http_seconds=2,
    proxy_rounds=7,
    neighbour_rounds=9,
    neighbour_seconds=3.0,
)

QUICK = Sizes(
    run_seconds=0.1,
    rounds=1,
    compare_rounds=1,
    memory_keys=20_000,
    starts=2,
    piped_lines=10_000,
    piping_rounds=1,
    idle_connections=500,
    idle_rounds=1,
    expiry_keys=50_000,
    expiry_seconds=5.0,
    expiry_lead=3.0,
    http_rounds=1,
    http_seconds=1,
    proxy_rounds=1,
    neighbour_rounds=1,
    neighbour_seconds=1.0,
)
