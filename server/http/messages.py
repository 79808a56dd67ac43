"""An HTTP request and its response, as handlers see them.

A handler is a coroutine that runs on the event loop until it needs a thread that may block:

    async def get_value(request: Request) -> Response:
        reply = await request.execute(b"GET", key)

Handlers are not asyncio tasks. A task costs each request a turn of the event loop, and few requests ever wait. So a
handler may await nothing but what ends in `in_worker`, which passes a function to whatever drives the coroutine. There
are two drivers: `run_with_workers` calls the function in a worker thread, and `run_in_this_thread` calls it at once,
because the whole handler runs in a worker already.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from types import coroutine
from typing import Any, TypeAlias, TypeVar
from urllib.parse import unquote_to_bytes

from common.codec import Args
from common.errors import (
    CommandError,
    HTTPProblem,
    http_duplicate_parameter,
    http_invalid_parameter,
    http_unknown_parameter,
)
from common.limits import KIB
from common.replies import DEFERRED, ErrorKind, ErrorReply, Lines, Reply
from server.args.integers import parse_int
from server.engines.base import CacheLookup
from server.http.events import EventStream
from server.session.session import Session

T = TypeVar("T")

Headers: TypeAlias = "list[tuple[bytes, bytes]]"

MIN_STREAMED_SIZE = 256 * KIB
"""Bytes of a lazily made body from which it is streamed. Each part but the last has at least this size too."""

OCTETS = b"application/octet-stream"
TEXT = b"text/plain; charset=utf-8"
JSON = b"application/json"

DATABASE_HEADER = b"kvline-database"
"""Names the database of a request."""


# ---------------------------------------------------------------- responses


@dataclass(slots=True)
class Response:
    """A response. A body that is an iterator is streamed, and can be read once. Events have no end."""

    status: int
    body: bytes | Iterator[bytes] | EventStream = b""
    headers: Headers = field(default_factory=list)


class HTTPError(Exception):
    """The request is refused, with a response that says why."""

    def __init__(self, problem: HTTPProblem, headers: Headers | None = None) -> None:
        super().__init__(problem.sentence)
        self.problem = problem
        self.headers = headers or []

    def response(self) -> Response:
        """Return the error in the form that all errors have."""
        headers = [*self.headers, *challenges(self.problem.status)]
        return json_response(self.problem.status, {"error": self.problem.sentence}, headers)


_CHALLENGES: Headers = [
    (b"www-authenticate", b"Bearer"),
    (b"www-authenticate", b'Basic realm="kvline", charset="UTF-8"'),
]


def challenges(status: int) -> Headers:
    """Return the headers that say how to authenticate, for the status that must have them (RFC 9110, 15.5.2)."""
    return _CHALLENGES if status == 401 else []


def json_response(status: int, value: object, headers: Iterable[tuple[bytes, bytes]] = ()) -> Response:
    """Make a response with a value in JSON.

    ``headers`` follow the content type. Non-ASCII text is sent as UTF-8, without escapes. Raises TypeError for a value
    that JSON does not have, such as bytes.
    """
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status, body, [(b"content-type", JSON), *headers])


def lazy_response(
    content_type: bytes, pieces: Iterator[bytes], headers: Iterable[tuple[bytes, bytes]] = ()
) -> Response:
    """Make a response whose body is streamed if it is large. The first part is made now.

    Raises what making the first part raises, so that such a failure still gets a status of its own. Afterwards the
    status has been sent, and a failure can only cut the body short.
    """
    # A small body is complete now. It gets a Content-Length, and needs neither chunks nor a task.
    start = next_part(pieces)
    body = start if len(start) < MIN_STREAMED_SIZE else chain([start], pieces)
    return Response(200, body, [(b"content-type", content_type), *headers])


def is_lazy(reply: Reply) -> bool:
    """Return whether the reply is made while it is read: that may take long, or wait for a backing Redis."""
    return isinstance(reply, Lines) and not isinstance(reply.lines, list)


def cache_headers(lookup: CacheLookup) -> Headers:
    """Return what tells a client whether the cache in front of a backing Redis had the value, and for how long.

    X-Cache has no standard, but is what Varnish and content delivery networks send. Age is of RFC 9111 (5.1).
    """
    if lookup.age is None:
        return [(b"x-cache", b"MISS")]
    return [(b"x-cache", b"HIT"), (b"age", b"%d" % lookup.age)]


def next_part(pieces: Iterator[bytes]) -> bytes:
    """Join pieces until there is enough to send. Return less only at the end, and then ``b""``.

    Pieces may be as small as a bracket or a comma. To send each of them would cost a write and a turn of a thread.
    """
    part: list[bytes] = []
    size = 0
    for piece in pieces:
        part.append(piece)
        size += len(piece)
        if size >= MIN_STREAMED_SIZE:
            break
    return b"".join(part)


# ---------------------------------------------------------------- coroutines

BlockingCall: TypeAlias = Callable[[], Any]

RunningHandler: TypeAlias = Coroutine[BlockingCall, Any, Response]


@coroutine
def in_worker(function: Callable[..., T], *args: Any) -> Generator[BlockingCall, T, T]:
    """Call a function that may block or take long, in a worker thread. Raises what it raises.

    Only a handler may await this, not a task: the event loop does not know the object that is yielded here.
    """
    return (yield partial(function, *args))


def run_in_this_thread(handler: RunningHandler) -> Response:
    """Run a handler to its end in this thread, which may block."""
    try:
        call = handler.send(None)
        while True:
            try:
                result = call()
            # Raised inside the handler, at its `await`, so that it can be caught there as in any coroutine.
            except Exception as problem:
                call = handler.throw(problem)
            else:
                call = handler.send(result)
    except StopIteration as end:
        response: Response = end.value
        return response


async def run_with_workers(handler: RunningHandler, call: BlockingCall, workers: Executor) -> Response:
    """Run a handler that asked for a blocking call to its end: its calls in worker threads, the rest on the loop."""
    loop = asyncio.get_running_loop()
    try:
        while True:
            try:
                result = await loop.run_in_executor(workers, call)
            except Exception as problem:
                call = handler.throw(problem)
            else:
                call = handler.send(result)
    # How a coroutine that is driven by hand returns its value (PEP 492).
    except StopIteration as end:
        response: Response = end.value
        return response
    finally:
        # A task that is cancelled while a worker runs leaves the handler suspended. Close it, so that it cleans up now.
        handler.close()


# ---------------------------------------------------------------- requests


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the query: how it is read, and how it is documented.

    ``read`` gets the decoded bytes, and raises ValueError or `CommandError` for a wrong value. Then ``description``
    completes the sentence of the error. ``schema`` and ``example`` are for the OpenAPI document only.
    """

    name: str
    description: str
    schema: dict[str, object]
    example: object
    read: Callable[[bytes], Any]


