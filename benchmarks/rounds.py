"""Measure servers in turn, round by round, and put the numbers together.

On a machine that others use too, only what is measured side by side can be compared. So every round measures every
server in every case; a ratio is computed within each round, and the median over the rounds is what counts.
"""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks.load import Case, Load, Sample, warm_up
from benchmarks.servers import Starter

Samples = dict[tuple[str, Case], list[Sample]]
"""By server's name and case, one sample a round."""


def measure_in_turn(starters: Sequence[Starter], cases: Sequence[Case], rounds: int, seconds: float) -> Samples:
    """Measure every case on every server, so many rounds.

    The servers are new in each round: how a process got its memory and its core is chance, and averages out. Every
    other round goes through them backwards, so that none has the better place in the order.
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
                    samples[server.name, case].append(load.run(server, case))
    return samples


def ratios(numbers: Sequence[float], base: Sequence[float]) -> list[float]:
    """Divide pair by pair what was measured in the same round."""
    return [number / reference for number, reference in zip(numbers, base, strict=True)]


def median_ratio(numbers: Sequence[float], base: Sequence[float]) -> float:
    """Return the median of the ratios within the rounds."""
    return statistics.median(ratios(numbers, base))


def middle_half(numbers: Sequence[float]) -> tuple[float, float]:
    """Return the quartiles between which the middle half lies."""
    # Of one number there are no quartiles; doubled, it is its own.
    low, _, high = statistics.quantiles([*numbers] * 2 if len(numbers) == 1 else numbers, n=4)
    return low, high


def rates(samples: Sequence[Sample]) -> list[float]:
    """Return the requests per second alone."""
    return [sample.rate for sample in samples]


def progress(text: str) -> None:
    """Tell whoever waits how far it is."""
    print(f"... {text}", file=sys.stderr, flush=True)
