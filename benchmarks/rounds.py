"""Measure servers in turn, in several rounds, and aggregate the numbers.

On a shared machine only runs that are close in time are comparable. So every round measures every server in every
case, each ratio is computed within a round, and the result is the median over the rounds.
"""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from benchmarks.load import Case, Load, Sample, warm_up
from benchmarks.servers import Starter

Samples = dict[tuple[str, Case], list[Sample]]
"""One sample per round, by server name and case."""


def measure_in_turn(
    starters: Sequence[Starter],
    cases: Sequence[Case],
    rounds: int,
    seconds: float,
    left_out: Callable[[str, Case], bool] = lambda name, case: False,
) -> Samples:
    """Measure every case on every server, in this number of rounds, except those that ``left_out`` names.

    The servers are new in each round, because a process's memory layout and core are random. Every other round has the
    reverse order, so that no server profits from its position.
    """
    samples: Samples = defaultdict(list)
    load = Load(seconds)
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        with ExitStack() as stack:
            servers = [stack.enter_context(start()) for start in starters]
            for server in servers:
                warm_up(server)
            for case in cases:
                for server in servers if number % 2 == 0 else reversed(servers):
                    if left_out(server.name, case):
                        continue
                    samples[server.name, case].append(load.run(server, case))
    return samples


def ratios(numbers: Sequence[float], base: Sequence[float]) -> list[float]:
    """Divide the numbers of the same round."""
    return [number / reference for number, reference in zip(numbers, base, strict=True)]


def median_ratio(numbers: Sequence[float], base: Sequence[float]) -> float:
    """Return the median of the ratios within the rounds."""
    return statistics.median(ratios(numbers, base))


def middle_half(numbers: Sequence[float]) -> tuple[float, float]:
    """Return the lower and the upper quartile."""
    # `quantiles` needs two numbers at least. A single number is its own quartile.
    low, _, high = statistics.quantiles([*numbers] * 2 if len(numbers) == 1 else numbers, n=4)
    return low, high


def rates(samples: Sequence[Sample]) -> list[float]:
    """Return the requests per second of each sample."""
    return [sample.rate for sample in samples]


def cpu_times(samples: Sequence[Sample]) -> list[float]:
    """Return the server's CPU time per request of each sample, in microseconds."""
    return [sample.cpu for sample in samples]


def progress(text: str) -> None:
    """Print progress to standard error."""
    print(f"... {text}", file=sys.stderr, flush=True)
