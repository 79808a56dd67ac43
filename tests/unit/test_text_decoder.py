"""The text protocol's decoder: lines in, requests out."""

from __future__ import annotations

import itertools
import json
import struct

import pytest

from common.codec import ProtocolError
from common.errors import NO_HTTP_HERE, http_is_on_port
from common.limits import Limits
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.protocols.text_lines import TextDecoder
from tests.harness.cases import case
from tests.harness.sessions import ClientSession, feed, new_session, send_line
from tests.harness.stores import new_store, pairs

UNBALANCED = "(error) ERR Protocol error: unbalanced quotes in request"
WAYS: dict[str, tuple[int, ...]] = {
    "in one piece": (),
    "byte by byte": (1,),
    "in odd pieces": (2, 5),
    "in elevens": (11,),
}
EVERY_WAY = pytest.mark.parametrize("sizes", WAYS.values(), ids=WAYS)


@EVERY_WAY
def test_the_replies_lines_end_as_each_requests_did(session: ClientSession, sizes: tuple[int, ...]) -> None:
    sent = b"PING a\nPING b\r\nMULTI\r\nPING 1\nPING 2\r\nEXEC\r\nPING c\n"
    expected = b"a\nb\r\nOK\r\nQUEUED\nQUEUED\r\n1) 1\r\n2) 2\r\nc\n"
    assert feed(session, sent, *sizes) == expected


@EVERY_WAY
@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b"   \n", b"\t \t\r\n"])
def test_an_empty_line_gets_no_reply(session: ClientSession, blank: bytes, sizes: tuple[int, ...]) -> None:
    assert feed(session, blank + b"PING\n" + blank, *sizes) == b"PONG\n"


def test_only_one_carriage_return_belongs_to_the_line_break(session: ClientSession, store: Store) -> None:
    assert feed(session, b"SET k v\r\r\n") == b"OK\r\n"
    assert store.get(b"k") == b"v\r"


def test_a_line_without_its_end_gets_no_reply_yet(session: ClientSession) -> None:
    assert session.feed(b"PING a\nPI") == b"a\n"
    assert session.feed(b"NG") == b""
    assert session.feed(b"\r") == b""
    assert session.feed(b"\n") == b"PONG\r\n"


@EVERY_WAY
def test_unbalanced_quotes_cost_just_that_line(session: ClientSession, sizes: tuple[int, ...]) -> None:
    sent = b'PING a\nSET k "half open\nPING b\n'
    assert feed(session, sent, *sizes).decode() == f"a\n{UNBALANCED}\nb\n"
    assert not session.closing


def test_a_bad_line_gets_its_error_with_its_own_line_break(session: ClientSession) -> None:
    assert feed(session, b"'\r\n'\n").decode() == f"{UNBALANCED}\r\n{UNBALANCED}\n"


@pytest.mark.parametrize(
    "line",
    [
        b"POST / HTTP/1.1",
        b"GET / HTTP/1.1",
        b"get /index.html HTTP/1.0",
        b"HEAD * HTTP/1.1",
        b"PUT /k HTTP/1.1",
        b"DELETE /k HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"PATCH /k HTTP/1.1",
        b"TRACE / HTTP/1.1",
        b"CONNECT a:80 HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"Host: x",
        b"host:x",
    ],
)
def test_a_line_of_http_is_refused_and_nothing_after_it_runs(line: bytes) -> None:
    for ending, (way, sizes) in itertools.product([b"\n", b"\r\n"], WAYS.items()):
        store = new_store()
        session = new_session(EmbeddedEngine(store))
        with case(ending, way):
            sent = b"SET before 1\n" + line + ending + b"SET after 1\n\n*1\r\n$4\r\nPING\r\n"
            reply = feed(session, sent, *sizes)
            assert reply.startswith(b"OK\nHTTP/1.1 400 Bad Request\r\n")
            assert reply.count(b"HTTP/1.1 400") == 1
            assert session.closing
            assert session.feed(b"SET after 1\n") == b""
            assert pairs(store) == [(b"before", b"1")]


