"""Run wrk against an HTTP server and read what it measured."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.load import RUN_TIMEOUT, VALUE, Sample, tool
from benchmarks.web_servers import WebServer
from benchmarks.wire import HOST, TIMEOUT

CONNECTIONS = 16

SCRIPT = Path(__file__).with_name("wrk.lua")

AT_LOWEST_PRIORITY = ("nice", "-n", "19")


@dataclass(frozen=True, slots=True)
class Request:
    """The request that wrk repeats."""

    method: str
    path: str
    body: str = ""


class Busy:
    """A wrk process that sends requests until it is stopped."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self._name = name
        self._process = process

    def stop(self) -> Sample:
        """Stop the load and return what it measured. Raises `BenchmarkError` if it ended earlier."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # wrk then prints its results
        return _sample(self._name, self._process, TIMEOUT)


def check(server: WebServer, request: Request) -> None:
    """Send the request once. Raises `BenchmarkError` if the response does not contain the value."""
    connection = http.client.HTTPConnection(HOST, server.http_port, timeout=TIMEOUT)
    try:
        connection.request(request.method, request.path, request.body or None)
        response = connection.getresponse()
        status, body = response.status, response.read()
    finally:
        connection.close()
    if status != 200 or VALUE.encode() not in body:
        raise BenchmarkError(f"{server.name} responded to {request.method} {request.path} with {status} {body!r}")


def run(server: WebServer, request: Request, seconds: int) -> Sample:
    """Measure a server for a whole number of seconds."""
    with _wrk(server, request, seconds) as process:
        return _sample(server.name, process, seconds + RUN_TIMEOUT)


@contextmanager
def busy(server: WebServer, request: Request, wrapper: Sequence[str] = ()) -> Iterator[Busy]:
    """Send requests until the end of the block. ``wrapper`` is a command that runs wrk, such as ``nice``."""
    with _wrk(server, request, int(RUN_TIMEOUT), wrapper) as process:
        yield Busy(server.name, process)


@contextmanager
def _wrk(
    server: WebServer, request: Request, seconds: int, wrapper: Sequence[str] = ()
) -> Iterator[subprocess.Popen[str]]:
    options = [
        "--threads",
        "1",
        "--connections",
        str(CONNECTIONS),
        "--duration",
        f"{seconds}s",
        "--script",
        str(SCRIPT),
    ]
    args = [request.method, *filter(None, [request.body])]
    process = subprocess.Popen(
        [*wrapper, tool("wrk", "wrk"), *options, f"http://{HOST}:{server.http_port}{request.path}", "--", *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()  # it has nothing to clean up
        process.communicate()


def _sample(name: str, process: subprocess.Popen[str], timeout: float) -> Sample:
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"wrk on {name} did not end") from None
    lines = output.strip().splitlines() or ["it printed nothing"]
    try:
        report = json.loads(lines[-1])
    except json.JSONDecodeError:
        raise BenchmarkError(f"wrk failed on {name}: {lines[-1].strip()}") from None
    if report["failed"] or not report["requests"]:
        raise BenchmarkError(f"{name}: {report['requests']} requests of wrk succeeded and {report['failed']} failed")
    return Sample(report["requests"] / report["seconds"], report["p50"], report["p99"])
