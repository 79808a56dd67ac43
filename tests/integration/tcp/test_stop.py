"""Stopping the server by a signal: promptly, with exit status 0, and no reply half sent."""

from __future__ import annotations

import signal
import socket

import pytest

from tests.harness.processes import ServerProcess, StartServer
from tests.harness.redis_server import free_port
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.every_scheduler

MIB = 1024 * 1024

either_signal = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)


def fill(server: ServerProcess, megabytes: int) -> None:
    """Store so many values of 1 MiB each."""
    peer = server.connect()
    for number in range(megabytes):
        peer.send(b"*3\r\n$3\r\nSET\r\n$2\r\n%02d\r\n$%d\r\n%b\r\n" % (number, MIB, b"x" * MIB))
        assert peer.line() == b"+OK\r\n"
    peer.close()


def is_listening(server: ServerProcess) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", server.port)) == 0


@either_signal
def test_it_stops_with_status_0_without_connections(start_server: StartServer, number: signal.Signals) -> None:
    server = start_server()
    server.signal(number)
    assert server.exit_status() == 0
    assert f"INFO {number.name}: the server stops\n" in server.log


@either_signal
def test_it_stops_while_clients_are_connected_and_idle(start_server: StartServer, number: signal.Signals) -> None:
    server = start_server()
    peers = [server.connect() for _ in range(20)]
    for peer in peers:
        assert peer.ask(b"PING") == b"PONG"
    silent = server.connect()
    halfway = server.connect()
    halfway.send(b"*2\r\n$3\r\nGET\r\n$100\r\nhalf")
    wait_until(lambda: server.clients() == 22, "every connection is accepted")
    server.signal(number)
    assert server.exit_status() == 0
    assert [peer.rest() for peer in [*peers, silent]] == [b""] * 21


@either_signal
def test_it_stops_while_a_client_does_not_read(start_server: StartServer, number: signal.Signals) -> None:
    server = start_server()
    fill(server, 1)
    stalled = server.connect()
    stalled.send(b"GET 00\n" * 100)
    first = stalled.receive(1)
    server.signal(number)
    assert server.exit_status() == 0
    assert first == b"x"


@either_signal
def test_a_command_in_flight_is_replied_to_in_full(start_server: StartServer, number: signal.Signals) -> None:
    server = start_server()
    fill(server, 20)
    peer = server.connect()
    peer.send(b"*1\r\n$7\r\nCOMPACT\r\n")
    size = int(peer.line().removeprefix(b"$"))
    assert size > 20 * MIB, "more than the sockets' buffers hold, so the server is still writing it"
    server.signal(number)
    wait_until(lambda: not is_listening(server), "the server takes no more connections")
    assert len(peer.receive(size + 2)) == size + 2
    assert peer.rest() == b""
    assert server.exit_status() == 0


def test_a_pipeline_is_executed_up_to_one_point_when_the_server_stops(start_server: StartServer) -> None:
    server = start_server()
    peer = server.connect()
    peer.send(b"INCR n\n" * 50_000)
    assert peer.line() == b"1\n"
    server.signal(signal.SIGTERM)
    replies = peer.rest().split()
    assert replies == [b"%d" % number for number in range(2, 2 + len(replies))]
    assert server.exit_status() == 0


def test_sighup_does_not_stop_the_server(start_server: StartServer) -> None:
    server = start_server()
    server.signal(signal.SIGHUP)
    wait_until(lambda: "SIGHUP: there is nothing to reload" in server.log, "it is logged")
    assert server.connect().ask(b"PING") == b"PONG"
    server.signal(signal.SIGTERM)
    assert server.exit_status() == 0


def test_sigint_stops_a_server_that_was_started_with_sigint_ignored(start_server: StartServer) -> None:
    server = start_server(shell="trap '' INT")
    server.signal(signal.SIGINT)
    assert server.exit_status() == 0


def test_a_stopped_server_leaves_its_port_free_for_the_next_one_at_once(start_server: StartServer) -> None:
    options = ["--port", str(free_port())]
    server = start_server(*options)
    assert server.connect().ask(b"PING") == b"PONG"
    server.signal(signal.SIGTERM)
    assert server.exit_status() == 0
    assert start_server(*options).connect().ask(b"PING") == b"PONG"


def test_it_stops_while_it_has_no_file_descriptors_left(start_server: StartServer) -> None:
    server = start_server(shell="ulimit -n 20")
    for _ in range(30):
        server.connect()
    wait_until(lambda: "cannot accept connections" in server.log, "the server has no handles left")
    server.signal(signal.SIGTERM)
    assert server.exit_status() == 0
