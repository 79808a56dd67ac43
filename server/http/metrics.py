"""What the server counts, in the form of Prometheus: the same figures as INFO's."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from common import __version__
from server.commands.info import resident_bytes
from server.instance import Instance
from server.registry import Command
from server.statistics import Record, Records

SHORTEST, LONGEST = 10, 34
"""The histogram's buckets: from 2 ** 10 nanoseconds, about a microsecond, by fours, to 2 ** 34, seventeen seconds."""


class Figures:
    """Read the figures whenever they are asked for. As a collector of ``prometheus_client``."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def collect(self) -> Iterator[Metric]:
        """Return all figures as they are now."""
        instance = self._instance
        yield InfoMetricFamily("kvline", "The server.", value={"version": __version__})
        records = instance.engine.records()
        yield _commands(records)
        yield _durations(records)
        for name, text, value in self._gauges():
            yield GaugeMetricFamily(name, text, value=value)
        for name, text, value in self._counters():
            yield CounterMetricFamily(name, text, value=value)
        yield from self._of_engine()

    def _of_engine(self) -> Iterator[Metric]:
        """Return what only some engines have, such as a cache: whatever figures there are."""
        for section in self._instance.engine.figures().values():
            for name, value in section.items():
                if isinstance(value, int | float):
                    yield GaugeMetricFamily(f"kvline_{name}", f"{name.replace('_', ' ').capitalize()}.", value=value)

    def _gauges(self) -> Iterator[tuple[str, str, float]]:
        keys = self._instance.engine.key_counts()
        yield "kvline_keys", "Keys in the store.", keys.keys
        yield "kvline_keys_expiring", "Keys in the store that are going to expire.", keys.expiring
        yield "kvline_connections", "Open connections.", len(self._instance.clients)
        yield "kvline_memory_bytes", "Resident memory of the process.", resident_bytes()

    def _counters(self) -> Iterator[tuple[str, str, float]]:
        yield "kvline_expired_keys", "Keys that have expired.", self._instance.engine.key_counts().expired
        yield "kvline_connections_received", "Connections since the start.", self._instance.clients.received
        yield "kvline_error_replies", "Replies that were errors.", self._instance.engine.statistics.errors


def _name(command: Command) -> str:
    return command.name.decode().lower()


def _commands(records: Records) -> Metric:
    family = CounterMetricFamily(
        "kvline_commands",
        "Commands by name and outcome: done, failed, or rejected for their number of words.",
        labels=("command", "outcome"),
    )
    for command, record in records.items():
        outcomes = {"done": record.calls - record.failed, "failed": record.failed, "rejected": record.rejected}
        for outcome, count in outcomes.items():
            family.add_metric((_name(command), outcome), count)
    return family


def _durations(records: Records) -> Metric:
    family = HistogramMetricFamily(
        "kvline_command_duration_seconds",
        "How long commands took, without the wait for the store's lock.",
        labels=("command",),
    )
    for command, record in records.items():
        family.add_metric((_name(command),), _buckets(record), record.nanoseconds / 1e9)
    return family


def _buckets(record: Record) -> list[tuple[str, float]]:
    """Return how many calls took at most so many seconds, bucket by bucket."""
    sums = list(accumulate(record.by_duration))
    bounds = [(repr(2**n / 1e9), float(sums[n])) for n in range(SHORTEST, LONGEST + 1, 2)]
    return [*bounds, ("+Inf", float(sums[-1]))]
