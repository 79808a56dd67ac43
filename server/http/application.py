"""The application: FastAPI finds the route and writes the documentation, the routes' functions answer.

FastAPI's own way from a request to a function (parsing into parameters, two exit stacks, three middlewares) takes
longer than most commands. The functions here read what they need themselves, so each route calls its function at once.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import anyio
import anyio.to_thread
import fastapi_offline
from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, Response
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from common import __version__
from server.errors import INTERNAL_ERROR
from server.http import commands, keys, operations
from server.http.connection import Connection
from server.http.documentation import request_of, responses_of
from server.http.exchange import Answer, Exchange, Problem
from server.http.guard import Guard
from server.http.routes import Route, Routes
from server.session import Session

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

GROUPS: Sequence[Routes] = (keys.routes, operations.routes, commands.routes)
"""In the order in which they are tried: a command's path may be anything that nothing else is."""

MOST_THREADS = 200
"""How many requests may wait at once for another machine, or for the making of a long body."""

LARGE_BODY = 64 * 1024
"""Bytes of a request's body that may take so long to work on that a thread of its own does it."""

ASSETS = "/docs/assets"

WITHOUT_BODY = (204, 304)

UNFORESEEN = Problem(500, INTERNAL_ERROR.text.decode())

T = TypeVar("T")

logger = logging.getLogger(__name__)


class _Gone(Exception):
    """The client went away before its request was whole."""


class Endpoint:
    """Answer the requests of one route, as ASGI has it."""

    def __init__(self, route: Route, guard: Guard, max_body: int, threads: anyio.CapacityLimiter) -> None:
        self._route = route
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
                await send_whole(answer, answer.body, send)
            else:
                await self._send_pieces(answer, answer.body, connection, send)
        except _Gone:
            pass
        finally:
            if self._route.runs_commands or session.client.watching:
                await self._call(session.reset, in_thread=session.instance.engine.waits)
            connection.end()

    async def _answer(self, session: Session, scope: Scope, receive: Receive) -> Answer:
        headers = dict(scope["headers"])
        try:
            self._guard.check(self._route, headers)
            body = await self._read_body(headers, receive) if self._route.takes_body else b""
            exchange = Exchange(session, scope["raw_path"], scope["query_string"], headers, body)
            in_thread = session.instance.engine.waits or len(body) > LARGE_BODY
            return await self._call(self._route.answer, exchange, in_thread=in_thread)
        except Problem as problem:
            return problem.answer()
        except _Gone:
            raise
        except Exception:
            logger.exception("%s %s failed unexpectedly", scope["method"], self._route.path)
            return UNFORESEEN.answer()

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
        if more:
            raise Problem(413, f"a body has at most {self._max_body} bytes here")
        return bytes(body)

    async def _call(self, function: Callable[..., T], *arguments: Any, in_thread: bool) -> T:
        """Call a function, in a thread of its own where it may take long enough to keep others waiting."""
        if in_thread:
            return await anyio.to_thread.run_sync(function, *arguments, limiter=self._threads)
        return function(*arguments)

    async def _send_pieces(self, answer: Answer, body: Iterator[bytes], connection: Connection, send: Send) -> None:
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        while not connection.is_lost:
            piece = await self._call(next, body, None, in_thread=True)
            if piece is None:
                await send({"type": "http.response.body"})
                return
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})


async def send_whole(answer: Answer, body: bytes, send: Send) -> None:
    """Send an answer whose body is there."""
    headers = answer.headers
    if answer.status not in WITHOUT_BODY:
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


# ---------------------------------------------------------------- the whole


class Application(FastAPI):
    """FastAPI with nothing between uvicorn and the routes but what turns its own refusals into JSON."""

    def __init__(self, *, host: str, token: str | None, origins: Sequence[str], max_body: int) -> None:
        super().__init__(
            title="kvline",
            version=__version__,
            summary="A key-value store for curl, browsers and serverless clients.",
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
        )
        self._origins = origins
        self.add_route("/docs", self._documentation, include_in_schema=False)
        self.mount(ASSETS, StaticFiles(directory=Path(fastapi_offline.__file__).parent / "static"))
        guard = Guard(host, token, origins)
        threads = anyio.CapacityLimiter(MOST_THREADS)
        for group in GROUPS:
            for route in group.routes:
                self._enter(group.tag, route, Endpoint(route, guard, max_body, threads))

    def build_middleware_stack(self) -> Any:
        """Return what every request goes through on its way to the routes."""
        if not self._origins:
            return _JSONErrors(self.router)
        return CORSMiddleware(
            _JSONErrors(self.router),
            allow_origins=self._origins,
            allow_methods=["GET", "HEAD", "PUT", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["ETag"],
        )

    def _enter(self, tag: str, route: Route, endpoint: Endpoint) -> None:
        methods = [(route.method, True)]
        if route.method == "GET" and not route.path_parameter:
            methods.append(("HEAD", False))  # uvicorn leaves the body out
        for method, documented in methods:
            entry = APIRoute(
                route.path,
                _never_called,
                methods=[method],
                name=route.answer.__name__,
                operation_id=route.answer.__name__,
                tags=[tag],
                summary=route.summary,
                description=route.description,
                response_class=Response,
                status_code=min(route.documented),
                responses=responses_of(route),
                openapi_extra=request_of(route),
                include_in_schema=documented,
            )
            entry.app = endpoint
            self.router.routes.append(entry)

    async def _documentation(self, request: Request) -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="kvline",
            swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{ASSETS}/favicon.png",
        )


async def _never_called(request: Request) -> None:
    """Stand where FastAPI asks for a function: the `Endpoint` answers in its place."""


class _JSONErrors:
    """Tell what the router refuses (no such path, no such method) as everything else is told."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except HTTPException as problem:
            sentence = HTTPStatus(problem.status_code).phrase.lower()
            headers = [(name.lower().encode(), value.encode()) for name, value in (problem.headers or {}).items()]
            answer = Problem(problem.status_code, sentence, headers).answer()
            assert isinstance(answer.body, bytes)
            await send_whole(answer, answer.body, send)
