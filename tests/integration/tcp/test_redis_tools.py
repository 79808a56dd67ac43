"""Tools of Redis and health checks that send lines of text and expect RESP: `--resp-port`."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from tests.harness.processes import Peer, ServerProcess, StartServer
from tests.harness.redis_server import find_redis_cli
from tests.harness.waiting import TIMEOUT


@pytest.fixture
def both(start_server: StartServer) -> ServerProcess:
    """A server with a port for text and one for RESP alone."""
    return start_server("--port", "0", "--resp-port", "0", ports=2)


def resp_port(server: ServerProcess) -> int:
    return int(server.addresses[1].rpartition(":")[2])


@pytest.fixture
def peer(both: ServerProcess) -> Peer:
    """A connection to the port for RESP alone. It is closed with the server at the latest."""
    return both.connect(resp_port(both))


def benchmark(server: ServerProcess, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a few requests of redis-benchmark."""
    program = shutil.which("redis-benchmark")
    if program is None:
        pytest.skip("there is no redis-benchmark here")
    command = [program, "-p", str(resp_port(server)), "-n", "100", "-c", "5", "-q", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)


def measured(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the names of the tests whose result redis-benchmark printed."""
    return re.findall(r"^(.+): \S+ requests per second", done.stdout.replace("\r", "\n"), re.MULTILINE)


def test_redis_benchmark_without_a_filter_runs_up_to_its_tests_of_lists(both: ServerProcess) -> None:
    done = benchmark(both)
    assert measured(done) == ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR"]
    assert "ERR unknown command 'LPUSH'" in done.stdout + done.stderr, "it ends at the first error"


@pytest.mark.parametrize("options", [[], ["-P", "16"], ["-3"], ["-k", "0"]], ids=" ".join)
def test_redis_benchmark_runs_its_tests_of_strings(both: ServerProcess, options: list[str]) -> None:
    done = benchmark(both, "-t", "ping,set,get,incr,mset", *options)
    assert done.returncode == 0, done.stderr
    assert measured(done) == ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"]


def test_redis_cli_loads_lines_through_its_pipe_mode(both: ServerProcess) -> None:
    program = find_redis_cli()
    if program is None:
        pytest.skip("there is no redis-cli here")
    lines = b"SET a 1\r\nSET b 'two words'\nINCR a\r\nNOPE\r\n"
    command = [program, "-p", str(resp_port(both)), "--pipe"]
    done = subprocess.run(command, input=lines, capture_output=True, timeout=TIMEOUT, check=False)
    assert b"errors: 1, replies: 4" in done.stdout
    assert both.connect().ask(b"MGET a b") == b"1) 2"


def test_the_check_in_haproxys_documentation_passes(peer: Peer) -> None:
    peer.send(b"PING\r\n")
    assert peer.line() == b"+PONG\r\n"
    peer.send(b"info replication\r\n")
    size = int(peer.line().removeprefix(b"$"))
    assert b"role:master" in peer.receive(size + 2)
    peer.send(b"QUIT\r\n")
    assert peer.rest() == b"+OK\r\n"


def test_the_replies_to_lines_are_those_to_resp_requests(peer: Peer) -> None:
    peer.send(b'SET k "a b"\nGET k\r\nGET none\nINCR k\n\nNOPE\n"\n*1\r\n$4\r\nPING\r\nHELLO 3\r\n')
    assert peer.receive(23) == b"+OK\r\n$3\r\na b\r\n$-1\r\n-ERR"
    assert peer.line() == b" value is not an integer or out of range\r\n"
    assert peer.line().startswith(b"-ERR unknown command 'NOPE'")
    assert peer.line() == b"-ERR Protocol error: unbalanced quotes in request\r\n"
    assert peer.line() == b"+PONG\r\n"
    assert peer.line().startswith(b"%"), "the reply to HELLO 3 is a map"


def test_the_replies_on_the_other_port_stay_text(both: ServerProcess, peer: Peer) -> None:
    people = both.connect()
    people.send(b"PING\r\n")
    assert people.line() == b"PONG\r\n"
    peer.send(b"SET k 1\r\n")
    assert peer.line() == b"+OK\r\n"
    assert people.ask(b"GET k") == b"1"


def test_monitor_sends_status_replies(both: ServerProcess, peer: Peer) -> None:
    peer.send(b"MONITOR\r\n")
    assert peer.line() == b"+OK\r\n"
    both.connect().ask(b"PING")
    line = peer.line()
    assert line.startswith(b"+")
    assert line.endswith(b'"PING"\r\n')
