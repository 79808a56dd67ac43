"""Programs that watch a Redis: the health checks of HAProxy, and Debian's prometheus-redis-exporter."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.harness.http_wire import fetch
from tests.harness.processes import ServerProcess, StartServer
from tests.harness.redis_server import free_port
from tests.harness.waiting import TIMEOUT, wait_until


def program(name: str) -> str:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if path is None:
        pytest.skip(f"there is no {name} here")
    return path


@contextmanager
def running(*command: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait(TIMEOUT)


# ---------------------------------------------------------------- HAProxy

BY_RESP = "option redis-check"
BY_LINES = r"""option tcp-check
    tcp-check connect
    tcp-check send PING\r\n
    tcp-check expect string +PONG
    tcp-check send info\ replication\r\n
    tcp-check expect string role:master
    tcp-check send QUIT\r\n
    tcp-check expect string +OK"""
"""The check in HAProxy's documentation that finds the master among replicas."""


def status_by(check: str, port: int) -> str:
    """Return the status that HAProxy has found by a check, such as L7OK."""
    path = program("haproxy")
    with tempfile.TemporaryDirectory() as folder:  # the path of a Unix socket has at most 107 bytes
        stats, config = Path(folder) / "stats", Path(folder) / "haproxy.cfg"
        config.write_text(
            f"global\n    stats socket {stats}\n"
            "defaults\n    mode tcp\n    timeout connect 30s\n    timeout client 30s\n    timeout server 30s\n"
            "    timeout check 30s\n"
            f"backend redis\n    {check}\n    server kvline 127.0.0.1:{port} check inter 100ms\n"
        )
        with running(path, "-f", str(config)):
            return wait_until(lambda: check_status(stats), "HAProxy has checked the server")


def check_status(stats: Path) -> str:
    """Return the result of the last check, or nothing if there was none yet."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(stats))
        except OSError:
            return ""
        connection.sendall(b"show stat\n")
        lines = connection.makefile().read().splitlines()
    names = lines[0].removeprefix("# ").split(",")
    for line in lines[1:]:
        row = dict(zip(names, line.split(","), strict=False))
        status = row.get("check_status", "")
        if row.get("svname") == "kvline" and status not in ("", "INI") and not status.startswith("*"):
            return status
    return ""


def test_the_redis_check_of_haproxy_passes(server: ServerProcess) -> None:
    assert status_by(BY_RESP, server.port) == "L7OK"


def test_a_check_of_the_role_by_lines_passes_on_the_resp_port(start_server: StartServer) -> None:
    server = start_server("--port", "0", "--resp-port", "0", ports=2)
    assert status_by(BY_LINES, int(server.addresses[1].rpartition(":")[2])) == "L7OK"


# ---------------------------------------------------------------- prometheus-redis-exporter


def test_the_exporter_for_prometheus_reads_the_figures(server: ServerProcess) -> None:
    path = program("prometheus-redis-exporter")
    peer = server.connect()
    for line in (b"CONFIG RESETSTAT", b"SET a 1", b"SET b 1 EX 1000", b"GET a", b"GET a", b"GET none"):
        peer.ask(line)
    port = free_port()
    command = [path, "-redis.addr", f"redis://127.0.0.1:{server.port}", "-web.listen-address", f"127.0.0.1:{port}"]
    with running(*command):
        metrics = wait_until(lambda: read_metrics(f"http://127.0.0.1:{port}/metrics"), "the exporter replies")
    assert metrics["redis_up"] == 1
    assert metrics['redis_exporter_last_scrape_error{err=""}'] == 0
    assert metrics['redis_db_keys{db="db0"}'] == 2
    assert metrics['redis_db_keys_expiring{db="db0"}'] == 1
    assert (metrics["redis_keyspace_hits_total"], metrics["redis_keyspace_misses_total"]) == (2, 1)
    assert metrics['redis_commands_total{cmd="get"}'] == 3
    assert metrics["redis_connected_slaves"] == 0
    assert metrics["redis_memory_used_bytes"] > 0


def read_metrics(url: str) -> dict[str, float]:
    """Return the samples by their names and labels, or nothing while the exporter does not listen."""
    try:
        text = fetch("GET", url).text
    except httpx.TransportError:
        return {}
    return {name: float(value) for name, value in re.findall(r"^(redis_[^ ]+) (\S+)$", text, re.MULTILINE)}
