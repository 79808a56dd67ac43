"""Cut the bytes of one HTTP connection into requests. Sans-I/O: no socket, no event loop.

`httptools`, which is llhttp of Node.js, reads the syntax. It has three properties that a server must not pass on:

- It turns all of its input into requests at once, and a small request takes a hundred times its bytes. So input is
  parsed in small pieces, and only when the connection asks for the next one.
- It keeps a head of any length, and so do the trailers after a chunked body. `MAX_HEAD_SIZE` bounds both.
- If a request offers an upgrade (RFC 9110, 7.8), it takes the body for data of the new protocol. No upgrade is accepted
  here. Without a body the offer is ignored, and with one the request is refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import httptools

from common.errors import (
    HTTP_HEAD_TOO_LARGE,
    HTTP_HOST_REQUIRED,
    HTTP_MALFORMED,
    HTTP_UNSUPPORTED_CODING,
    HTTP_UPGRADE_WITH_BODY,
    HTTPProblem,
    http_body_too_large,
)
from common.limits import KIB
from server.http.messages import HTTPError, Response

if TYPE_CHECKING:
    from server.http.routes import Route

MAX_HEAD_SIZE = 64 * KIB
"""Bytes of a request line and its headers, and of the trailers after a body. It may be exceeded by one piece."""

HEAD_PIECE_SIZE = 4 * KIB
"""Bytes that are parsed at a time. This bounds the requests that are parsed before their turn."""

BODY_PIECE_SIZE = 32 * KIB
"""Bytes that are parsed at a time inside a body."""


class IncomingRequest:
    """A request whose head is parsed. Its body may still be missing."""

    __slots__ = (
        "body_limit",
        "chunks",
        "expects_continue",
        "headers",
        "is_complete",
        "keep_alive",
        "method",
        "path",
        "path_argument",
        "query",
        "response",
        "route",
        "size",
        "version",
    )

    def __init__(
        self, method: bytes, url: tuple[bytes, bytes], version: str, headers: dict[bytes, bytes], keep_alive: bool
    ) -> None:
        self.method = method
        self.path, self.query = url
        self.version = version
        self.headers = headers
        self.keep_alive = keep_alive
        # A server must ignore the expectation in an HTTP/1.0 request (RFC 9110, 10.1.1).
        self.expects_continue = version == "1.1" and headers.get(b"expect", b"").lower() == b"100-continue"
        self.is_complete = False
        self.route: Route | None = None
        self.path_argument = b""
        self.response: Response | None = None
        """The response if it is known without executing the request, such as a refusal."""
        self.body_limit: int | None = None
        """The maximum size of the body; None if the body is discarded."""
        self.chunks: list[bytes] = []
        self.size = 0

    @property
    def is_ready(self) -> bool:
        """Whether the request can be executed or refused. The rest of its body is then discarded.

        It can be before its body has arrived, if it is refused or its route takes no body.
        """
        return self.is_complete or self.body_limit is None or self.response is not None

    @property
    def body(self) -> bytes:
        """The body."""
        return self.chunks[0] if len(self.chunks) == 1 else b"".join(self.chunks)

    def refuse(self, problem: HTTPError) -> Response:
        """Let the response be an error, and discard the body. Return the response."""
        self.response = response = problem.response()
        self.chunks.clear()
        return response

    def take(self, data: bytes) -> None:
        """Take a part of the body. A body that exceeds ``body_limit`` refuses the request with 413."""
        if self.body_limit is None or self.response is not None:
            return
        # Counted here, because a chunked body declares no size. `Application` refuses a declared one before it arrives.
        self.size += len(data)
        if self.size > self.body_limit:
            self.refuse(HTTPError(http_body_too_large(self.body_limit)))
        else:
            self.chunks.append(data)


class _Refused(Exception):
    """The input can't be accepted, nor anything after it.

    A parser that reads on could take the rest of this request for a new one (request smuggling; RFC 9112, 11.2).
    """

    def __init__(self, problem: HTTPProblem) -> None:
        super().__init__(problem.sentence)
        self.problem = problem


class RequestParser:
    """Parse the requests of one connection. ``on_head`` is called for each, before its body is parsed."""

    def __init__(self, on_head: Callable[[IncomingRequest], None]) -> None:
        self.requests: deque[IncomingRequest] = deque()
        """The requests that were parsed and not taken yet. Only the last one may be incomplete."""
        self.unparsed = bytearray()
        """Input that is not parsed yet."""
        self.is_closed = False
        """Whether no further input is parsed: the last request said so, or the input is malformed."""
        self.refusal: HTTPProblem | None = None
        """The error that follows the responses to ``requests``; None if the input is not malformed."""
        self._on_head = on_head
        self._parser = httptools.HttpRequestParser(self)
        self.is_in_head = False
        """Whether a part of a head is parsed, and the rest is not."""
        self._receiving: IncomingRequest | None = None  # the request whose body is parsed
        self._error: HTTPProblem | None = None  # raised inside a callback
        self._made_progress = False  # by a complete head, or a part of a body
        self._head_size = 0  # bytes since the last progress
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._hosts = 0

    # ---------------------------------------------------------------- input

    @property
    def is_in_body(self) -> bool:
        """Whether a head is parsed, and the end of its body is not."""
        return self._receiving is not None

    @property
    def can_parse(self) -> bool:
        """Whether nothing that was parsed waits for its turn."""
        requests = self.requests
        return not self.is_closed and (not requests or (len(requests) == 1 and not requests[0].is_ready))

    def feed(self, data: bytes, *, parse: bool) -> None:
        """Take input, and parse it at once if that is allowed and possible."""
        if self.is_closed:
            return
        # The common case, a small request on an idle connection, is parsed without a copy into `unparsed`.
        if parse and not self.unparsed and len(data) <= HEAD_PIECE_SIZE and self.can_parse:
            self._parse(data)
        else:
            self.unparsed += data

    def parse_piece(self) -> None:
        """Parse the next piece of the input."""
        # A small piece holds few requests. Inside a body large pieces are safe, and cost fewer calls.
        size = HEAD_PIECE_SIZE if self._receiving is None else BODY_PIECE_SIZE
        piece = bytes(self.unparsed[:size])
        del self.unparsed[:size]
        self._parse(piece)

    def close(self) -> None:
        """Parse no more, and free what was parsed."""
        self.is_closed = True
        self.unparsed.clear()
        self.requests.clear()

    def _parse(self, data: bytes) -> None:
        self._made_progress = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # httptools has stopped after this request, and reports how much it has read. It resumes by itself, so the
            # rest is parsed as requests, as if nothing had been offered.
            self.unparsed[:0] = data[upgrade.args[0] :]
        except httptools.HttpParserError:
            if not self.is_closed:  # else it is the input after a request that ends the connection
                self.refuse(self._error or HTTP_MALFORMED)
        # llhttp has no limit of its own. Trailers count too: nothing after the body's last part is progress.
        self._head_size = 0 if self._made_progress else self._head_size + len(data)
        if self._head_size > MAX_HEAD_SIZE and not self.is_closed:
            self.refuse(HTTP_HEAD_TOO_LARGE)
        # A server must not process requests after one that ends the connection (RFC 9112, 9.6).
        if self.is_closed:
            self.unparsed.clear()

    def refuse(self, problem: HTTPProblem) -> None:
        """Stop parsing: the input is malformed, or its rest does not arrive.

        An incomplete request gets this error as its response, unless it has one already.
        """
        self.is_closed = True
        incomplete = self._receiving
        # A request without its body may have been executed, or may have a response. HTTP allows one final response per
        # request, so the error is sent only in place of one.
        if incomplete is None:
            self.refusal = problem
        elif self.requests and self.requests[-1] is incomplete and incomplete.response is None:
            self.requests.pop()
            self.refusal = problem

    # ---------------------------------------------------------------- callbacks of httptools

    def on_message_begin(self) -> None:
        self.is_in_head = True
        self._url = b""
        self._headers = {}
        self._hosts = 0

    def on_url(self, url: bytes) -> None:
        # httptools calls this for each part of a request line that arrives in pieces.
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._receiving is not None:
            return  # a trailer: RFC 9110 (6.5.1) lets a server ignore it
        name = name.lower()
        headers = self._headers
        # One value per name, as RFC 9110 (5.3) allows. llhttp has refused a second Content-Length.
        headers[name] = b"%b, %b" % (headers[name], value) if name in headers else value
        if name == b"host":
            self._hosts += 1  # the joined value does not show how many there were

    def on_headers_complete(self) -> None:
        try:
            self._take_head()
        except _Refused as refused:
            # httptools raises HttpParserCallbackError in place of what a callback raises.
            self._error = refused.problem
            raise

    def _take_head(self) -> None:
        parser, headers = self._parser, self._headers
        version = parser.get_http_version()
        # llhttp accepts HTTP/0.9 too, whose responses have no head.
        if version not in ("1.1", "1.0"):
            raise _Refused(HTTP_MALFORMED)
        if parser.should_upgrade() and _has_body(headers):
            raise _Refused(HTTP_UPGRADE_WITH_BODY)
        # llhttp accepts `gzip, chunked`, and takes the compressed data for the body. RFC 9112 (6.1) lets no HTTP/1.0
        # request have the header.
        coding = headers.get(b"transfer-encoding")
        if coding is not None and (coding.lower() != b"chunked" or version == "1.0"):
            raise _Refused(HTTP_UNSUPPORTED_CODING)
        url = _split_url(self._url)
        # With two of them, a proxy could check one name and this server the other.
        if self._hosts != 1 and (version == "1.1" or self._hosts > 1):  # RFC 9112, 3.2
            raise _Refused(HTTP_HOST_REQUIRED)
        # HTTP/1.0 is never kept alive: the end of a streamed body is the end of its connection.
        keep_alive = version == "1.1" and parser.should_keep_alive()
        self.is_in_head = False
        incoming = self._receiving = IncomingRequest(parser.get_method(), url, version, headers, keep_alive)
        self._made_progress = True
        # `on_head` decides first whether the body is kept, because its first part may be in the same piece of input.
        self._on_head(incoming)
        self.requests.append(incoming)

    def on_body(self, data: bytes) -> None:
        self._made_progress = True
        if self._receiving is not None:
            self._receiving.take(data)

    def on_message_complete(self) -> None:
        incoming, self._receiving = self._receiving, None
        if incoming is not None:
            incoming.is_complete = True
            self.is_closed = not incoming.keep_alive


def _has_body(headers: dict[bytes, bytes]) -> bool:
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0").strip(b"0") != b""


def _split_url(url: bytes) -> tuple[bytes, bytes]:
    """Return the path and the query of a request target (RFC 9112, 3.2)."""
    # RFC 3986 allows ASCII only. Two parsers may disagree on other bytes.
    if not url.isascii():
        raise _Refused(HTTP_MALFORMED)
    # The origin form, which is nearly every request, without a parser.
    if url.startswith(b"/") and b"#" not in url:
        path, _, query = url.partition(b"?")
        return path, query
    # A server must accept the absolute form (RFC 9112, 3.2.2). `*` is the path of a general OPTIONS (3.2.4).
    try:
        parsed = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError:
        raise _Refused(HTTP_MALFORMED) from None
    if parsed.path is None:  # http://host without a slash
        raise _Refused(HTTP_MALFORMED)
    return parsed.path, parsed.query or b""
