"""``--latency``: how long PING takes, with percentiles."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import TextIO

from client.conversation import Conversation

PAUSE = 0.01
"""Seconds between two requests, as in redis-cli."""

PERCENTILES = (50.0, 99.0, 99.9)


class Latencies:
    """A histogram of times in milliseconds. Its memory does not grow with the number of samples."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()  # by bucket: 100 per power of ten, so a value is exact to 2.4 %
        self.count = 0
        self._total = 0.0
        self._min = math.inf
        self._max = 0.0

    def add(self, milliseconds: float) -> None:
        self._counts[round(math.log10(max(milliseconds, 1e-6)) * 100)] += 1
        self.count += 1
        self._total += milliseconds
        self._min = min(self._min, milliseconds)
        self._max = max(self._max, milliseconds)

    def percentile(self, percent: float) -> float:
        """Return the time in milliseconds that this percentage of the samples does not exceed."""
        wanted = self.count * percent / 100
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                return min(max(10 ** (bucket / 100), self._min), self._max)
        return self._max

    def __str__(self) -> str:
        if not self.count:
            return "no samples"
        percentiles = "  ".join(f"p{percent:g} {self.percentile(percent):.2f}" for percent in PERCENTILES)
        average = self._total / self.count
        return (
            f"min {self._min:.2f}  avg {average:.2f}  max {self._max:.2f}  {percentiles} ms  ({self.count:,} samples)"
        )


def print_latency(conversation: Conversation, output: TextIO, interval: float, *, history: bool) -> int:
    """Measure until Ctrl-C, and show the result in place. Return the exit status. Raises as `Conversation.exchange`.

    With ``history``, and if the output is no terminal, a line is printed every ``interval`` seconds. Without
    ``history`` that is one line, after which the tool ends.
    """
    in_place = output.isatty() and not history
    while True:
        latencies = Latencies()
        end = time.monotonic() + interval
        try:
            while in_place or time.monotonic() < end:
                began = time.perf_counter()
                conversation.call(b"PING")
                latencies.add((time.perf_counter() - began) * 1000)
                if in_place:
                    print(f"\r{latencies}\x1b[K", end="", file=output, flush=True)
                time.sleep(PAUSE)
        finally:
            if in_place:
                print(file=output)
        print(latencies, file=output, flush=True)
        if not history:
            return 0