@dataclass(slots=True)
class Request:
    """A request. Header names are in small letters; several headers of one name are joined, as RFC 9110 (5.3) says."""

    session: Session
    path_argument: bytes = b""
    """The variable part of the path, still percent-encoded."""
    query: bytes = b""
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    method: bytes = b"GET"
    csrf_possible: bool = False
    """Whether any web page may have caused this request, if it is a GET. See `server.http.security`."""

    async def outcome(self, args: Args) -> Reply:
        """Execute a command and return its reply, which may be an error."""
        # Nearly every command of an embedded store, and a cached GET of a backing Redis, ends here without a thread.
        reply = self.session.try_execute(args)
        if reply is DEFERRED:
            return await in_worker(self.session.execute_deferred)
        return reply

    async def execute(self, *args: bytes) -> Reply:
        """Execute a command and return its reply. Raises `HTTPError` if that is an error."""
        return raise_for_error(await self.outcome(list(args)))

    async def execute_all(self, *commands: Args) -> list[Reply] | None:
        """Execute commands as one transaction. Return None if a watched key has changed. Raises `HTTPError`.

        It is also raised if one of several commands failed. As in Redis, the others have been executed then.
        """
        # The session belongs to this request alone. If one of these raises, closing it discards the transaction.
        await self.execute(b"MULTI")
        for args in commands:
            await self.execute(*args)
        replies = await self.execute(b"EXEC")
        return [raise_for_error(each) for each in replies] if isinstance(replies, list) else None

    def parameters(self, *known: Parameter) -> list[Any]:
        """Return the values of the query's parameters, None for a missing one. Raises `HTTPError`."""
        given: dict[str, bytes] = {}
        for name, value in self.query_pairs():
            text = name.decode(errors="replace")
            if text in given:  # a proxy and this server could each obey another one
                raise HTTPError(http_duplicate_parameter(text))
            given[text] = value or b""
        values = [_read(each, given.pop(each.name, None)) for each in known]
        if given:  # with a misspelt `ex`, a key would be stored without an expiry
            raise HTTPError(http_unknown_parameter(next(iter(given))))
        return values

    def query_pairs(self) -> list[tuple[bytes, bytes | None]]:
        """Return the query's names and values in order. The value of a name without ``=`` is None."""
        pairs = [part.partition(b"=") for part in self.query.split(b"&") if part]
        return [(_decode(name), _decode(value) if equals else None) for name, equals, value in pairs]

    @property
    def wants_json(self) -> bool:
        """Whether the client accepts JSON by name."""
        return JSON in self.headers.get(b"accept", b"")

    @property
    def wants_base64(self) -> bool:
        """Whether the client asks for strings in base64, as Upstash's clients do."""
        return self.headers.get(b"upstash-encoding", b"").lower() == b"base64"


