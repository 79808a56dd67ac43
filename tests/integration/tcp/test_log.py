"""The lines of the log: start and stop, connections, refusals and protocol errors, as text and as JSON."""

from __future__ import annotations

import json
import re
import signal
import sys

import pytest

from common import __version__
from common.limits import MIB
from common.resp_client import encode_request
from tests.harness.http_wire import Wire, request, start_with_http
from tests.harness.processes import ServerProcess, StartServer
from tests.harness.waiting import wait_until


@pytest.fixture(scope="session")
def scheduler() -> dict[str, str]:
    """Run each test once: what is logged does not depend on what serves the connections."""
    return {}


def stop(server: ServerProcess, number: signal.Signals = signal.SIGTERM) -> None:
    server.signal(number)
    assert server.exit_status() == 0


def messages(server: ServerProcess) -> list[str]:
    """Return the lines of the log without their times."""
    return [re.sub(r"^[0-9-]{10} [0-9:]{8},[0-9]{3} ", "", line) for line in server.log.splitlines()]


def test_the_start_and_the_stop_are_logged_with_what_a_person_needs(start_server: StartServer) -> None:
    server = start_server("--port", "0", "--max-clients", "50")
    address = server.addresses[0]
    assert server.connect().ask(b"PING") == b"PONG"
    stop(server)
    assert messages(server) == [
        f"INFO kvline {__version__}, Python {sys.version.partition(' ')[0]}, process {server.process.pid}",
        "INFO settings that differ from their defaults: --port 0 --max-clients 50",
        f"listening on {address}",
        "INFO SIGTERM: the server stops",
        "INFO no more connections are accepted; open: 1",
        "INFO the server has stopped",
    ]


@pytest.mark.parametrize("how", ["SIGINT", "SHUTDOWN"])
def test_the_reason_of_the_stop_is_logged(start_server: StartServer, how: str) -> None:
    server = start_server()
    if how == "SHUTDOWN":
        server.connect().send(b"SHUTDOWN\n")
    else:
        server.signal(signal.Signals[how])
    assert server.exit_status() == 0
    assert f"INFO {how}: the server stops\n" in server.log


def test_connections_that_are_cut_off_at_the_stop_are_counted(start_server: StartServer) -> None:
    server = start_with_http(start_server)
    stalled = server.connect()
    size = 32 * MIB  # more than the system keeps for a peer that does not read
    stalled.send(encode_request([b"SET", b"big", b"x" * size]))
    assert stalled.line() == b"+OK\r\n"
    stalled.send(encode_request([b"GET", b"big"]))
    assert stalled.receive(1) == b"$"
    with Wire(server.http_url) as wire:
        wire.send(request(b"GET", b"/keys/big"))
        assert wire.socket.recv(1) == b"H"
        stop(server)
    for url in (f"127.0.0.1:{server.port}", server.http_url):
        assert f"INFO {url}: connections cut off that were not ready within 2 s: 1\n" in server.log


def test_secrets_are_not_logged(start_server: StartServer) -> None:
    server = start_with_http(start_server, "--http-token", "hush-hush", "--log-level", "debug")
    stop(server)
    assert "--http-token (redacted)" in server.log
    assert "hush" not in server.log


def test_debug_logs_each_connection_and_each_protocol_error(start_server: StartServer) -> None:
    server = start_server("--port", "0", "--log-level", "debug")
    peer = server.connect()
    assert peer.ask(b'GET "') == b"(error) ERR Protocol error: unbalanced quotes in request"
    host, port = peer.socket.getsockname()
    peer.close()
    wait_until(lambda: "has disconnected" in server.log, "the end of the connection is logged")
    assert [line for line in messages(server) if "client 1" in line] == [
        f"DEBUG client 1 connected from {host}:{port} to {server.addresses[0]}",
        "DEBUG client 1: ERR Protocol error: unbalanced quotes in request",
        f"DEBUG client 1 from {host}:{port} has disconnected",
    ]


def test_debug_logs_refused_http_requests(start_server: StartServer) -> None:
    server = start_with_http(start_server, "--log-level", "debug")
    with Wire(server.http_url) as wire:
        wire.send(b"GET /keys HTTP/1.1\r\nHost: evil.example\r\n\r\nNONSENSE\r\n\r\n")
        assert [wire.answer().status, wire.answer().status] == [403, 400]
    wait_until(lambda: "malformed HTTP request" in server.log, "the malformed request is logged")
    assert "DEBUG a request was refused: HTTP status 403: host name not allowed" in server.log
    assert "DEBUG client 1: HTTP status 400: malformed HTTP request\n" in server.log


@pytest.mark.parametrize(("level", "lines"), [("debug", 5), ("info", 1), ("warning", 0)])
def test_refused_clients_are_logged_each_at_debug_and_at_most_one_per_interval_at_info(
    start_server: StartServer, level: str, lines: int
) -> None:
    server = start_server("--port", "0", "--max-clients", "1", "--log-level", level)
    peer = server.connect()
    assert peer.ask(b"PING") == b"PONG"
    for _ in range(5):
        assert server.connect().rest() == b"-ERR max number of clients reached\r\n"
    stop(server)
    # A line per ten seconds, in case this took longer than that.
    counted = server.log.count("was refused: the limit of clients is reached")
    assert counted == lines or (level == "info" and 1 < counted < 5)


def test_what_clients_send_adds_no_lines_to_the_log_and_controls_no_terminal(start_server: StartServer) -> None:
    server = start_server("--port", "0", "--log-level", "debug")
    peer = server.connect()
    peer.send(b"*1\r\n\x1b[2J\x9b\r\n")
    assert peer.line().startswith(b"-ERR Protocol error")
    wait_until(lambda: " is closed: ERR Protocol error" in server.log, "the error is logged")
    assert re.search(r"expected '\$', got '\\x1b'", server.log)
    assert "\x1b" not in server.log


def test_the_json_format_has_one_object_per_line(start_server: StartServer) -> None:
    server = start_server("--port", "0", "--log-format", "json", "--log-level", "debug", ports=0)
    wait_until(lambda: "listening on" in server.log, "the server listens")
    stop(server)
    entries = [json.loads(line) for line in server.log.splitlines()]
    assert all(list(entry) == ["time", "level", "logger", "message"] for entry in entries)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["time"]) for entry in entries)
    by_message = {entry["message"]: entry["level"] for entry in entries}
    assert by_message["the server has stopped"] == "info"
    (listening,) = [message for message in by_message if message.startswith("listening on 127.0.0.1:")]
    assert by_message[listening] == "notice"
