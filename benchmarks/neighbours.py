"""What those at kvline's TCP door notice of a busy HTTP door, beside what they notice of other load."""

from __future__ import annotations

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks import load, wrk
from benchmarks.load import Case, Load, Sample
from benchmarks.readers import LEAD, PACE, READERS, Plan, off_the_core_of, percentile, read_all
from benchmarks.report import table, thousands, times
from benchmarks.rounds import median_ratio, progress, ratios
from benchmarks.sizes import Sizes
from benchmarks.web_servers import KEY, WebServer, kvline, starlette
from benchmarks.wire import load_keys
from benchmarks.wrk import Request

LIMIT = 2.0
"""How many times as late the HTTP door's load may make the 99th percentile of the TCP door's replies."""

KEYS = 1000

UNPACED = Case("GET", 50, 1)

ALONE = "nothing"
HTTP = "HTTP door"

Stop = Callable[[], float | None]
"""End a load, and return the requests that it had answered each second, where it can tell."""


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers of one round; the readers read from kvline alone."""

    kvline: WebServer
    same_core: WebServer
    """A bare Starlette on the core that kvline runs on."""
    other_core: WebServer
    """A bare Starlette on the core that the readers run on."""


@contextmanager
def _no_load(_: Servers) -> Iterator[Stop]:
    yield lambda: None


@contextmanager
def _http_load(servers: Servers) -> Iterator[Stop]:
    with wrk.busy(servers.kvline, Request("GET", f"/keys/{KEY}")) as busy:
        yield lambda: busy.stop().rate


@contextmanager
def _yielding_http_load(servers: Servers) -> Iterator[Stop]:
    with wrk.busy(servers.kvline, Request("GET", f"/keys/{KEY}"), wrk.AT_LOWEST_PRIORITY) as busy:
        yield lambda: busy.stop().rate


@contextmanager
def _same_core_load(servers: Servers) -> Iterator[Stop]:
    with wrk.busy(servers.same_core, Request("GET", "/")) as busy:
        yield lambda: busy.stop().rate


@contextmanager
def _other_core_load(servers: Servers) -> Iterator[Stop]:
    with wrk.busy(servers.other_core, Request("GET", "/")) as busy:
        yield lambda: busy.stop().rate


@contextmanager
def _tcp_load(servers: Servers) -> Iterator[Stop]:
    with load.busy(servers.kvline, Case("GET", wrk.CONNECTIONS, 1)):
        yield lambda: None


LOADS: Mapping[str, Callable[[Servers], AbstractContextManager[Stop]]] = {
    ALONE: _no_load,
    HTTP: _http_load,
    "HTTP door, wrk nice": _yielding_http_load,
    "Starlette, same core": _same_core_load,
    "Starlette, readers' core": _other_core_load,
    "TCP door": _tcp_load,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the readers saw beside one load."""

    seen: Sample
    load_rate: float | None


Outcomes = dict[tuple[str, str], list[Outcome]]
"""By readers and load, one a round."""

PACED_READERS = f"{READERS} readers, {PACE} GETs/s each"
UNPACED_READERS = f"redis-benchmark -c {UNPACED.connections}"

HEADINGS = (
    "readers",
    "beside",
    "GETs/s",
    "p50 ms",
    "p99 ms",
    "p99 of that alone",
    "in the rounds",
    "load's requests/s",
    "demand",
)


def measure(sizes: Sizes) -> list[str]:
    """Read beside each load in turn, round by round; return the paragraphs of the report."""
    outcomes: Outcomes = defaultdict(list)
    unpaced = Load(sizes.run_seconds)
    for number in range(sizes.neighbour_rounds):
        progress(f"neighbours, round {number + 1} of {sizes.neighbour_rounds}")
        with ExitStack() as stack:
            server = stack.enter_context(kvline())
            load_keys(server.port, KEYS)
            (own,) = os.sched_getaffinity(server.pid)
            other = min(os.sched_getaffinity(0) - {own}, default=own)
            servers = Servers(server, stack.enter_context(starlette(own)), stack.enter_context(starlette(other)))
            stack.enter_context(off_the_core_of(server))
            for name in LOADS if number % 2 == 0 else reversed(LOADS):
                outcomes[PACED_READERS, name].append(_read(LOADS[name], servers, lambda: _paced(server, sizes)))
                outcomes[UNPACED_READERS, name].append(
                    _read(LOADS[name], servers, lambda: (time.sleep(0.3), unpaced.run(server, UNPACED))[1])
                )
    rows = [_row(outcomes, readers, name) for readers in (PACED_READERS, UNPACED_READERS) for name in LOADS]
    return [table(HEADINGS, rows)]


def _read(start, servers, read) -> Outcome:
    with start(servers) as stop:
        seen = read()
        return Outcome(seen, stop())


def _paced(server, sizes):
    start = time.perf_counter() + LEAD
    l = read_all(Plan(server.port, KEYS, start, sizes.neighbour_seconds, PACE))
    return Sample(len(l) / sizes.neighbour_seconds, 1000 * percentile(l, 50), 1000 * percentile(l, 99))


def _row(outcomes: Outcomes, readers: str, name: str) -> tuple[str, ...]:
    own = outcomes[readers, name]
    p99 = [o.seen.p99 for o in own]
    base = [o.seen.p99 for o in outcomes[readers, ALONE]]
    r = ratios(p99, base)
    loads = [o.load_rate for o in own if o.load_rate is not None]
    return (
        readers,
        name,
        thousands(statistics.median(o.seen.rate for o in own)),
        f"{statistics.median(o.seen.p50 for o in own):.3f}",
        f"{statistics.median(p99):.3f}",
        times(statistics.median(r)),
        " ".join(f"{x:.2f}" for x in sorted(r)),
        thousands(statistics.median(loads)) if loads else "–",
        ("met" if statistics.median(r) <= LIMIT else "missed") if name == HTTP else "–",
    )