def _decode(part: bytes) -> bytes:
    # As browsers encode forms (URL standard, application/x-www-form-urlencoded). In a path, a plus is a plus.
    return unquote_to_bytes(part.replace(b"+", b" "))


def _read(parameter: Parameter, value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return parameter.read(value)
    except (ValueError, CommandError):
        raise HTTPError(http_invalid_parameter(parameter.name, parameter.description)) from None


# ---------------------------------------------------------------- errors of commands

STATUS_BY_KIND = {
    ErrorKind.CLIENT: 400,
    ErrorKind.AUTHENTICATION: 401,
    ErrorKind.CONFLICT: 409,
    ErrorKind.INTERNAL: 500,
    ErrorKind.UNAVAILABLE: 503,
    ErrorKind.UPSTREAM_DOWN: 502,
    ErrorKind.UPSTREAM_TIMEOUT: 504,
    ErrorKind.OUT_OF_MEMORY: 507,
}
"""The HTTP status of a command's error. 502 and 504 are those of a gateway (RFC 9110, 15.6), 507 is from RFC 4918."""


def select_database(request: Request) -> None:
    """Select the database that the request names, if any. Raises `HTTPError`."""
    name = request.headers.get(DATABASE_HEADER)
    if name is None:
        return
    try:
        request.session.select(parse_int(name))
    except CommandError as problem:
        raise HTTPError(HTTPProblem(400, text_of(problem.reply))) from None


def raise_for_error(reply: Reply) -> Reply:
    """Return a reply that is not an error. Raises `HTTPError` for one that is."""
    if isinstance(reply, ErrorReply):
        raise command_failed(reply)
    return reply


def command_failed(error: ErrorReply) -> HTTPError:
    """Return a command's error as HTTP reports it."""
    return HTTPError(HTTPProblem(STATUS_BY_KIND[error.kind], text_of(error)))


def text_of(error: ErrorReply) -> str:
    """Return an error's text as it appears in JSON."""
    # An error may quote an argument, which may contain any byte. JSON is UTF-8 (RFC 8259, 8.1).
    return error.text.decode(errors="replace")
