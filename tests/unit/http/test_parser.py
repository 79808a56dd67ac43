"""The parser of requests: the same requests however the input is cut, and a bound on all that it keeps."""

from __future__ import annotations

import pytest

pytest.importorskip("httptools", reason="the extra http is not installed")

from common.errors import (
    HTTP_HEAD_TOO_LARGE,
    HTTP_HOST_REQUIRED,
    HTTP_MALFORMED,
    HTTP_UNSUPPORTED_CODING,
    HTTP_UPGRADE_WITH_BODY,
    HTTPProblem,
)
from server.http.parser import BODY_PIECE_SIZE, HEAD_PIECE_SIZE, MAX_HEAD_SIZE, IncomingRequest, RequestParser

HOST = b"Host: localhost\r\n"
GET = b"GET /keys/k?x=1 HTTP/1.1\r\n" + HOST + b"\r\n"
PUT = b"PUT /keys/k HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"PUT /c HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: t\r\n\r\n"
)
CODED = b"PUT /c HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: %b\r\n\r\n1\r\nx\r\n0\r\n\r\n"

LIMIT = 100


def take_bodies(incoming: IncomingRequest) -> None:
    incoming.body_limit = LIMIT


def parse_all(*parts: bytes) -> tuple[list[IncomingRequest], RequestParser]:
    """Feed parts of input, and take each request as soon as it is ready."""
    parser = RequestParser(take_bodies)
    taken: list[IncomingRequest] = []
    for part in parts:
        parser.feed(part, parse=True)
        while True:
            while parser.requests and parser.requests[0].is_ready:
                taken.append(parser.requests.popleft())
            if not parser.unparsed:
                break
            parser.parse_piece()
    return taken, parser


@pytest.mark.parametrize("size", [1, 2, 7, 100_000])
def test_requests_are_the_same_however_the_input_is_cut(size: int) -> None:
    data = (GET + PUT + CHUNKED) * 3
    requests, parser = parse_all(*(data[at : at + size] for at in range(0, len(data), size)))
    seen = [(each.method, each.path, each.query, each.body, each.headers[b"host"]) for each in requests]
    assert (
        seen
        == [
            (b"GET", b"/keys/k", b"x=1", b"", b"localhost"),
            (b"PUT", b"/keys/k", b"", b"hello", b"localhost"),
            (b"PUT", b"/c", b"", b"hello", b"localhost"),
        ]
        * 3
    )
    assert not parser.is_closed
    assert all(b"trailer" not in each.headers for each in requests)


def test_pipelined_input_is_not_parsed_before_its_turn() -> None:
    parser = RequestParser(take_bodies)
    parser.feed(GET * 10_000, parse=True)
    parser.parse_piece()
    assert len(parser.requests) <= HEAD_PIECE_SIZE // len(GET) + 1
    assert not parser.can_parse
    unparsed = len(parser.unparsed)
    parser.feed(GET, parse=True)
    assert len(parser.unparsed) == unparsed + len(GET)


@pytest.mark.parametrize(
    ("data", "problem", "taken"),
    [
        (b"NONSENSE\r\n\r\n", HTTP_MALFORMED, 0),
        (GET + b"NONSENSE\r\n\r\n", HTTP_MALFORMED, 1),
        (GET + CHUNKED.replace(b"3\r\n", b"Z\r\n"), HTTP_MALFORMED, 1),
        (b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n", HTTP_MALFORMED, 0),
        (b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n", HTTP_MALFORMED, 0),
        (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", HTTP_MALFORMED, 0),
        (b"GET / HTTP/1.1\r\n\r\n", HTTP_HOST_REQUIRED, 0),
        (CODED % b"gzip, chunked", HTTP_UNSUPPORTED_CODING, 0),
        (CODED % b"gzip\r\nTransfer-Encoding: chunked", HTTP_UNSUPPORTED_CODING, 0),
        (CODED.replace(b"1.1", b"1.0") % b"chunked", HTTP_UNSUPPORTED_CODING, 0),
        (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", HTTP_HOST_REQUIRED, 0),
        (b"GET / HTTP/1.0\r\n" + HOST + HOST + b"\r\n", HTTP_HOST_REQUIRED, 0),
        (PUT.replace(HOST, HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n"), HTTP_UPGRADE_WITH_BODY, 0),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 2 * MAX_HEAD_SIZE, HTTP_HEAD_TOO_LARGE, 0),
        (CHUNKED[:-2] + b"T: t\r\n" * MAX_HEAD_SIZE, HTTP_HEAD_TOO_LARGE, 0),
    ],
    ids=lambda value: repr(value[:30]) if isinstance(value, bytes) else None,
)
def test_malformed_input_is_refused_after_the_requests_before_it(data: bytes, problem: HTTPProblem, taken: int) -> None:
    requests, parser = parse_all(data)
    assert len(requests) == taken
    assert (parser.is_closed, parser.refusal) == (True, problem)
    parser.feed(GET, parse=True)
    assert (len(parser.requests), len(parser.unparsed)) == (0, 0), "nothing after it is parsed"


def test_http_1_0_needs_no_host_and_is_the_last_request() -> None:
    requests, parser = parse_all(b"GET / HTTP/1.0\r\n\r\n" + GET)
    assert [(each.version, each.keep_alive) for each in requests] == [("1.0", False)]
    assert (parser.is_closed, parser.refusal) == (True, None)


def test_input_after_connection_close_is_ignored() -> None:
    requests, parser = parse_all(GET.replace(HOST, HOST + b"Connection: close\r\n") + b"NONSENSE")
    assert [each.keep_alive for each in requests] == [False]
    assert (parser.is_closed, parser.refusal) == (True, None)


def test_an_absolute_target_has_a_path_and_a_query() -> None:
    requests, _ = parse_all(b"GET http://localhost:80/keys/k?x=1 HTTP/1.1\r\n" + HOST + b"\r\n")
    assert [(each.path, each.query) for each in requests] == [(b"/keys/k", b"x=1")]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_its_limit_is_discarded_and_the_next_request_is_parsed(chunked: bool) -> None:
    body = b"x" * (LIMIT + 1)
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
    content = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    requests, parser = parse_all(b"PUT /keys/k HTTP/1.1\r\n%b%b\r\n\r\n%b" % (HOST, framing, content) + GET)
    assert [each.response.status if each.response else 200 for each in requests] == [413, 200]
    assert not any(each.chunks for each in requests)
    assert not parser.is_closed


def test_a_body_that_breaks_off_after_its_response_gets_no_second_one() -> None:
    data = CHUNKED.replace(b"2\r\nhe\r\n3\r\nllo", b"%x\r\n%b\r\nZ" % (LIMIT + 1, b"x" * (LIMIT + 1)))
    first, second = data[:-20], data[-20:]
    requests, parser = parse_all(first, second)
    assert [each.response.status for each in requests if each.response] == [413]
    assert (parser.is_closed, parser.refusal) == (True, None)


def test_pieces_are_larger_inside_a_body() -> None:
    assert HEAD_PIECE_SIZE < BODY_PIECE_SIZE <= MAX_HEAD_SIZE
