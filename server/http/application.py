"""What all connections of the HTTP listener share: routes, access control, and worker threads."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from common.errors import HTTP_NOT_DURABLE, INTERNAL_ERROR, CommandError, HTTPProblem, http_body_too_large
from server.engines.base import CommitFailed, Persistence
from server.http import commands, documentation, keys, operations, subscriptions
from server.http.messages import (
    HTTPError,
    Request,
    Response,
    cache_headers,
    command_failed,
    in_worker,
    next_part,
    select_database,
    text_of,
)
from server.http.parser import IncomingRequest
from server.http.routes import RouteGroup, RouteTable
from server.http.security import AccessPolicy, CORSPolicy
from server.net.worker_pool import WorkerPool
from server.session.context import ServerContext
from server.session.session import Session

GROUPS: Sequence[RouteGroup] = (keys.routes, commands.routes, subscriptions.routes, operations.routes)
"""The routes that the OpenAPI document describes."""

MAX_WORKERS = 200
"""Threads for requests that wait for another machine or take long. Further requests wait for a free thread.

They are started when they are needed, so a server whose requests rarely wait has few of them.
"""

INTERNAL_PROBLEM = HTTPProblem(500, text_of(INTERNAL_ERROR))

logger = logging.getLogger(__name__)


class Application:
    """Admit requests, and respond to those that are admitted."""

    def __init__(self, context: ServerContext, access: AccessPolicy, *, cors: CORSPolicy | None, max_body: int) -> None:
        self.context = context
        self.workers = WorkerPool("http worker", MAX_WORKERS)
        self._access = access
        self._cors = cors
        self._max_body = max_body
        self._max_json = min(max_body, context.settings.http_max_json)
        self._routes = RouteTable([*GROUPS, documentation.routes_for(GROUPS)])

    def admit(self, incoming: IncomingRequest, address: str) -> None:
        """Find the route of a request whose head has arrived, or refuse it. Raises nothing.

        ``address`` is that of the client. The parser calls this before the body, so that a refused body is neither
        stored nor awaited.
        """
        try:
            self._admit(incoming, address)
        except HTTPError as problem:
            self._refuse(incoming, problem)
        except Exception:  # the parser would take it for malformed input
            logger.exception("a request failed unexpectedly before its execution")
            self._refuse(incoming, HTTPError(INTERNAL_PROBLEM))

    def _refuse(self, incoming: IncomingRequest, problem: HTTPError) -> None:
        logger.debug("a request was refused: HTTP status %d: %s", problem.problem.status, problem.problem.sentence)
        # Refusals too, because without these headers a page cannot read the status or the sentence of the error.
        response = incoming.refuse(problem)
        if self._cors is not None:
            self._cors.complete(response, incoming.headers)

    def _admit(self, incoming: IncomingRequest, address: str) -> None:
        headers = incoming.headers
        # First of all: a browser sends a preflight without credentials (Fetch standard, CORS-preflight fetch), so the
        # check of the password would refuse it.
        if self._cors is not None and (preflight := self._cors.preflight(incoming.method, headers)) is not None:
            incoming.response = preflight
            return
        incoming.route, incoming.path_argument = self._routes.find(incoming.method, incoming.path)
        # The access check needs the route: some are public, and some are safe for other origins.
        self._access.check(incoming.route, headers, address)
        if incoming.route.takes_body:
            incoming.body_limit = limit = self._max_json if incoming.route.takes_json else self._max_body
            # Refused before a 100 Continue, so that a client that waits for one never sends the body. A body without a
            # declared size is counted as it arrives.
            declared = headers.get(b"content-length", b"0")
            if declared.isdigit() and int(declared) > limit:
                raise HTTPError(http_body_too_large(limit))

    def new_request(self, session: Session, incoming: IncomingRequest) -> Request:
        """Return an admitted request as its handler gets it. Its body must be complete, if its route takes one."""
        headers = incoming.headers
        return Request(
            session,
            incoming.path_argument,
            incoming.query,
            headers,
            incoming.body,
            incoming.method,
            self._access.csrf_possible(headers),
        )

    async def respond(self, incoming: IncomingRequest, request: Request) -> Response:
        """Run the handler of an admitted request. Raises nothing: every failure is a response."""
        persistence = self.context.engine.persistence
        if persistence is None:
            response = await _handle(incoming, request)
        else:
            response = await _handle_and_commit(incoming, request, persistence)
        if (lookup := request.session.client.call.cache_lookup) is not None and incoming.method in (b"GET", b"HEAD"):
            response.headers += cache_headers(lookup)
        if self._cors is not None:
            self._cors.complete(response, incoming.headers)
        return response

    def next_part(self, body: Iterator[bytes]) -> bytes:
        """Return the next part of a body, for a worker thread. To make it may execute commands (a pipeline)."""
        persistence = self.context.engine.persistence
        if persistence is None:
            return next_part(body)
        failures = persistence.failures
        part = next_part(body)
        persistence.commit_since(failures)
        return part

    def close(self) -> None:
        """End the worker threads, without waiting for those that still work."""
        self.workers.close()


async def _handle(incoming: IncomingRequest, request: Request) -> Response:
    """Run a handler. Every failure is a response."""
    assert incoming.route is not None
    try:
        select_database(request)
        return await incoming.route.handler(request)
    except HTTPError as problem:
        return problem.response()
    # Handlers raise `HTTPError` for the errors of commands, with one exception.
    except CommandError as problem:  # raised by a reply that is made while it is read
        return command_failed(problem.reply).response()
    except Exception:
        logger.exception("%s %s failed unexpectedly", incoming.route.method, incoming.route.path)
        return HTTPError(INTERNAL_PROBLEM).response()


async def _handle_and_commit(incoming: IncomingRequest, request: Request, persistence: Persistence) -> Response:
    """Do the same, and wait until what the response shows is as durable as the level of the log asks for."""
    failures = persistence.failures
    response = await _handle(incoming, request)
    try:
        # On the event loop as long as that does not wait for the disk.
        if persistence.must_wait:
            await in_worker(persistence.commit_since, failures)
        else:
            persistence.commit_since(failures)
    except CommitFailed:
        return HTTPError(HTTP_NOT_DURABLE).response()
    return response
