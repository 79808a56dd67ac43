"""HTTP connections in MONITOR, CLIENT LIST and CLIENT KILL. No request leaves state in its session."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from tests.harness.http_wire import HOST, Wire, request
from tests.harness.processes import ServerProcess
from tests.harness.waiting import wait_until


def result(wire: Wire, *args: str) -> object:
    """Run a command on this connection. Return its result."""
    return json.loads(wire.ask(b"POST", b"/", json.dumps(args).encode()).body).get("result")


def address_of(name: tuple[str, int]) -> str:
    return f"{name[0]}:{name[1]}"


def test_monitor_shows_commands_sent_over_http(server: ServerProcess, wire: Wire) -> None:
    peer = server.connect()
    assert peer.ask(b"MONITOR") == b"OK"
    address = address_of(wire.socket.getsockname())
    wire.ask(b"PUT", b"/keys/a%20b", b"v")
    wire.ask(b"POST", b"/", b'["INCR", "n"]')
    wire.ask(b"GET", b"/get/n")
    seen = [peer.line().decode() for _ in range(5)]
    args = [re.fullmatch(rf"\d+\.\d{{6}} \[0 {re.escape(address)}\] (.*)\n", line) for line in seen]
    shown = [each[1] if each else None for each in args]
    assert shown[:4] == ['"MULTI"', '"EXISTS" "a b"', '"SET" "a b" "v"', '"EXEC"']
    assert shown[4] == '"INCR" "n"'


def test_client_list_shows_http_connections_by_their_address(server: ServerProcess, wire: Wire) -> None:
    number = result(wire, "CLIENT", "ID")
    listed = str(result(wire, "CLIENT", "LIST"))
    (line,) = [line for line in listed.splitlines() if line.startswith(f"id={number} ")]
    assert f" addr={address_of(wire.socket.getsockname())} " in line
    assert f" laddr={address_of(wire.socket.getpeername())} " in line
    assert "cmd=client" in line


@pytest.mark.parametrize("by", ["id", "address"])
def test_client_kill_ends_an_http_connection(server: ServerProcess, wire: Wire, by: str) -> None:
    number = result(wire, "CLIENT", "ID")
    peer = server.connect()
    if by == "id":
        assert peer.ask(b"CLIENT KILL ID %d" % number) == b"1"  # type: ignore[str-format]
    else:
        assert peer.ask(b"CLIENT KILL %b:%d" % (b"127.0.0.1", wire.socket.getsockname()[1])) == b"OK"
    assert wire.socket.recv(1) == b""
    peer.close()
    other = server.connect()
    wait_until(lambda: other.ask(b"CLIENT LIST ID %d" % number) == b"", "it is removed from CLIENT LIST")  # type: ignore[str-format]


def test_client_kill_closes_other_connections_and_its_own_after_the_response(server: ServerProcess, wire: Wire) -> None:
    victim = server.connect()
    number = int(victim.ask(b"CLIENT ID"))
    assert result(wire, "CLIENT", "KILL", "ID", str(number)) == 1
    assert victim.rest() == b""
    own = result(wire, "CLIENT", "ID")
    killed = wire.ask(b"POST", b"/", b'["CLIENT", "KILL", "ID", "%d", "SKIPME", "no"]' % own)  # type: ignore[str-format]
    assert (killed.status, killed.headers[b"connection"]) == (200, b"close")
    assert wire.is_closed_by_the_server()


def test_a_connection_that_is_killed_during_a_response_is_removed_from_client_list(
    server: ServerProcess, http: httpx.Client
) -> None:
    http.put("/keys/big", content=b"x" * (8 * 1024 * 1024))
    with Wire(server.http_url) as slow:
        number = result(slow, "CLIENT", "ID")
        slow.send(request(b"POST", b"/pipeline", b'[["GET", "big"],["GET", "big"],["GET", "big"]]'))
        assert slow.socket.recv(1)
        assert http.post("/", json=["CLIENT", "KILL", "ID", number]).json() == {"result": 1}
        wait_until(
            lambda: http.post("/", json=["CLIENT", "LIST", "ID", number]).json() == {"result": ""}, "it is closed"
        )


@pytest.mark.parametrize(
    "command",
    [
        ["MULTI"],
        ["WATCH", "k"],
        ["CLIENT", "REPLY", "OFF"],
        ["CLIENT", "REPLY", "SKIP"],
        ["HELLO", "3"],
        ["CLIENT", "SETNAME", "some-name"],
        ["MONITOR"],
        ["SUBSCRIBE", "channel"],
        ["CLIENT", "TRACKING", "ON", "BCAST"],
        ["RESET"],
        ["SELECT", "0"],
        ["SELECT", "1"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("path", [b"/", b"/pipeline", b"/multi-exec"])
def test_no_command_harms_the_next_request_on_its_connection(
    server: ServerProcess, wire: Wire, path: bytes, command: list[str]
) -> None:
    args = command if path == b"/" else [command]
    wire.ask(b"POST", path, json.dumps(args).encode())
    assert server.connect().ask(b"SET k others") == b"OK"
    assert result(wire, "GET", "k") == "others"
    assert wire.ask(b"PUT", b"/keys/k", b"mine").status == 200
    assert wire.ask(b"GET", b"/keys/k").body == b"mine"
    line = str(result(wire, "CLIENT", "INFO"))
    for state in (" name= ", " db=0 ", " multi=-1 ", " watch=0 ", " resp=2"):
        assert state in line + " "
    assert json.loads(wire.ask(b"POST", b"/multi-exec", b'[["GET", "k"]]').body) == [{"result": "mine"}]


@pytest.mark.parametrize("command", ["QUIT", "DISCONNECT"])
def test_quit_is_answered_and_ends_the_connection(wire: Wire, command: str) -> None:
    answer = wire.ask(b"POST", b"/", b'["%b"]' % command.encode())
    assert (answer.body, answer.headers[b"connection"]) == (b'{"result":"OK"}', b"close")
    assert wire.is_closed_by_the_server()


def test_requests_after_quit_are_not_run(wire: Wire, server: ServerProcess) -> None:
    wire.send(request(b"POST", b"/", b'["QUIT"]') + request(b"PUT", b"/keys/k", b"v"))
    assert wire.answer().body == b'{"result":"OK"}'
    assert wire.is_closed_by_the_server()
    assert server.connect().ask(b"EXISTS k") == b"0"


def test_quit_in_a_streamed_pipeline_ends_the_connection(wire: Wire) -> None:
    commands = [["PING"]] * 50_000 + [["QUIT"], ["PING"]]
    wire.send(request(b"POST", b"/pipeline", json.dumps(commands).encode()))
    assert [each["result"] for each in json.loads(wire.answer().body)][-2:] == ["PONG", "OK"]
    assert wire.is_closed_by_the_server()


def test_monitor_over_http_is_refused_with_a_reason(http: httpx.Client) -> None:
    refused = http.post("/", json=["MONITOR"])
    assert refused.status_code == 400
    assert "connection" in refused.json()["error"]


def test_a_transaction_within_one_pipeline_works(http: httpx.Client) -> None:
    outcomes = http.post("/pipeline", json=[["MULTI"], ["INCR", "n"], ["EXEC"], ["GET", "n"]]).json()
    assert [each["result"] for each in outcomes] == ["OK", "QUEUED", [1], "1"]


def test_a_failed_condition_leaves_no_watch(wire: Wire) -> None:
    wire.ask(b"PUT", b"/keys/k", b"v")
    assert wire.ask(b"PUT", b"/keys/k", b"w", b'If-Match: "other"\r\n').status == 412
    assert " watch=0 " in str(result(wire, "CLIENT", "INFO"))


def test_an_http_1_0_client_is_answered_and_closed(wire: Wire) -> None:
    wire.send(b"GET /healthz HTTP/1.0\r\n%b\r\n" % HOST)
    answer = wire.answer()
    assert (answer.status, answer.headers[b"connection"]) == (200, b"close")
    assert wire.is_closed_by_the_server()
