"""A listening socket: accept connections, refuse those beyond the limit, stop within a bounded time.

`socketserver` has four traps. Its backlog is 5. An accept that fails is retried at once, so that a server without free
file descriptors uses a whole core. Daemon threads are never joined. And closing a socket with unread input resets the
connection, which can lose the last reply. The first three are handled here, the last one in `server.net.connection`.

What serves a connection is a scheduler's decision, so another one (many connections per thread) is one new module.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import threading
from collections.abc import Callable
from math import inf
from typing import Any, Protocol, TypeAlias, TypeVar

from common.errors import NO_THREAD_FOR_CLIENT, TOO_MANY_CLIENTS
from common.replies import ErrorReply
from server.clients.registry import TooManyClients
from server.net.addresses import format_address, port_of
from server.net.connection import Connection
from server.session.context import ServerContext
from server.stderr_log import RepeatedMessage

BACKLOG = 1024
"""Connections that may wait to be accepted. The kernel's limit (``net.core.somaxconn``) may be lower."""

ACCEPT_PAUSE = 0.05
MAX_ACCEPT_PAUSE = 1.0
"""Seconds to wait after a failed accept. Each failure in a row doubles the first, up to the second."""

SHUTDOWN_TIMEOUT = 2.0
"""Seconds that a stopping server waits for running commands and for their replies to be sent."""

STOP_POLL_INTERVAL = 0.1
"""Seconds between two looks of the accepting thread whether it should end."""

logger = logging.getLogger(__name__)


C = TypeVar("C", bound=Connection)

StartThread: TypeAlias = Callable[[Callable[[], None]], None]
"""Start a thread that serves one connection by calling a function, and then closes it."""


def log_unfinished(address: str, count: int) -> None:
    """Log how many connections of a listener are cut off at the stop."""
    logger.info("%s: connections cut off that were not ready within %g s: %d", address, SHUTDOWN_TIMEOUT, count)


class Scheduler(Protocol[C]):
    """Decides which thread serves a connection."""

    def connect(self, context: ServerContext, sock: socket.socket, peer_address: Any) -> C:
        """Return the connection of an accepted socket, which blocks. Raises `TooManyClients`."""
        ...

    def schedule(self, connection: C, start_thread: StartThread, close: Callable[[], None]) -> None:
        """Begin to serve a connection, and return at once. It is closed by ``close``, or by the thread if it has one.

        ``close`` may be called by any thread.
        """
        ...

    def start(self) -> None:
        """Start the threads that serve all connections, if there are any."""
        ...

    def stop(self) -> None:
        """Stop them, after the last listener."""
        ...


class Listener(socketserver.ThreadingTCPServer):
    """Accepts the connections of one address, as `server.net.addresses.resolve` returns it.

    Raises `OSError` if the address cannot be bound.
    """

    allow_reuse_address = True
    daemon_threads = True  # a peer that never reads must not keep the process alive
    block_on_close = False
    request_queue_size = BACKLOG

    def __init__(
        self, family: socket.AddressFamily, address: Any, context: ServerContext, scheduler: Scheduler[Any]
    ) -> None:
        self.address_family = family
        self._context = context
        self._scheduler = scheduler
        self._stopping = threading.Event()
        self._accept_pause = ACCEPT_PAUSE
        self._no_thread = RepeatedMessage(logger, logging.ERROR, "connections are refused at present: %s", inf)
        self._connections: dict[socket.socket, Connection] = {}
        self._serve: dict[socket.socket, Callable[[], None]] = {}  # what the thread of a connection calls
        self._connections_changed = threading.Condition()
        super().__init__(address, socketserver.BaseRequestHandler)  # the handler is not used: see `finish_request`
        self.socket.setblocking(False)  # a peer that resets before it is accepted must not block the accept
        self._thread = threading.Thread(
            target=self.serve_forever, args=(STOP_POLL_INTERVAL,), name=f"accept {self.address}", daemon=True
        )

    @property
    def address(self) -> str:
        """The bound address, formatted."""
        return format_address(self.socket.getsockname())

    @property
    def port(self) -> int:
        """The bound port."""
        return port_of(self.socket.getsockname())

    def start(self) -> None:
        """Accept connections in a thread until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Accept no more connections, let running commands finish and be replied to, then close what is left."""
        address = self.address
        self._stopping.set()
        self.shutdown()
        self._thread.join()
        self.server_close()
        if left := self._end_connections(Connection.finish):  # they wait for a peer that does not read, or are busy
            log_unfinished(address, left)
            self._end_connections(Connection.kill)

    def close(self) -> None:
        """Release the address of a listener that was never started."""
        self.server_close()

    def _end_connections(self, end: Callable[[Connection], None]) -> int:
        """End all connections, wait until they have ended, and return how many have not within the time limit."""
        with self._connections_changed:
            for connection in self._connections.values():
                end(connection)
            self._connections_changed.wait_for(lambda: not self._connections, SHUTDOWN_TIMEOUT)
            return len(self._connections)

    # ---------------------------------------------------------------- called by socketserver

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection. If that fails, pause before `socketserver` retries."""
        try:
            connection, peer = self.socket.accept()
        except BlockingIOError:
            raise
        except OSError as problem:
            if self._accept_pause == ACCEPT_PAUSE:
                logger.warning("cannot accept connections at present: %s", problem)
            self._stopping.wait(self._accept_pause)
            self._accept_pause = min(2 * self._accept_pause, MAX_ACCEPT_PAUSE)
            raise
        self._accept_pause = ACCEPT_PAUSE
        connection.setblocking(True)
        return connection, peer

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection, or refuse it at the limit. A refused one costs no thread and no read."""
        try:
            connection = self._scheduler.connect(self._context, request, client_address)
        except TooManyClients:
            self._refuse(request, TOO_MANY_CLIENTS)
            return
        with self._connections_changed:
            self._connections[request] = connection
        self._schedule(connection, request, client_address)

    def _schedule(self, connection: Connection, request: Any, client_address: Any) -> None:
        """Have the scheduler serve a connection."""

        def start_thread(serve: Callable[[], None]) -> None:
            self._serve[request] = serve
            socketserver.ThreadingTCPServer.process_request(self, request, client_address)

        try:
            self._scheduler.schedule(connection, start_thread, lambda: self.shutdown_request(request))
        except RuntimeError as problem:  # no thread can be started
            self._no_thread.log(problem)
            self._refuse(request, NO_THREAD_FOR_CLIENT)
        else:
            self._log_recovery()

    def _log_recovery(self) -> None:
        more = self._no_thread.reset()
        if more is not None:
            logger.info("connections are served again; %d were refused", more + 1)

    def _refuse(self, connection: socket.socket, error: ErrorReply) -> None:
        """Send the error without blocking, and close. In RESP as in Redis: the peer's protocol is not known yet."""
        with contextlib.suppress(OSError):  # the peer closed it first
            connection.setblocking(False)
            connection.send(b"-%b\r\n" % error.text)
        self.shutdown_request(connection)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end, in its thread."""
        self._serve.pop(request)()

    def close_request(self, request: Any) -> None:
        """Close a connection, however it ended, and even if no thread could be started for it."""
        with self._connections_changed:
            connection = self._connections.get(request)
        if connection is not None:
            connection.close()
        super().close_request(request)
        self._serve.pop(request, None)  # no thread could be started
        with self._connections_changed:
            self._connections.pop(request, None)
            self._connections_changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log why a connection failed, which is a bug."""
        logger.exception("the connection from %s failed", format_address(client_address))
