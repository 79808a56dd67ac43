"""Backpressure and resources: peers that are idle, disconnect or do not read, and a lack of file descriptors."""

from __future__ import annotations

import socket

import pytest

from tests.harness.processes import Peer, ServerProcess, StartServer
from tests.harness.waiting import TIMEOUT, wait_until, watch

pytestmark = pytest.mark.every_scheduler

MIB = 1024 * 1024


def send_what_fits(peer: Peer, data: bytes) -> int:
    """Send without ever waiting for the server to read; return how much went out."""
    peer.socket.setblocking(False)
    sent = 0
    try:
        while sent < len(data):
            sent += peer.socket.send(data[sent : sent + 65536])
    except BlockingIOError:
        pass
    finally:
        peer.socket.settimeout(TIMEOUT)
    return sent


def store_value(server: ServerProcess, size: int) -> None:
    peer = server.connect()
    peer.send(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n%b\r\n" % (size, b"x" * size))
    assert peer.line() == b"+OK\r\n"


def test_backpressure_pipelines_without_a_reader_take_little_memory(start_server: StartServer) -> None:
    server = start_server()
    store_value(server, MIB)
    beside = server.connect()
    before = server.resident_bytes()
    greedy = [server.connect() for _ in range(5)]
    for request in (b"*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n", b"GET big\n"):
        for peer in greedy:
            assert send_what_fits(peer, request * 10_000) > 1000 * len(request), "1,000 replies are a gigabyte"
    assert max(watch(server.resident_bytes)) - before < 100 * MIB
    assert beside.ask(b"PING") == b"PONG"
    for peer in greedy:
        assert peer.receive(10 * MIB).count(b"x" * MIB) >= 9, "it goes on for a peer that reads after all"
    assert server.resident_bytes() - before < 100 * MIB


def test_backpressure_large_replies_are_not_stored_whole(start_server: StartServer) -> None:
    server = start_server()
    store_value(server, MIB)
    beside = server.connect()
    before = server.resident_bytes()
    peer = server.connect()
    peer.send(b"MULTI\n" + b"GET big\n" * 1000 + b"EXEC\n")
    assert peer.receive(3 + 7 * 1000) == b"OK\n" + b"QUEUED\n" * 1000
    assert peer.receive(10) == b"1) " + b"x" * 7
    assert max(watch(server.resident_bytes)) - before < 100 * MIB
    assert beside.ask(b"PING") == b"PONG"


def test_what_a_request_declares_is_not_reserved(start_server: StartServer) -> None:
    server = start_server()
    before = server.resident_bytes()
    peers = [server.connect() for _ in range(20)]
    for peer in peers:
        peer.send(b"PING\n*1048576\r\n$%d\r\nx" % (512 * MIB))
        assert peer.line() == b"PONG\n"
    assert max(watch(server.resident_bytes)) - before < 100 * MIB


def test_five_hundred_connections_reset_at_once_affect_no_other_client(server: ServerProcess) -> None:
    beside = server.connect()
    assert beside.ask(b"PING") == b"PONG"
    clients = server.clients()
    peers = [server.connect() for _ in range(500)]
    for number, peer in enumerate(peers):
        peer.send([b"PING\n", b"SET half", b"MULTI\nINCR n\n", b"*2\r\n"][number % 4])
    for peer in peers:
        peer.reset()
    assert beside.ask(b"PING") == b"PONG"
    wait_until(lambda: server.clients() == clients, "every reset connection is closed")
    assert beside.ask(b"EXISTS n half") == b"0"


def test_three_hundred_connections_that_say_nothing_do_not_keep_others_from_being_served(
    server: ServerProcess,
) -> None:
    silent = [server.connect() for _ in range(300)]
    assert server.connect().ask(b"PING") == b"PONG"
    assert {peer.ask(b"PING") for peer in silent} == {b"PONG"}


def test_a_burst_of_five_hundred_connections_is_served(server: ServerProcess) -> None:
    burst = [socket.socket() for _ in range(500)]
    try:
        for one in burst:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", server.port))
        for number, one in enumerate(burst):
            one.settimeout(TIMEOUT)
            one.sendall(b"ECHO %d\n" % number)
        with_break = [b"%d\n" % number for number in range(500)]
        assert [one.recv(100) for one in burst] == with_break
    finally:
        for one in burst:
            one.close()


def test_idle_connections_cost_no_cpu_time(start_server: StartServer) -> None:
    server = start_server()
    idle = [server.connect() for _ in range(50)]
    assert {peer.ask(b"PING") for peer in idle} == {b"PONG"}
    spent = watch(server.cpu_seconds)
    assert spent[-1] - spent[0] <= 0.02


def test_an_idle_connection_takes_little_memory(start_server: StartServer, scheduler: dict[str, str]) -> None:
    server = start_server()

    def resident_after(connections: int) -> int:
        for _ in range(connections):
            server.connect()
        assert server.connect().ask(b"PING") == b"PONG"  # connections are accepted in order
        return server.resident_bytes()

    before = resident_after(100)
    growth = (resident_after(1000) - before) / 1000
    # 2.8 KB with I/O threads, so that 10,000 connections take less than 30 MB.
    assert growth < (50_000 if scheduler["KVLINE_IO_THREADS"] == "0" else 3_500)


def test_without_file_descriptors_the_server_pauses_accepting_and_resumes(
    start_server: StartServer, scheduler: dict[str, str]
) -> None:
    server = start_server(shell="ulimit -n 50")
    served = server.connect()
    assert served.ask(b"PING") == b"PONG"
    peers = [server.connect() for _ in range(60)]
    wait_until(lambda: "cannot accept connections" in server.log, "the server has no handles left")
    spent = watch(server.cpu_seconds)
    assert spent[-1] - spent[0] < 0.2
    assert served.ask(b"PING") == b"PONG"
    assert server.log.count("cannot accept connections") == 1, "it says so once, not at every try"
    if scheduler["KVLINE_IO_THREADS"] == "0":  # it needs some to wait for input and for what is pushed
        error = b"(error) ERR nothing can be pushed to this connection at present: Too many open files"
        assert served.ask(b"SUBSCRIBE news") == error
        assert served.ask(b"MONITOR") == error
        assert "Traceback" not in server.log
    for peer in peers[:30]:
        peer.close()
    assert {peer.ask(b"PING") for peer in peers[30:]} == {b"PONG"}
    for peer in peers[30:]:
        peer.close()
    assert server.connect().ask(b"PING") == b"PONG"
    assert served.ask(b"SUBSCRIBE news") == b"subscribe news 1"
