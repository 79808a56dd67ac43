"""The counts of each measurement, for a full run and for a quick one that only shows that everything works."""

from __future__ import annotations

from dataclasses import dataclass

from common.limits import MIB


@dataclass(frozen=True, slots=True)
class Sizes:
    """Counts, and times in seconds."""

    run_seconds: float
    """The duration of one run of redis-benchmark."""
    rounds: int
    """Rounds of `throughput`."""
    compare_rounds: int
    """Rounds of `compare`. More than elsewhere, because it must detect a few per cent."""
    memory_keys: int
    starts: int
    """Starts of each server in `startup`."""
    piped_lines: int
    piping_rounds: int
    idle_connections: int
    idle_rounds: int
    expiry_keys: int
    expiry_seconds: float
    """The time within which the keys expire and are read."""
    expiry_lead: float
    """The maximum time for loading the keys. Then the first of them expires."""
    eviction_keys: int
    """Keys that fit into the limit under which hit rates are measured."""
    eviction_requests: int
    eviction_limit: int
    """Bytes of the limit under which resident memory is measured."""
    eviction_rounds: int
    http_rounds: int
    http_seconds: int
    """The duration of one run of wrk, which accepts only whole seconds."""
    proxy_rounds: int
    fairness_keys: int
    neighbour_rounds: int
    """Rounds of the readers beside every load."""
    neighbour_seconds: float
    """The duration of one run of the paced readers."""


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
    eviction_keys=10_000,
    eviction_requests=400_000,
    eviction_limit=64 * MIB,
    eviction_rounds=9,
    http_rounds=7,
    http_seconds=2,
    proxy_rounds=7,
    fairness_keys=200_000,
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
    eviction_keys=500,
    eviction_requests=4_000,
    eviction_limit=2 * MIB,
    eviction_rounds=1,
    http_rounds=1,
    http_seconds=1,
    proxy_rounds=1,
    fairness_keys=10_000,
    neighbour_rounds=1,
    neighbour_seconds=1.0,
)
