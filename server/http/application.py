"""The application: from a request to the function that answers it, and back.

Starlette finds the route; FastAPI writes the documentation (`server.http.documentation`). FastAPI's own way to a
function, through parameters, exit stacks and middlewares, was measured to take longer than all the rest here. So the
functions read what they need themselves, and each route calls its function at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route, Router

from common.errors import INTERNAL_ERROR, CommandError
from server.http import commands, keys, operations
from server.http.asgi import ASGIApplication, Receive, Scope, Send, send_whole
from server.http.connection import Connection
from server.http.documentation import document_of, pages_of
from server.http.exchange import Answer, Exchange, MustWait, Problem, next_part, status_of
from server.http.guard import Guard
from server.http.routes import Resource, Routes
from server.session.session import Session

GROUPS: Sequence[Routes] = (keys.routes, commands.routes, operations.routes)

FIRST = ("/keys/{key:path}", "/")
"""The paths that are tried first, because most requests ask for them."""

LAST = "/{words:path}"
"""The path that is tried last, because it matches everything."""

MOST_THREADS = 200
"""How many requests may wait at once for another machine, or for the making of a long body."""

LARGE_BODY = 64 * 1024
"""Bytes of a request's body that may take so long to work on that a thread of its own does it."""

UNFORESEEN = Problem(500, INTERNAL_ERROR.text.decode())

T = TypeVar("T")

logger = logging.getLogger(__name__)


class _Gone(Exception):
    """The client went away before its request was whole."""


class Endpoint:
    """Answer the requests for one resource and method, as ASGI has it."""

    def __init__(self, resource: Resource, guard: Guard, max_body: int, threads: Executor) -> None:
        self._resource = resource
        self._guard = guard
        self._max_body = max_body
        self._threads = threads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        connection: Connection = scope["state"]["connection"]
        session = connection.begin()
        try:
            answer = await self._answer(session, scope, receive)
            if session.closing:
                answer.headers.append((b"connection", b"close"))
            if isinstance(answer.body, bytes):
                await send_whole(answer, send)
            else:
                await self._send_pieces(answer, answer.body, connection, send)
        except _Gone:
            pass
        finally:  # which waits for nothing, so that the connection's next request finds the session as new
            if self._resource.runs_commands or session.client.watching or session.transaction is not None:
                session.reset()
            connection.end()

    async def _answer(self, session: Session, scope: Scope, receive: Receive) -> Answer:
        headers = headers_of(scope)
        try:
            self._guard.check(self._resource, headers)
            body = await self._read_body(headers, receive) if self._resource.takes_body else b""
            path, query = scope["raw_path"], scope["query_string"]
            exchange = Exchange(session, path, query, headers, body, self._guard.is_forgeable(headers))
            return await self._run(exchange, waits=session.context.engine.waits)
        except Problem as problem:
            return problem.answer()
        except CommandError as problem:  # raised by a reply that is made as it is read
            return Problem(status_of(problem.reply), problem.reply.text.decode(errors="replace")).answer()
        except _Gone:
            raise
        except Exception:
            logger.exception("%s %s failed unexpectedly", scope["method"], self._resource.path)
            return UNFORESEEN.answer()

    async def _run(self, exchange: Exchange, *, waits: bool) -> Answer:
        """Answer a request here, where that is soon done, or in a thread of its own."""
        function = self._resource.answer
        if self._resource.runs_many or len(exchange.body) > LARGE_BODY:
            return await self._in_thread(function, exchange)
        if not waits or self._resource.is_open:  # what is open asks the engine nothing
            return function(exchange)
        if self._resource.may_be_at_hand:
            exchange.may_wait = False
            with suppress(MustWait):
                return function(exchange)
            exchange.may_wait = True
        return await self._in_thread(function, exchange)

    async def _read_body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """Read the body. Raises `Problem` as soon as it is known to be too long."""
        declared = headers.get(b"content-length", b"0")
        size = int(declared) if declared.isdigit() else 0
        body = bytearray()
        more = True
        while more and max(size, len(body)) <= self._max_body:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if more or len(body) > self._max_body:
            raise Problem(413, f"a body has at most {self._max_body} bytes here")
        return bytes(body)

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def _send_pieces(self, answer: Answer, body: Iterator[bytes], connection: Connection, send: Send) -> None:
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        while not connection.is_lost:
            try:
                part = await self._in_thread(next_part, body)
            except CommandError as problem:  # too late to say so: the client sees that the end is missing
                logger.warning("an answer was cut short: %s", problem.reply.text.decode(errors="replace"))
                await connection.cut()
                return
            await send({"type": "http.response.body", "body": part, "more_body": bool(part)})
            if not part:
                return


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """Return a request's headers by name. Several of one name are one list, as RFC 9110 (5.3) has it."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    if len(headers) < len(scope["headers"]):
        headers.clear()
        for name, value in scope["headers"]:
            headers[name] = b"%b, %b" % (headers[name], value) if name in headers else value
    return headers


# ---------------------------------------------------------------- the whole


class Application:
    """Find a request's route; what the router refuses (no such path, no such method) is told as all else is."""

    def __init__(
        self, *, host: str, token: str | None, origins: Sequence[str], max_body: int, names: Sequence[str] = ()
    ) -> None:
        guard = Guard(host, token, origins, names)
        threads = ThreadPoolExecutor(MOST_THREADS, "http worker")
        endpoints: dict[str, dict[str, ASGIApplication]] = {}
        for group in GROUPS:
            for each in group.resources:
                endpoints.setdefault(each.path, {})[each.method] = Endpoint(each, guard, max_body, threads)
        paths = [*FIRST, *(path for path in endpoints if path not in (*FIRST, LAST)), LAST]
        routes = [Route(path, _ByMethod(endpoints[path]), methods=list(endpoints[path])) for path in paths]
        self._router = Router([*routes[:-1], *pages_of(document_of(GROUPS)), routes[-1]], redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        scope["app"] = self  # by which the router knows that it may raise
        scope["path"] = scope["raw_path"].decode("ascii")  # a slash or a line break that is encoded is a key's own
        try:
            await self._router(scope, receive, send)
        except HTTPException as problem:
            sentence = HTTPStatus(problem.status_code).phrase.lower()
            headers = [(name.lower().encode(), value.encode()) for name, value in (problem.headers or {}).items()]
            await send_whole(Problem(problem.status_code, sentence, headers).answer(), send)


class _ByMethod:
    """Hand a request on by its method. GET answers HEAD too; uvicorn leaves the body out."""

    def __init__(self, endpoints: dict[str, ASGIApplication]) -> None:
        self._endpoints = endpoints
        if "GET" in endpoints:
            endpoints.setdefault("HEAD", endpoints["GET"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._endpoints[scope["method"]](scope, receive, send)


def with_cors(application: ASGIApplication, origins: Sequence[str]) -> ASGIApplication:
    """Let pages of these origins ask, and read the answers."""
    return CORSMiddleware(
        application,
        allow_origins=origins,
        allow_methods=["GET", "HEAD", "PUT", "POST", "DELETE"],
        allow_headers=["*"],
        expose_headers=["ETag"],
    )
