"""Listen for HTTP: one thread with an event loop serves all connections."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from server.http.application import Application
from server.http.connection import HTTPConnection
from server.http.security import AccessPolicy, CORSPolicy
from server.net.addresses import format_address, resolve
from server.net.listener import BACKLOG, SHUTDOWN_TIMEOUT, log_unfinished
from server.session.context import ServerContext
from server.settings import HTTPTimeouts
from server.stderr_log import RepeatedMessage

if TYPE_CHECKING:
    from server.http.tls_accept import TLSAcceptor
    from server.net.certificates import Certificates

MAX_CHECK_INTERVAL = 1.0
"""Seconds between two looks at the progress of all connections, or half of the shortest timeout if that is less."""

CANCEL_TIMEOUT = 1.0
"""Seconds that a stopping listener waits for worker threads after it has closed their connections."""

OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""Errors of an accept after which asyncio pauses and tries again."""

DEFAULT_TIMEOUTS = HTTPTimeouts()

logger = logging.getLogger(__name__)


def create_http_listener(
    host: str,
    port: int,
    context: ServerContext,
    *,
    origins: Sequence[str] = (),
    names: Sequence[str] = (),
    max_body: int,
    timeouts: HTTPTimeouts = DEFAULT_TIMEOUTS,
    certificates: Certificates | None = None,
) -> HTTPListener:
    """Bind a port for HTTP. Raises `OSError` or `UnicodeError` if the address can't be bound.

    ``origins`` are those that CORS allows, ``names`` are further host names of the server, ``max_body`` is the maximum
    size of a request's body in bytes, and ``timeouts`` is how long a connection waits for its client. Port 0 picks a
    free port. With ``certificates`` the port speaks HTTPS. Connections wait in the backlog until `HTTPListener.start`.
    """
    access = AccessPolicy(host, context.auth, origins, names)
    cors = CORSPolicy(origins) if origins else None
    return HTTPListener(host, port, Application(context, access, cors=cors, max_body=max_body), timeouts, certificates)


class HTTPListener:
    """Serve HTTP on one address. Raises `OSError` or `UnicodeError` if the address can't be bound."""

    def __init__(
        self,
        host: str,
        port: int,
        application: Application,
        timeouts: HTTPTimeouts,
        certificates: Certificates | None = None,
    ) -> None:
        family, address = resolve(host, port)
        try:
            # Bound here rather than by the event loop, so that the caller gets the error, and knows the port at once.
            self._socket = socket.create_server(address[:2], family=family, backlog=BACKLOG)
        except OSError as problem:
            if problem.errno is None:
                raise
            raise OSError(problem.errno, os.strerror(problem.errno)) from None  # Python's own text has the address too
        bound = self._socket.getsockname()
        self.address = ("http://" if certificates is None else "https://") + format_address(bound)
        """The URL of the listener, with the port that was bound."""
        self.port: int = bound[1]
        """The port that was bound."""
        self._application = application
        self._timeouts = timeouts
        self._certificates = certificates
        self._connections: set[HTTPConnection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_running = threading.Event()
        self._stop_requested = asyncio.Event()
        self._accept_failed = RepeatedMessage(logger, logging.WARNING, "cannot accept connections at present: %s")
        self._check_failed = RepeatedMessage(logger, logging.ERROR, "a check of a connection failed unexpectedly")
        self._thread = threading.Thread(target=self._run, name=f"http {self.address}", daemon=True)

    def start(self) -> None:
        """Accept connections in a thread until `stop` is called."""
        self._application.workers.start()
        self._thread.start()
        self._is_running.wait()

    def stop(self) -> None:
        """Accept no more connections, wait for the requests that are executed, then close all connections.

        Takes about `SHUTDOWN_TIMEOUT` and `CANCEL_TIMEOUT` at most. Commands that take longer are left to their
        threads, which end with the process. Also releases the address, as `close` does.
        """
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the event loop has ended by itself
                self._loop.call_soon_threadsafe(self._stop_requested.set)
            # Every wait in `_serve` after the request to stop has a limit, but a command may keep the loop busy.
            self._thread.join(SHUTDOWN_TIMEOUT + 2 * CANCEL_TIMEOUT)
        self.close()

    def close(self) -> None:
        """Release the address and the worker threads. For a listener that was never started; otherwise use `stop`."""
        self._socket.close()
        self._application.close()

    # ---------------------------------------------------------------- the thread

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(self._serve())
        finally:
            self._is_running.set()  # also if the loop fails to start, because `start` waits without a time limit

    async def _serve(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._handle_loop_error)
        server = await self._accept(loop)
        self._is_running.set()
        checks = loop.create_task(self._check_progress())
        await self._stop_requested.wait()
        checks.cancel()
        # Without `wait_closed`, which since Python 3.12 waits for every connection, and without a time limit.
        server.close()
        await self._close_connections()

    async def _accept(self, loop: asyncio.AbstractEventLoop) -> asyncio.AbstractServer | TLSAcceptor:
        """Begin to accept connections. Return what does that, until it is closed."""
        if self._certificates is not None:
            from server.http.tls_accept import TLSAcceptor  # noqa: PLC0415  # needs the module ssl

            return TLSAcceptor(
                self._socket,
                self._certificates,
                self._new_connection,
                self._accept_failed.log,
                close_timeout=self._timeouts.body,
            )
        # With the backlog again, because this calls `listen` a second time, with 100 by default.
        return await loop.create_server(self._new_connection, sock=self._socket, backlog=BACKLOG)

    def _handle_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log connections that cannot be accepted in one line. asyncio logs a thousand tracebacks a second."""
        problem = context.get("exception")
        if isinstance(problem, OSError) and problem.errno in OUT_OF_RESOURCES:
            self._accept_failed.log(problem)
        else:
            loop.default_exception_handler(context)

    def _new_connection(self) -> HTTPConnection:
        return HTTPConnection(self._application, self._connections)

    async def _check_progress(self) -> None:
        """Close connections whose clients take too long. A timeout may be exceeded by two intervals."""
        timeouts, time = self._timeouts, asyncio.get_running_loop().time
        interval = min(MAX_CHECK_INTERVAL, min(timeouts.head, timeouts.body, timeouts.idle) / 2)
        while True:
            # One task for all connections: a timer for each would be cancelled and set again with every request.
            await asyncio.sleep(interval)
            now = time()
            # A copy, because a connection that closes removes itself.
            for connection in list(self._connections):
                try:
                    connection.check_progress(now, timeouts)
                except Exception as problem:
                    self._check_failed.log(exc_info=problem)

    async def _close_connections(self) -> None:
        """Let each connection finish the request that it executes, and abort those that take too long."""
        for connection in list(self._connections):
            connection.shut_down()
        await self._wait_for_connections(SHUTDOWN_TIMEOUT)
        if self._connections:
            log_unfinished(self.address, len(self._connections))
            for connection in list(self._connections):
                connection.abort()
            await self._wait_for_connections(CANCEL_TIMEOUT)

    async def _wait_for_connections(self, timeout: float) -> None:
        """Wait until no connection is left. Give up after a timeout in seconds."""
        loop = asyncio.get_running_loop()
        limit = loop.time() + timeout
        # Polled, because a server stops once. A connection stays in the set until its worker has ended.
        while self._connections and loop.time() < limit:
            await asyncio.sleep(0.01)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes uvloop's event loop, None for asyncio's own if uvloop is not installed."""
    try:
        # Imported by name, because uvloop does not exist for Windows, and mypy checks the code for Windows too.
        factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        return None
    return factory
