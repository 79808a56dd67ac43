"""Invalid input gets an error at its position in the stream. Other connections are served meanwhile."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.harness.processes import Peer, ServerProcess, StartServer
from tests.harness.waiting import wait_until

MAX_LINE = 65536
MAX_BULK = 512 * 1024 * 1024
ERROR = b"ERR Protocol error: "


@pytest.fixture
def beside(server: ServerProcess) -> Iterator[Peer]:
    """A healthy connection; it must still be replied to after the test."""
    peer = server.connect()
    assert peer.ask(b"SET healthy yes") == b"OK"
    yield peer
    assert peer.ask(b"GET healthy") == b"yes"


BAD_LINES = [
    ("a line too long", b"x" * (MAX_LINE + 1), b"line longer than 65536 bytes"),
    ("a line that is far too long", b"x" * 3_000_000, b"line longer than 65536 bytes"),
    ("a double quote left open", b'SET key "value', b"unbalanced quotes in request"),
    ("a single quote left open", b"SET key 'value", b"unbalanced quotes in request"),
    ("a quote closed inside an argument", b'SET key "val"ue', b"unbalanced quotes in request"),
    ("a long line full of quotes", b'SET key "' + b'\\"' * 30_000, b"unbalanced quotes in request"),
]


@pytest.mark.usefixtures("beside")
@pytest.mark.parametrize(("line", "reason"), [case[1:] for case in BAD_LINES], ids=[case[0] for case in BAD_LINES])
def test_a_bad_line_is_replied_to_in_its_turn_and_the_connection_continues(
    server: ServerProcess, line: bytes, reason: bytes
) -> None:
    peer = server.connect()
    peer.send(b"ECHO first\n" + line + b"\nECHO last\n")
    assert peer.line() == b"first\n"
    assert peer.line() == b"(error) " + ERROR + reason + b"\n"
    assert peer.line() == b"last\n"


def test_the_longest_allowed_line_is_executed(server: ServerProcess, beside: Peer) -> None:
    value = b"x" * (MAX_LINE - len(b"ECHO "))
    peer = server.connect()
    peer.send(b"ECHO " + value + b"\r\n")
    assert peer.line() == value + b"\r\n"
    assert beside.ask(b"PING") == b"PONG"


@pytest.mark.every_scheduler
def test_a_line_without_end_is_refused_before_its_end_and_not_stored(server: ServerProcess, beside: Peer) -> None:
    before = server.resident_bytes()
    peer = server.connect()
    for _ in range(100):
        peer.send(b"x" * 1_000_000)
        assert beside.ask(b"PING") == b"PONG"
    assert peer.line() == b"(error) " + ERROR + b"line longer than 65536 bytes\n"
    assert server.resident_bytes() - before < 20_000_000


MALFORMED = [
    ("a negative bulk length", b"*1\r\n$-1\r\n", b"invalid bulk length"),
    ("a bulk too long", b"*1\r\n$%d\r\n" % (MAX_BULK + 1), b"invalid bulk length"),
    ("a bulk of astronomic length", b"*1\r\n$%d\r\n" % 10**18, b"invalid bulk length"),
    ("a bulk length beyond 64 bits", b"*1\r\n$" + b"9" * 40, b"invalid bulk length"),
    ("a bulk length that is not a number", b"*1\r\n$four\r\nPING\r\n", b"invalid bulk length"),
    ("a bulk length with a leading zero", b"*1\r\n$04\r\nPING\r\n", b"invalid bulk length"),
    ("no bulk length at all", b"*1\r\n$\r\nPING\r\n", b"invalid bulk length"),
    ("a count too large", b"*1048577\r\n", b"invalid multibulk length"),
    ("a count of astronomic size", b"*%d\r\n" % 10**18, b"invalid multibulk length"),
    ("a count beyond 64 bits", b"*" + b"9" * 40, b"invalid multibulk length"),
    ("a count that is not a number", b"*two\r\n", b"invalid multibulk length"),
    ("a count with a space", b"* 2\r\n", b"invalid multibulk length"),
    ("no CRLF after a bulk", b"*1\r\n$4\r\nPINGxx", b"expected CRLF after a bulk string"),
    ("a bulk longer than its declared length", b"*1\r\n$3\r\nPING\r\n", b"expected CRLF after a bulk string"),
    ("LF instead of CRLF", b"*1\n$4\nPING\n" + b"*1\n$4\nPING\n" * 3, b"invalid multibulk length"),
    ("an integer instead of a bulk", b"*1\r\n:1\r\n", b"expected '$', got ':'"),
    ("an array within an array", b"*1\r\n*1\r\n$4\r\nPING\r\n", b"expected '$', got '*'"),
]


@pytest.mark.usefixtures("beside")
@pytest.mark.parametrize(("request_", "reason"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED])
def test_a_malformed_resp_request_is_replied_to_and_the_connection_closed(
    server: ServerProcess, request_: bytes, reason: bytes
) -> None:
    peer = server.connect()
    peer.send(b"*1\r\n$4\r\nPING\r\n" + request_)
    assert peer.rest() == b"+PONG\r\n-" + ERROR + reason + b"\r\n"


@pytest.mark.every_scheduler
@pytest.mark.usefixtures("beside")
def test_the_refusal_arrives_even_when_much_more_was_sent_after_it(server: ServerProcess) -> None:
    peer = server.connect()
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)  # so that the data is sent and not only buffered
    peer.send(b"*bad\r\n" + b"SET evil 1\r\n" * 50_000)
    assert peer.rest() == b"-" + ERROR + b"invalid multibulk length\r\n"
    assert server.connect().ask(b"EXISTS evil") == b"0"


@pytest.mark.parametrize("count", [b"*0\r\n", b"*-1\r\n", b"*-1000000000000\r\n"])
def test_a_request_of_no_arguments_gets_no_reply(server: ServerProcess, beside: Peer, count: bytes) -> None:
    peer = server.connect()
    peer.send(count * 3 + b"*1\r\n$4\r\nPING\r\n")
    assert peer.receive(7) == b"+PONG\r\n"
    assert beside.ask(b"PING") == b"PONG"


def test_the_limits_are_those_of_the_command_line(start_server: StartServer) -> None:
    server = start_server("--port", "0", "--max-line", "20", "--max-bulk", "10")
    peer = server.connect()
    assert peer.ask(b"ECHO 6789012345678901") == b"(error) " + ERROR + b"line longer than 20 bytes"
    assert peer.ask(b"ECHO 678901234567890") == b"678901234567890"
    peer.send(b"*2\r\n$4\r\nECHO\r\n$10\r\n0123456789\r\n*2\r\n$4\r\nECHO\r\n$11\r\n01234567890\r\n")
    assert peer.rest() == b"$10\r\n0123456789\r\n-" + ERROR + b"invalid bulk length\r\n"


HTTP = {
    "a browser's": b"GET / HTTP/1.1\r\nHost: localhost:9736\r\nAccept: */*\r\n\r\n",
    "a forged": b"POST /x HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nSET evil 1\r\n\r\n",
}


@pytest.mark.usefixtures("beside")
@pytest.mark.parametrize("request_", HTTP.values(), ids=HTTP)
def test_an_http_request_is_refused_and_its_body_is_not_run(server: ServerProcess, request_: bytes) -> None:
    peer = server.connect()
    peer.send(request_)
    response = peer.rest()
    assert response.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert ERROR + b"this port does not speak HTTP" in response
    assert server.connect().ask(b"EXISTS evil") == b"0"


@pytest.mark.every_scheduler
@pytest.mark.parametrize("half", [b"SET key va", b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nval", b"*3\r\n$", b"*"])
def test_half_a_request_and_a_reset_leave_no_trace(server: ServerProcess, beside: Peer, half: bytes) -> None:
    clients = server.clients()
    peer = server.connect()
    assert peer.ask(b"PING") == b"PONG"
    assert server.clients() == clients + 1
    peer.send(half)
    peer.reset()
    wait_until(lambda: server.clients() == clients, "the connection is closed")
    assert beside.ask(b"EXISTS key") == b"0"


@pytest.mark.every_scheduler
def test_a_connection_that_closes_inside_multi_changes_nothing(server: ServerProcess, beside: Peer) -> None:
    clients = server.clients()
    for number, close in enumerate([Peer.reset, Peer.close]):
        peer = server.connect()
        for line, reply in [(b"MULTI", b"OK"), (b"SET discarded %d" % number, b"QUEUED"), (b"FLUSHALL", b"QUEUED")]:
            assert peer.ask(line) == reply
        close(peer)
    wait_until(lambda: server.clients() == clients, "both connections are closed")
    assert beside.ask(b"EXISTS discarded") == b"0"
    assert beside.ask(b"MULTI") == b"OK"
    assert beside.ask(b"DISCARD") == b"OK"
