"""Latencies at kvline's TCP listener while its HTTP listener is busy, compared with other loads on the machine."""

from __future__ import annotations

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass

from benchmarks import load, wrk
from benchmarks.load import Case, Load, Sample
from benchmarks.readers import PACE, READERS, off_the_core_of, read_paced
from benchmarks.report import spread, table, thousands, times
from benchmarks.rounds import middle_half, progress, ratios
from benchmarks.sizes import Sizes
from benchmarks.web_servers import KEY, WebServer, kvline_with_http, starlette
from benchmarks.wire import load_keys
from benchmarks.wrk import AT_LOWEST_PRIORITY, Request

MAX_RATIO = 2.0
"""The factor by which load on the HTTP listener may increase the 99th percentile at the TCP listener."""

KEYS = 1000
"""Keys that the paced readers read."""

UNPACED = Case("GET", 50, 1)
OTHER_TCP = Case("GET", wrk.CONNECTIONS, 1)

SETTLE_TIME = 0.3
"""Seconds after which a load has opened its connections and saturates its server."""

PACED_READERS = f"{READERS}, {PACE} GETs/s each"
UNPACED_READERS = f"redis-benchmark -c {UNPACED.connections}"

HTTP_REQUEST = Request("GET", f"/keys/{KEY}")
STARLETTE_REQUEST = Request("GET", "/")

HEADINGS = (
    "readers",
    "load",
    "load requests/s",
    "GETs/s",
    "p50 ms",
    "p99 ms",
    "p99 of that alone",
    "middle half",
    "p99 of same core",
    "target",
)


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers of one round. All readers read from kvline."""

    kvline: WebServer
    same_core: WebServer
    """A bare Starlette on the core that kvline runs on."""
    readers_core: WebServer
    """A bare Starlette on the readers' core, if there is another core than kvline's."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the readers measured in one round, and the rate of the load beside them in requests per second."""

    readers: Sample
    load_rate: float | None


RunningLoad = AbstractContextManager["wrk.Busy | None"]

ALONE, HTTP, SAME_CORE = "nothing", "HTTP listener", "Starlette, same core"

LOADS: Mapping[str, Callable[[Servers], RunningLoad]] = {
    ALONE: lambda _: nullcontext(),
    HTTP: lambda servers: wrk.busy(servers.kvline, HTTP_REQUEST),
    "HTTP listener, wrk yields": lambda servers: wrk.busy(servers.kvline, HTTP_REQUEST, AT_LOWEST_PRIORITY),
    SAME_CORE: lambda servers: wrk.busy(servers.same_core, STARLETTE_REQUEST),
    "Starlette, readers' core": lambda servers: wrk.busy(servers.readers_core, STARLETTE_REQUEST),
    "TCP listener": lambda servers: load.busy(servers.kvline, OTHER_TCP),
}
"""What runs beside the readers. The README explains the purpose of each."""

Outcomes = dict[tuple[str, str], list[Outcome]]
"""One outcome per round, by readers and load."""


def measure(sizes: Sizes) -> str:
    """Run the readers beside each load in turn, in several rounds. Return the table."""
    outcomes: Outcomes = defaultdict(list)
    unpaced = Load(sizes.run_seconds)
    readers: Mapping[str, Callable[[WebServer], Sample]] = {
        PACED_READERS: lambda server: read_paced(server.port, KEYS, sizes.neighbour_seconds),
        UNPACED_READERS: lambda server: unpaced.run(server, UNPACED),
    }
    for number in range(sizes.neighbour_rounds):
        progress(f"neighbours, round {number + 1} of {sizes.neighbour_rounds}")
        with _servers() as servers:
            for name in _in_turn(list(LOADS), number):
                for each, read in readers.items():
                    outcomes[each, name].append(_beside(servers, name, read))
    rows = [_row(outcomes, each, name) for each in readers for name in LOADS]
    return table(HEADINGS, rows)


@contextmanager
def _servers() -> Iterator[Servers]:
    """Run new servers. This process and the processes it starts stay off kvline's core if there is another."""
    with ExitStack() as stack:
        server = stack.enter_context(kvline_with_http())
        load_keys(server.port, KEYS)
        own = min(os.sched_getaffinity(server.pid))
        readers = min(os.sched_getaffinity(0) - {own}, default=own)
        same_core, readers_core = (stack.enter_context(starlette(core)) for core in (own, readers))
        stack.enter_context(off_the_core_of(server))
        yield Servers(server, same_core, readers_core)


def _in_turn(names: list[str], number: int) -> list[str]:
    """Reverse the order in every other round, so that no load profits from its position."""
    return names if number % 2 == 0 else names[::-1]


def _beside(servers: Servers, name: str, read: Callable[[WebServer], Sample]) -> Outcome:
    with LOADS[name](servers) as busy:
        time.sleep(SETTLE_TIME)
        sample = read(servers.kvline)
        return Outcome(sample, busy.stop().rate if busy is not None else None)


def _row(outcomes: Outcomes, readers: str, name: str) -> tuple[str, ...]:
    samples = [outcome.readers for outcome in outcomes[readers, name]]
    load_rates = [outcome.load_rate for outcome in outcomes[readers, name] if outcome.load_rate is not None]
    of_alone, of_same_core = (
        ratios(_p99s(outcomes, readers, name), _p99s(outcomes, readers, other)) for other in (ALONE, SAME_CORE)
    )
    change = statistics.median(of_alone)
    return (
        readers,
        name,
        thousands(statistics.median(load_rates)) if load_rates else "–",
        thousands(statistics.median(sample.rate for sample in samples)),
        f"{statistics.median(sample.p50 for sample in samples):.3f}",
        f"{statistics.median(sample.p99 for sample in samples):.3f}",
        times(change),
        spread(*middle_half(of_alone)),
        times(statistics.median(of_same_core)),
        _verdict(change) if name == HTTP else "–",
    )


def _p99s(outcomes: Outcomes, readers: str, name: str) -> Sequence[float]:
    return [outcome.readers.p99 for outcome in outcomes[readers, name]]


def _verdict(change: float) -> str:
    return "met" if change <= MAX_RATIO else "missed"
