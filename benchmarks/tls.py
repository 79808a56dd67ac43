"""What TLS costs: kvline and Redis, each with TLS and without, in the same rounds."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.load import Case, Sample, tool
from benchmarks.report import section, spread, table, thousands, times
from benchmarks.rounds import cpu_times, measure_in_turn, median_ratio, middle_half, rates, ratios
from benchmarks.servers import RunningServer, Starter, free_port, kvline_command, redis, redis_command, running
from benchmarks.sizes import Sizes

CASES = [Case(command, 50, pipeline) for pipeline in (1, 16) for command in ("SET", "GET")]

TLS_OPTIONS = ("--tls", "--insecure")
"""Of redis-benchmark. To verify the certificate would add nothing to a request."""

OPENSSL_TIMEOUT = 30.0

HEADINGS = (
    "server",
    "command",
    "connections",
    "-P",
    "plain, req/s",
    "TLS, req/s",
    "TLS/plain",
    "middle half",
    "CPU TLS/plain",
)


def measure(sizes: Sizes) -> str:
    """Measure both servers in turn, with and without TLS. Return the table."""
    with tempfile.TemporaryDirectory(prefix="kvline-") as folder:
        certificate, key = _make_certificate(Path(folder))
        starters: tuple[Starter, ...] = (
            partial(running, "kvline", kvline_command(0)),
            partial(_kvline_with_tls, certificate, key),
            redis,
            partial(_redis_with_tls, certificate, key),
        )
        samples = measure_in_turn(starters, CASES, sizes.rounds, sizes.run_seconds)
    rows = [
        _row(name, case, samples[name, case], samples[f"{name} TLS", case])
        for case in CASES
        for name in ("kvline", "Redis")
    ]
    return section("TLS", "TLS 1.3, a certificate with a P-256 key.", table(HEADINGS, rows))


def _row(name: str, case: Case, plain: Sequence[Sample], tls: Sequence[Sample]) -> tuple[str, ...]:
    changes = ratios(rates(tls), rates(plain))
    return (
        name,
        case.command,
        str(case.connections),
        str(case.pipeline),
        thousands(statistics.median(rates(plain))),
        thousands(statistics.median(rates(tls))),
        times(statistics.median(changes)),
        spread(*middle_half(changes)),
        times(median_ratio(cpu_times(tls), cpu_times(plain))),
    )


def _make_certificate(folder: Path) -> tuple[str, str]:
    certificate, key = str(folder / "certificate"), str(folder / "key")
    make = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost"]
    subprocess.run(
        [tool("openssl", "openssl"), *make, "-out", certificate, "-keyout", key],
        check=True,
        capture_output=True,
        timeout=OPENSSL_TIMEOUT,
    )
    return certificate, key


@contextmanager
def _kvline_with_tls(certificate: str, key: str) -> Iterator[RunningServer]:
    port = free_port()
    options = ["--tls-port", str(port), "--tls-cert", certificate, "--tls-key", key]
    with _at_tls_port(running("kvline TLS", [*kvline_command(0), *options]), port) as server:
        yield server


@contextmanager
def _redis_with_tls(certificate: str, key: str) -> Iterator[RunningServer]:
    plain, port = free_port(), free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key]
    command = [*redis_command(plain), *options, "--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"]
    with _at_tls_port(running("Redis TLS", command, port=plain), port) as server:
        yield server


@contextmanager
def _at_tls_port(started: AbstractContextManager[RunningServer], port: int) -> Iterator[RunningServer]:
    with started as server:
        yield replace(server, port=port, options=TLS_OPTIONS)
