"""Start the HTTP servers that are measured: kvline, a bare Starlette, and webdis in front of a Redis."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.load import VALUE, tool
from benchmarks.servers import RunningServer, free_port, kvline_command, redis, running
from benchmarks.wire import HOST, connect, encode, receive, responds_to_http

KEY = "foo"
"""The key that is read."""


@dataclass(frozen=True, slots=True)
class WebServer(RunningServer):
    """A server with an HTTP port. ``port`` is its RESP port if it has one."""

    http_port: int


WebStarter = Callable[[], AbstractContextManager[WebServer]]


@contextmanager
def kvline_with_http(name: str = "kvline", options: Sequence[str] = ()) -> Iterator[WebServer]:
    """Run kvline with an HTTP listener and these options."""
    http_port = free_port()
    command = [*kvline_command(0), "--http-port", str(http_port), *options]
    with running(name, command) as server:
        _set_value(server)
        yield WebServer(server.name, server.port, server.pid, http_port)


@contextmanager
def starlette(core: int | None = None) -> Iterator[WebServer]:
    """Run a bare Starlette on one core, as kvline does. Without ``core`` it picks one at random."""
    command = [sys.executable, "-m", "benchmarks.starlette_server", *([] if core is None else [str(core)])]
    with running("Starlette", command, is_ready=responds_to_http) as server:
        yield WebServer(server.name, server.port, server.pid, server.port)


@contextmanager
def webdis() -> Iterator[WebServer]:
    """Run webdis with the configuration of Debian, in front of its own Redis."""
    http_port = free_port()
    with tempfile.TemporaryDirectory(prefix="kvline-") as folder, redis() as redis_server:
        _set_value(redis_server)
        configuration = {
            "redis_host": HOST,
            "redis_port": redis_server.port,
            "http_host": HOST,
            "http_port": http_port,
            "threads": 2,
            "daemonize": False,
            "database": 0,
            "acl": [{"disabled": ["DEBUG"]}],
            "verbosity": 3,
            "logfile": str(Path(folder) / "webdis.log"),
        }
        file = Path(folder) / "webdis.json"
        file.write_text(json.dumps(configuration))
        command = [tool("webdis", "webdis"), str(file)]
        with running("webdis", command, port=http_port, is_ready=responds_to_http) as server:
            yield WebServer(server.name, redis_server.port, server.pid, http_port)


def _set_value(server: RunningServer) -> None:
    with connect(server.port) as connection:
        connection.sendall(encode("SET", KEY, VALUE))
        if receive(connection, 5) != b"+OK\r\n":
            raise BenchmarkError(f"{server.name} refused a SET")
