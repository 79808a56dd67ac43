"""The curves of the view: what followed from each snapshot, for a bounded number of them."""

from __future__ import annotations

from collections import deque

from client.tools.server_info import ServerInfo
from client.tools.top.snapshot import Snapshot

MAX_POINTS = 300
"""Points of a curve. At one a second that is five minutes."""


class Curve:
    """A figure over time."""

    def __init__(self, title: str, unit: str) -> None:
        self.title = title
        self.unit = unit
        self._points: deque[tuple[float, float]] = deque(maxlen=MAX_POINTS)

    def add(self, time: float, value: float) -> None:
        """Append the value at a time of `time.monotonic`."""
        self._points.append((time, value))

    def points(self) -> tuple[list[float], list[float]]:
        """Return the times in seconds before the last one, and the values."""
        last = self._points[-1][0] if self._points else 0.0
        return [time - last for time, _ in self._points], [value for _, value in self._points]

    @property
    def last(self) -> float | None:
        """The last value; None if there is none."""
        return self._points[-1][1] if self._points else None


class History:
    """The curves of one server."""

    def __init__(self) -> None:
        self.throughput = Curve("throughput", "requests/s")
        self.latency = Curve("latency", "ms")
        self.hit_rate = Curve("hit rate", "%")
        self.memory = Curve("memory", "MiB")
        self._before: ServerInfo | None = None

    @property
    def curves(self) -> tuple[Curve, ...]:
        """All curves, in the order in which they are shown."""
        return self.throughput, self.latency, self.hit_rate, self.memory

    def add(self, snapshot: Snapshot) -> None:
        """Append a point to each curve for which the snapshot has a value."""
        info, before = snapshot.info, self._before
        if isinstance(info, str):
            return
        self._before = info
        if isinstance(snapshot.latency, float):
            self.latency.add(info.time, snapshot.latency)
        self.memory.add(info.time, info.number("used_memory") / 2**20)
        if before is not None:
            self.throughput.add(info.time, info.rate("total_commands_processed", before))
            if (hit_rate := info.hit_rate(before)) is not None:
                self.hit_rate.add(info.time, hit_rate * 100)

    def interrupt(self) -> None:
        """Note that the connection was lost: the counters of the next server may have begun from zero."""
        self._before = None
