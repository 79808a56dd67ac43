"""The HTTP listener: its throughput against a bare Starlette and webdis, and its effect on the TCP listener."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from benchmarks import neighbours, wrk
from benchmarks.load import Sample
from benchmarks.report import section, table, thousands, times
from benchmarks.rounds import median_ratio, progress, rates
from benchmarks.sizes import Sizes
from benchmarks.web_servers import KEY, WebStarter, kvline_with_http, starlette, webdis
from benchmarks.wrk import Request

MIN_RATIO = 0.6
"""The required throughput, as a fraction of the bare Starlette's."""

STARTERS: Sequence[WebStarter] = (kvline_with_http, starlette, webdis)

READ, COMMAND = "read of a key", "posted command"

COMMAND_BODY = f'["GET","{KEY}"]'

REQUESTS: Mapping[str, Mapping[str, Request]] = {
    READ: {
        "kvline": Request("GET", f"/keys/{KEY}"),
        "Starlette": Request("GET", "/"),
        "webdis": Request("GET", f"/GET/{KEY}"),
    },
    COMMAND: {
        "kvline": Request("POST", "/", COMMAND_BODY),
        "Starlette": Request("POST", "/", COMMAND_BODY),
        "webdis": Request("POST", "/", f"GET/{KEY}"),
    },
}

HEADINGS = (
    "case",
    "server",
    "request",
    "requests/s",
    "p50 ms",
    "p99 ms",
    "of Starlette",
    "of webdis",
    "target",
)

HTTPSamples = dict[tuple[str, str], list[Sample]]
"""One sample per round, by case and server name."""


def measure(sizes: Sizes) -> str:
    """Measure the HTTP listener's throughput, then its effect on the TCP listener. Return the tables."""
    samples = _measure_in_turn(sizes)
    rows = [_row(samples, case, name) for case, requests in REQUESTS.items() for name in requests]
    return section(
        "HTTP",
        f"wrk, {wrk.CONNECTIONS} connections, one thread; the value has 16 bytes.",
        table(HEADINGS, rows),
        "Readers of kvline's TCP listener while its HTTP listener or another server is busy:",
        neighbours.measure(sizes),
    )


def _measure_in_turn(sizes: Sizes) -> HTTPSamples:
    samples: HTTPSamples = defaultdict(list)
    for number in range(sizes.http_rounds):
        progress(f"HTTP, round {number + 1} of {sizes.http_rounds}")
        with ExitStack() as stack:
            servers = [stack.enter_context(start()) for start in STARTERS]
            for case, requests in REQUESTS.items():
                for server in servers if number % 2 == 0 else reversed(servers):
                    request = requests[server.name]
                    wrk.check(server, request)
                    samples[case, server.name].append(wrk.run(server, request, sizes.http_seconds))
    return samples


def _row(samples: HTTPSamples, case: str, name: str) -> tuple[str, ...]:
    own = samples[case, name]
    request = REQUESTS[case][name]
    of_starlette, of_webdis = (
        median_ratio(rates(own), rates(samples[case, other])) for other in ("Starlette", "webdis")
    )
    return (
        case,
        name,
        " ".join(filter(None, [request.method, request.path, request.body])),
        thousands(statistics.median(rates(own))),
        f"{statistics.median(sample.p50 for sample in own):.3f}",
        f"{statistics.median(sample.p99 for sample in own):.3f}",
        times(of_starlette),
        times(of_webdis),
        _verdict(of_starlette) if name == "kvline" else "–",
    )


def _verdict(of_starlette: float) -> str:
    return "met" if of_starlette >= MIN_RATIO else "missed"
