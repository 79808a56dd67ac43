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
from server.clients.stats import Record, Records
from server.commands.info import resident_bytes
from server.engines.embedded import KeyCounts
from server.registry import Command
from server.session.context import ServerContext

SHORTEST, LONGEST = 10, 34
"""The histogram's buckets: from 2 ** 10 nanoseconds, about a microsecond, by fours, to 2 ** 34, seventeen seconds."""


class Figures:
    """Read the figures whenever they are asked for. As a collector of ``prometheus_client``."""

    def __init__(self, context: ServerContext) -> None:
        self._instance = context

    def collect(self) -> Iterator[Metric]:
        """Return all figures as they are now."""
        context = self._instance
        yield InfoMetricFamily("kvline", "The server.", value={"version": __version__})
        records = context.engine.records()
        yield _commands(records)
        yield _durations(records)
        yield from self._of_clients()
        yield from _of_keys(context.engine.key_counts())
        yield from self._of_engine()

    def _of_clients(self) -> Iterator[Metric]:
        clients, statistics = self._instance.clients, self._instance.engine.statistics
        yield GaugeMetricFamily("kvline_connections", "Open connections.", value=len(clients))
        yield CounterMetricFamily("kvline_connections_received", "Connections since the start.", value=clients.received)
        yield CounterMetricFamily("kvline_connections_rejected", "Connections too many.", value=clients.rejected)
        yield CounterMetricFamily("kvline_error_replies", "Replies that were errors.", value=statistics.errors)
        yield GaugeMetricFamily("kvline_memory_bytes", "Resident memory of the process.", value=resident_bytes())

    def _of_engine(self) -> Iterator[Metric]:
        """Return what only some engines have, such as a cache: whatever figures there are."""
        for section in self._instance.engine.figures().values():
            for name, value in section.items():
                if isinstance(value, int | float):
                    yield GaugeMetricFamily(f"kvline_{name}", f"{name.replace('_', ' ').capitalize()}.", value=value)


def _of_keys(counts: KeyCounts | None) -> Iterator[Metric]:
    """Return nothing where it can't be told: a zero would be taken for what it says."""
    if counts is not None:
        yield GaugeMetricFamily("kvline_keys", "Keys in the store.", value=counts.keys)
        yield GaugeMetricFamily("kvline_keys_expiring", "Keys that are going to expire.", value=counts.expiring)
        yield CounterMetricFamily("kvline_expired_keys", "Keys that have expired.", value=counts.expired)


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
