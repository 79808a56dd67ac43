"""Requests in HTTP: `server.http.parser.RequestParser`."""

from __future__ import annotations

from typing import Any
from unittest import mock

from server.http import parser as parser_module
from server.http.parser import IncomingRequest, RequestParser
from tests.fuzz.properties import check_memory, splits

MAX_HEAD_SIZE = 1024
MAX_BODY_SIZE = 50

MAX_STORED = 128 * 1024
"""Bytes of memory for a head of this size. A short header takes 40 times its size: two objects, a place in a dict."""

TOKENS = [
    *(b"GET ", b"PUT ", b"HEAD ", b"POST ", b"OPTIONS * ", b"/keys/k", b"?x=1", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n"),
    *(b"Host: a\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"\r\n"),
    *(
        b"Expect: 100-continue\r\n",
        b"Upgrade: h2c\r\nConnection: Upgrade\r\n",
        b"\r\n\r\n",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
    ),
    *(
        b"0\r\n\r\n",
        b"http://a/b",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b" \r\n",
        b":",
        b"\0",
        b"#",
        b"%00",
        b"a: b\r\n",
    ),
]


class Connection:
    """Parse input as a connection does, and take each request as soon as it is ready."""

    def __init__(self) -> None:
        self.parser = RequestParser(self._limit_body)
        self.taken: list[IncomingRequest] = []

    @staticmethod
    def _limit_body(incoming: IncomingRequest) -> None:
        # Never None: a request whose body is discarded is executed before its body has arrived, if that is malformed.
        incoming.body_limit = MAX_BODY_SIZE

    def feed(self, data: bytes) -> None:
        parser = self.parser
        parser.feed(data, parse=True)
        while True:
            while parser.requests and parser.requests[0].is_ready:
                self.taken.append(parser.requests.popleft())
            if not parser.unparsed:
                break
            parser.parse_piece()
        assert len(parser.requests) <= 1

    def summary(self) -> Any:
        """Return what the server would reply to."""
        waiting = [(each.method, each.path) for each in self.parser.requests]
        return [summary(each) for each in self.taken], waiting, self.parser.is_closed, self.parser.refusal


def summary(request: IncomingRequest) -> Any:
    status = request.response.status if request.response is not None else None
    assert request.size <= MAX_BODY_SIZE or status == 413
    head = (request.method, request.path, request.query, request.version, request.headers, request.keep_alive)
    return *head, request.expects_continue, request.body, status


def run(pieces: list[bytes]) -> Any:
    connection = Connection()
    for piece in pieces:
        connection.feed(piece)
    return connection.summary()


def check(data: bytes) -> None:
    """Parse a stream of requests."""
    with mock.patch.object(parser_module, "MAX_HEAD_SIZE", MAX_HEAD_SIZE):
        whole, *others = map(run, splits(data))
        if len(data) < MAX_HEAD_SIZE:  # the limit may be exceeded by one piece, so it depends on how the input is cut
            for other in others:
                assert other == whole
        connection = Connection()

        def feed(chunk: bytes) -> bool:
            connection.feed(chunk)
            connection.taken.clear()
            return not connection.parser.is_closed

        check_memory(feed, data, MAX_STORED, 4 * MAX_STORED)