def http_response(session: ClientSession, request: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Send a request and parse the response: status line, headers, body."""
    head, _, body = feed(session, request).partition(b"\r\n\r\n")
    status_line, *headers = head.split(b"\r\n")
    return status_line, dict(header.split(b": ", 1) for header in headers), body  # type: ignore[misc]


def test_the_response_to_http_is_complete_and_has_the_sentence_in_its_body(session: ClientSession) -> None:
    status_line, headers, body = http_response(session, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status_line == b"HTTP/1.1 400 Bad Request"
    assert headers[b"connection"] == b"close"
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"content-length"] == b"%d" % len(body)
    assert headers[b"date"].endswith(b" GMT")
    assert json.loads(body) == {"error": NO_HTTP_HERE.text.decode()}


def test_the_response_to_http_head_has_no_body(session: ClientSession) -> None:
    status_line, headers, body = http_response(session, b"HEAD / HTTP/1.1\r\n")
    assert status_line == b"HTTP/1.1 400 Bad Request"
    assert int(headers[b"content-length"]) > 0
    assert body == b""


def test_the_error_of_an_http_request_names_the_http_port() -> None:
    ((_, requests),), rest = TextDecoder(http_port=8080).decode(b"GET / HTTP/1.1\r\n")
    assert requests == [ProtocolError(http_is_on_port(8080), close_connection=True)]
    assert b"8080" in http_is_on_port(8080).text
    assert rest == b""


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("GET /", "(nil)"),
        ("GET HTTP/1.1", "(nil)"),
        ("PING HTTP/1.1", "HTTP/1.1"),
        ("PING Host:", "Host:"),
        ("SET Host: x", "OK"),
    ],
)
def test_arguments_that_only_resemble_http_are_arguments(session: ClientSession, line: str, reply: str) -> None:
    assert send_line(session, line) == reply


# ---------------------------------------------------------------- comments


@EVERY_WAY
@pytest.mark.parametrize(
    "comment", [b"#\n", b"# SET a 1\n", b"#SET a 1\r\n", b"# it's \"not closed\n", b"#!/bin/sh\r\n", b"# *1\r\n"]
)
def test_a_comment_gets_no_reply(session: ClientSession, store: Store, comment: bytes, sizes: tuple[int, ...]) -> None:
    assert feed(session, comment + b"PING\n" + comment + b"PING\n", *sizes) == b"PONG\nPONG\n"
    assert len(store) == 0


def test_a_comment_is_ignored_in_a_transaction(session: ClientSession) -> None:
    assert feed(session, b"MULTI\n# two\nINCR n\n#\nEXEC\n") == b"OK\nQUEUED\n1) 1\n"


def test_only_the_first_byte_of_a_line_begins_a_comment(session: ClientSession) -> None:
    assert send_line(session, "ECHO #1") == "#1"
    assert send_line(session, " # 1").startswith("(error) ERR unknown command '#'")


# ---------------------------------------------------------------- limits

MAX_LINE = 20
TOO_LONG = "(error) ERR Protocol error: line longer than 20 bytes"


@pytest.fixture
def narrow(engine: EmbeddedEngine) -> ClientSession:
    return new_session(engine, limits=Limits(max_line=MAX_LINE, max_args=3))


@EVERY_WAY
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_a_line_may_be_as_long_as_the_limit(narrow: ClientSession, ending: bytes, sizes: tuple[int, ...]) -> None:
    arg = b"x" * (MAX_LINE - len(b"PING "))
    assert feed(narrow, b"PING " + arg + ending, *sizes) == arg + ending


@EVERY_WAY
@pytest.mark.parametrize("excess", [1, 2, 3, 1000])
def test_a_longer_line_is_refused_once_and_the_next_one_works(
    narrow: ClientSession, store: Store, excess: int, sizes: tuple[int, ...]
) -> None:
    line = b"SET k " + b"x" * (MAX_LINE + excess - len(b"SET k "))
    assert feed(narrow, b"PING a\n" + line + b"\nPING b\n", *sizes).decode() == f"a\n{TOO_LONG}\nb\n"
    assert not narrow.closing
    assert len(store) == 0


@pytest.mark.parametrize("sizes", [(), (1,)])
def test_a_line_that_grows_too_long_is_refused_before_it_ends(narrow: ClientSession, sizes: tuple[int, ...]) -> None:
    assert feed(narrow, b"x" * (MAX_LINE + 2), *sizes).decode() == f"{TOO_LONG}\n"
    assert feed(narrow, b"x" * 1000, *sizes) == b""
    assert feed(narrow, b"x\n*1\r\n$4\r\nPING\r\n", *sizes) == b"+PONG\r\n", "the line's end ends the matter"


@EVERY_WAY
def test_a_star_in_the_rest_of_a_line_that_is_too_long_begins_no_resp_request(
    narrow: ClientSession, sizes: tuple[int, ...]
) -> None:
    assert feed(narrow, b"x" * (MAX_LINE + 2)).decode() == f"{TOO_LONG}\n"
    assert feed(narrow, b"*1\nPING\n", *sizes) == b"PONG\n"


@EVERY_WAY
def test_a_line_with_too_many_arguments_costs_just_that_line(narrow: ClientSession, sizes: tuple[int, ...]) -> None:
    reply = feed(narrow, b"DEL a b\nDEL a b c\nPING\n", *sizes)
    assert reply.decode() == "0\n(error) ERR Protocol error: too many arguments in request\nPONG\n"


# ---------------------------------------------------------------- TLS and NUL bytes

NO_TLS = b"(error) ERR Protocol error: this port does not speak TLS\n"
NUL_IN_LINE = b"(error) ERR Protocol error: a line of text contains a NUL byte\n"


def client_hello(session_id: bytes) -> bytes:
    """Return the beginning of a TLS connection. The session ID and the random bytes are the client's choice."""
    hello = b"\x03\x03" + b"\nSET random 1\n".ljust(32, b"r") + bytes([len(session_id)]) + session_id
    hello += b"\x00\x02\x13\x01\x01\x00\x00\x00"
    return b"\x16\x03\x01" + struct.pack(">H", len(hello) + 4) + b"\x01\x00" + struct.pack(">H", len(hello)) + hello


@EVERY_WAY
@pytest.mark.parametrize("before", [b"", b"PING\n", b"PING\r\n\r\n", b"*1\r\n$4\r\nPING\r\n"])
def test_a_tls_client_hello_closes_the_connection_and_no_line_in_it_runs(
    session: ClientSession, store: Store, before: bytes, sizes: tuple[int, ...]
) -> None:
    """Cross-protocol scripting through a browser: what the attacker chooses in a ClientHello contains lines."""
    reply = feed(session, before + client_hello(b"\nSET a 1\r\nSET b 2\n") + b"\nSET c 3\n", *sizes)
    assert reply.endswith(NO_TLS)
    assert reply.count(b"ERR") == 1
    assert session.closing
    assert len(store) == 0


def test_a_tls_handshake_is_refused_without_waiting_for_a_line_end(session: ClientSession) -> None:
    assert session.feed(b"\x16") == b""
    assert session.feed(b"\x03") == NO_TLS
    assert session.closing


@pytest.mark.parametrize("line", [b"\x16", b"\x16PING", b"\x16\x02"])
def test_a_line_that_only_resembles_a_handshake_is_an_unknown_command(session: ClientSession, line: bytes) -> None:
    assert feed(session, line + b"\nPING\n").endswith(b"\nPONG\n")
    assert feed(session, b"ECHO \x16\x03\n") == b'"\\x16\\x03"\n'


@EVERY_WAY
@pytest.mark.parametrize("line", [b"SET a 1\0", b"SET\0a 1", b"S\0ET a 1", b'SET a "\0"', b"SET a '\0'\r", b" \0"])
def test_a_nul_byte_in_a_line_closes_the_connection_and_nothing_of_the_line_runs(
    session: ClientSession, store: Store, line: bytes, sizes: tuple[int, ...]
) -> None:
    assert feed(session, b"SET before 1\n" + line + b"\nSET after 1\n", *sizes) == b"OK\n" + NUL_IN_LINE
    assert session.closing
    assert pairs(store) == [(b"before", b"1")]


def test_a_nul_byte_closes_the_connection_before_its_line_ends(session: ClientSession) -> None:
    assert session.feed(b"SET a ") == b""
    assert session.feed(b"\0") == NUL_IN_LINE
    assert session.closing


def test_a_nul_byte_in_the_rest_of_a_line_that_is_too_long_closes_the_connection(narrow: ClientSession) -> None:
    assert feed(narrow, b"x" * 1000) == f"{TOO_LONG}\n".encode()
    assert feed(narrow, b"xx\0") == NUL_IN_LINE
    assert narrow.closing


def test_an_escaped_nul_byte_is_part_of_an_argument(session: ClientSession, store: Store) -> None:
    assert feed(session, b'SET a "\\x00"\n') == b"OK\n"
    assert store.get(b"a") == b"\0"


def test_a_transaction_is_discarded_when_a_nul_byte_closes_the_connection(session: ClientSession, store: Store) -> None:
    feed(session, b"MULTI\nSET a 1\nEXEC\0\n")
    session.close()
    assert len(store) == 0
