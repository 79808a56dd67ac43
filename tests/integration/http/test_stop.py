"""The stop of both listeners by a signal: orderly and in bounded time, whatever the clients do."""

from __future__ import annotations

import json
import os
import signal
from contextlib import ExitStack

import httpx
import pytest

from tests.harness.http_wire import HOST, Wire, fetch, new_http_client, request, start_with_http
from tests.harness.processes import StartServer
from tests.harness.waiting import wait_until

MIB = 1024 * 1024


GET_BIG = request(b"GET", b"/keys/big")

STALLED = {
    "idle": request(b"GET", b"/healthz"),
    "silent": b"",
    "head": b"GET /keys/k HT",
    "body": b"PUT /keys/k HTTP/1.1\r\n%bContent-Length: 100\r\n\r\nhalf" % HOST,
    "compact": request(b"GET", b"/compact"),
    "events": request(b"GET", b"/subscribe?channel=news"),
    "value": GET_BIG,
    "pipelined": GET_BIG * 100,
    "pipeline": request(b"POST", b"/pipeline", json.dumps([["GET", "big"]] * 100).encode()),
}


def test_it_stops_with_status_0_and_logs_no_failure_whatever_clients_do(start_server: StartServer) -> None:
    server = start_with_http(start_server, "--log-level", "warning")
    with new_http_client(server.http_url) as http, ExitStack() as wires:
        http.put("/keys/big", content=b"x" * (15 * MIB))
        for name, sent in STALLED.items():
            wire = wires.enter_context(Wire(server.http_url))
            wire.send(sent)
            if name not in ("silent", "head", "body"):
                wire.socket.recv(1)
        server.signal(signal.SIGTERM)
        assert server.exit_status() == 0
    assert server.log.count("\n") == 2, f"nothing but the two addresses: {server.log}"


def test_a_running_request_gets_its_whole_response(start_server: StartServer) -> None:
    server = start_with_http(start_server)
    with new_http_client(server.http_url) as http:
        http.put("/keys/big", content=b"x" * (8 * MIB))
    with Wire(server.http_url) as wire, Wire(server.http_url) as idle:
        assert idle.ask(b"GET", b"/healthz").status == 200
        wire.send(request(b"POST", b"/pipeline", json.dumps([["GET", "big"]] * 4).encode()))
        wire.socket.recv(1)
        server.signal(signal.SIGTERM)
        assert idle.is_closed_by_the_server()
        rest = wire.rest()
    assert rest.count(b"x") >= 4 * 8 * MIB
    assert rest.endswith(b"0\r\n\r\n")
    assert server.exit_status() == 0


def test_a_worker_thread_that_is_busy_does_not_delay_the_stop(start_server: StartServer) -> None:
    """The transaction would take a quarter of an hour. Python waits for the threads of `concurrent.futures`."""
    server = start_with_http(start_server)
    with new_http_client(server.http_url) as http, Wire(server.http_url) as wire:
        for key in ("one", "other"):
            http.put(f"/keys/{key}", content=os.urandom(11_000))
        wire.send(request(b"POST", b"/multi-exec", json.dumps([["LCS", "one", "other"]] * 20_000).encode()))
        wait_until(lambda: "cmdstat_multi:" in commandstats(http), "a worker has begun")
        assert "cmdstat_lcs:" not in commandstats(http), "it is not finished"
        server.signal(signal.SIGTERM)
        assert server.exit_status() == 0


def commandstats(http: httpx.Client) -> str:
    return str(http.post("/", json=["INFO", "commandstats"]).json()["result"])


@pytest.mark.parametrize("path", [b"/compact", b"/COMPACT"])
def test_compact_of_a_large_binary_value_delays_neither_other_requests_nor_the_stop(
    start_server: StartServer, path: bytes
) -> None:
    """The line of one value of 32 MiB takes long to make. It is made in pieces, while the client reads."""
    server = start_with_http(start_server, "--http-max-body", str(32 * MIB))
    with new_http_client(server.http_url) as http, Wire(server.http_url) as wire:
        http.put("/keys/big", content=b"\x00\xff" * (16 * MIB))
        wire.send(request(b"GET", path))
        wait_until(lambda: "cmdstat_compact:" in commandstats(http), "the command is executed")
        assert wire.socket.recv(1), "the response has begun"
        server.signal(signal.SIGTERM)
        assert server.exit_status() == 0


def test_shutdown_over_http_stops_both_listeners(start_server: StartServer) -> None:
    server = start_with_http(start_server)
    peer = server.connect()
    assert peer.ask(b"PING") == b"PONG"
    with Wire(server.http_url) as wire:
        response = wire.ask(b"POST", b"/", b'["SHUTDOWN"]')
        assert (response.status, response.headers[b"connection"]) == (200, b"close")
    assert server.exit_status() == 0
    assert peer.rest() == b""


def test_a_stopped_server_leaves_its_ports_free_at_once(start_server: StartServer) -> None:
    server = start_with_http(start_server)
    with Wire(server.http_url) as wire:
        assert wire.ask(b"GET", b"/healthz").status == 200
        port = server.http_url.rpartition(":")[2]
        server.signal(signal.SIGINT)
        assert server.exit_status() == 0
    again = start_server("--port", "0", "--http-port", port, ports=2)
    wait_until(lambda: fetch("GET", again.http_url + "/healthz").status_code == 200, "it answers")
