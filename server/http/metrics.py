"""The server's metrics in the form of Prometheus: the same numbers as INFO's."""

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
from server.clients.stats import CommandStat, StatsByCommand
from server.engines.base import KeyCounts
from server.process import resident_bytes
from server.registry import Command
from server.session.context import ServerContext

MIN_BUCKET, MAX_BUCKET = 10, 34
"""The histogram's bounds, as powers of 2 in nanoseconds: about a microsecond, then by fours, to 17 seconds."""

COUNTERS = frozenset(
    {
        "backend_timed_out",
        "backend_unavailable",
        "cache_coalesced",
        "cache_evictions",
        "cache_expirations",
        "cache_hits",
        "cache_misses",
    }
)
"""The numbers of engines that only grow, or are reset. All others are gauges."""


class MetricsCollector:
    """A collector of ``prometheus_client``. It reads the metrics each time that they are collected."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    def collect(self) -> Iterator[Metric]:
        """Return all metrics. May wait for a backing server, to count its keys."""
        context = self._context
        yield InfoMetricFamily("kvline", "The server.", value={"version": __version__})
        stats = context.stats.totals()
        yield _commands(stats)
        yield _durations(stats)
        yield from self._of_clients()
        yield from self._of_memory_limit()
        yield from _of_keys(context.engine.key_counts())
        yield from self._of_engine()

    def _of_clients(self) -> Iterator[Metric]:
        clients, stats = self._context.clients, self._context.stats
        yield GaugeMetricFamily("kvline_connections", "Open connections.", value=len(clients))
        # The client library adds `_total` to the name of each counter.
        yield CounterMetricFamily("kvline_connections_received", "Connections since the start.", value=clients.received)
        yield CounterMetricFamily(
            "kvline_connections_rejected", "Connections refused at the limit of clients.", value=clients.rejected
        )
        yield CounterMetricFamily(
            "kvline_denied_authentications", "Wrong passwords and user names.", value=self._context.auth.denied
        )
        yield CounterMetricFamily("kvline_error_replies", "Replies that were errors.", value=stats.errors)
        yield GaugeMetricFamily("kvline_memory_bytes", "Resident memory of the process.", value=resident_bytes())

    def _of_memory_limit(self) -> Iterator[Metric]:
        """Return nothing without a limit."""
        used, limit = self._context.engine.used_memory(), self._context.settings.max_memory
        if used is not None and limit:
            yield GaugeMetricFamily("kvline_used_memory_bytes", "Memory of the keys, by an estimate.", value=used)
            yield GaugeMetricFamily("kvline_max_memory_bytes", "The limit on it.", value=limit)

    def _of_engine(self) -> Iterator[Metric]:
        """Return the numbers that only some engines have, such as those of a cache."""
        for section in self._context.engine.info_sections().values():
            for name, value in section.items():
                if isinstance(value, int | float):  # not the URL
                    # A counter may be reset (CONFIG RESETSTAT): Prometheus's `rate` expects that.
                    family = CounterMetricFamily if name in COUNTERS else GaugeMetricFamily
                    yield family(f"kvline_{name}", f"{name.replace('_', ' ').capitalize()}.", value=value)


def _of_keys(counts: KeyCounts | None) -> Iterator[Metric]:
    """Return nothing if the counts are not available, because 0 would be wrong."""
    if counts is not None:
        yield GaugeMetricFamily("kvline_keys", "Keys in the store.", value=counts.keys)
        yield GaugeMetricFamily("kvline_keys_expiring", "Keys with a time to live.", value=counts.expiring)
        yield CounterMetricFamily("kvline_expired_keys", "Keys that have expired.", value=counts.expired)
        yield CounterMetricFamily("kvline_evicted_keys", "Keys evicted at the memory limit.", value=counts.evicted)


def _name(command: Command) -> str:
    return command.name.decode().lower()


def _commands(stats: StatsByCommand) -> Metric:
    family = CounterMetricFamily(
        "kvline_commands",
        "Commands by name and outcome: done, failed, or rejected for their number of arguments.",
        labels=("command", "outcome"),
    )
    # Failed calls are among `calls`, rejected ones are not: their number of arguments was wrong, so nothing was called.
    for command, stat in stats.items():
        outcomes = {"done": stat.calls - stat.failed, "failed": stat.failed, "rejected": stat.rejected}
        for outcome, count in outcomes.items():
            family.add_metric((_name(command), outcome), count)
    return family


def _durations(stats: StatsByCommand) -> Metric:
    family = HistogramMetricFamily(
        "kvline_command_duration_seconds",
        "Execution time of commands, without the wait for the store's lock.",
        labels=("command",),
    )
    for command, stat in stats.items():
        family.add_metric((_name(command),), _buckets(stat), stat.nanoseconds / 1e9)
    return family


def _buckets(stat: CommandStat) -> list[tuple[str, float]]:
    """Return each bucket's upper bound in seconds, and how many calls took no longer."""
    # Prometheus's buckets are cumulative. Bucket n of the statistics counts calls of less than 2 ** n nanoseconds.
    sums = list(accumulate(stat.buckets))
    bounds = [(repr(2**n / 1e9), float(sums[n])) for n in range(MIN_BUCKET, MAX_BUCKET + 1, 2)]
    return [*bounds, ("+Inf", float(sums[-1]))]
