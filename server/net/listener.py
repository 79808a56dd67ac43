"""Sockets, and nothing else: every connection gets a thread and a session, and bytes go back and forth between them.

No other file of the server knows a socket. Another way of I/O (a few threads that multiplex all sessions, say) replaces
this file alone.

`socketserver` leaves four traps to its users. Its backlog is 5; an accept that fails is tried again at once, so that
a server out of file handles eats a core; threads that are daemons are never joined; and closing a socket with unread
input resets the connection, which can take the last reply with it. Each is met below.

A peer for whom there is no place costs no thread and no read: it is told so as it is accepted, and closed.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from typing import Any

from common.errors import TOO_MANY_CLIENTS
from server.clients.registry import Peer, Push, TooManyClients
from server.net.addresses import format_address, resolve
from server.session.session import Session

RECEIVE_SIZE = 64 * 1024

BACKLOG = 1024
"""How many connections may wait to be accepted. The kernel's own limit (``net.core.somaxconn``) may be lower."""

ACCEPT_PAUSE = 0.05
LONGEST_ACCEPT_PAUSE = 1.0
"""Seconds to wait after an accept that failed; each failure in a row doubles the first, up to the second."""

LINGER = 1.0
LINGER_SIZE = 1024 * 1024
"""How long, and over how many unread bytes, to wait for the peer to take the last reply before the socket closes."""

GRACE = 2.0
"""How many seconds a stopping server waits for running commands and the writing of their replies."""

MOST_PUSHES = 10_000
MOST_PUSHED_BYTES = 16 * 1024 * 1024
"""How much that was pushed may wait for a peer to take it; one that lets more come up is cut off."""

REFUSAL = b"-%b\r\n" % TOO_MANY_CLIENTS.text
"""What a peer is sent for whom there is no place. As in Redis it is RESP, for the peer's dialect is not known yet."""

logger = logging.getLogger(__name__)

NewSession = Callable[[str, str, Peer], Session]
"""Make the session of a connection, by its peer's address, its own, and what reaches it from outside its turn.

Raises `TooManyClients` where there is no place for it.
"""


class Connection:
    """One connection: read, feed the session, write what it returns. Raises `TooManyClients` as it is made."""

    def __init__(self, server: Server, connection: socket.socket, peer_address: Any) -> None:
        self._server = server
        self._socket = connection
        self._address = format_address(peer_address)
        self._is_killed = False
        self._write: Callable[[bytes], None] = connection.sendall
        self._channel: _Channel | None = None
        # The last, for others reach this connection from here on.
        self._session = server.new_session(self._address, format_address(connection.getsockname()), self)

    def serve(self) -> None:
        """Serve the connection until the peer, the session or the server ends it."""
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._converse(self._session)
            if self._session.closing:
                self._linger()
        except OSError as problem:
            logger.debug("%s went away: %s", self._address, problem)

    def close(self) -> None:
        """Give up the connection's place, and what it had begun. Its socket is closed after this."""
        self._session.close()
        if self._channel is not None:
            self._channel.close()

    def _converse(self, session: Session) -> None:
        receive, feed, server = self._socket.recv, session.feed, self._server
        while not (server.stopping or self._is_killed) and (data := receive(RECEIVE_SIZE)):
            output = feed(data)
            while session.pending:
                self._write(output)
                output = feed(b"")
            if output:
                self._write(output)
            if session.closing:
                return

    def open_channel(self) -> Push:
        """Return what sends data outside the session's turn; see `server.clients.registry.Peer`."""
        if self._channel is None:
            self._channel = _Channel(self._socket)
            self._write = self._channel.write
        return self._channel.push

    def kill(self) -> None:
        """End the connection, whatever of its input is still to be read. May be called from any thread."""
        self._is_killed = True
        _shut_down(self._socket)

    def _linger(self) -> None:
        """Tell the peer that this was all, then read off what it had still sent, so that closing does not reset."""
        connection = self._socket
        connection.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + LINGER
        unread = LINGER_SIZE
        while unread > 0 and (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            data = connection.recv(RECEIVE_SIZE)
            if not data:
                break
            unread -= len(data)


class _Channel:
    """What a connection needs once other threads may send on it too: a lock for whole writes, a queue, and a thread.

    The thread begins after the first reply that is written, so that nothing overtakes the reply to the command that
    asked for this.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._writing = threading.Lock()
        self._counting = threading.Lock()
        self._size = 0  # bytes that wait
        self._waiting: queue.Queue[bytes | None] = queue.Queue(MOST_PUSHES)
        self._thread = threading.Thread(target=self._send_until_closed, name="channel", daemon=True)

    def write(self, data: bytes) -> None:
        """Write a reply whole."""
        with self._writing:
            self._connection.sendall(data)
        if self._thread.ident is None:
            self._thread.start()

    def push(self, data: bytes) -> None:
        """Send this when the connection takes it, without waiting; cut off a peer that has let too much come up."""
        try:
            if self._count(len(data)) <= MOST_PUSHED_BYTES:
                self._waiting.put_nowait(data)
                return
        except queue.Full:
            pass
        _shut_down(self._connection)

    def _count(self, size: int) -> int:
        """Count bytes that come up, or negatively those that have gone; return how many wait."""
        with self._counting:
            self._size += size
            return self._size

    def close(self) -> None:
        """End the thread, whatever it waits for."""
        _shut_down(self._connection)
        if self._thread.ident is not None:
            with contextlib.suppress(queue.Full):  # then it has something to fail at
                self._waiting.put_nowait(None)
            self._thread.join()

    def _send_until_closed(self) -> None:
        with contextlib.suppress(OSError):
            while (data := self._waiting.get()) is not None:
                self.write(data)
                self._count(-len(data))


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the peer was quicker
        connection.shutdown(socket.SHUT_RDWR)


class Server(socketserver.ThreadingTCPServer):
    """Listen on one address and serve every connection in a thread of its own.

    ``new_session`` makes a connection's session. Raises `OSError` where the address can't be listened on.
    """

    allow_reuse_address = True
    daemon_threads = True  # a peer that never reads must not keep the process alive: stop() waits, but not for ever
    block_on_close = False
    request_queue_size = BACKLOG

    def __init__(self, host: str, port: int, new_session: NewSession) -> None:
        self.address_family, address = resolve(host, port)
        self.new_session = new_session
        self.stopping = False
        self._stop_asked = threading.Event()
        self._accept_pause = ACCEPT_PAUSE
        self._live: dict[socket.socket, Connection] = {}
        self._live_changed = threading.Condition()
        # Nothing handles requests but `finish_request` below.
        super().__init__(address, socketserver.BaseRequestHandler)
        self.socket.setblocking(False)  # a peer that resets before it is accepted must not block the accept
        self._thread = threading.Thread(target=self.serve_forever, name=f"accept {self.address}", daemon=True)

    @property
    def address(self) -> str:
        """The address as people write it, with the port that was really bound."""
        return format_address(self.socket.getsockname())

    @property
    def port(self) -> int:
        """The port that was really bound."""
        port: int = self.socket.getsockname()[1]
        return port

    def start(self) -> None:
        """Accept connections in a thread of the server's own until ``stop``."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more connections, let running commands finish and be answered, then close what is left."""
        self.stopping = True
        self._stop_asked.set()
        self.shutdown()
        self._thread.join()
        self.server_close()
        self._end_connections(socket.SHUT_RD)  # a thread that waits for input sees its end; one that works goes on
        self._end_connections(socket.SHUT_RDWR)  # a thread that waits for its peer to read fails

    def close(self) -> None:
        """Give up the address of a server that was never started."""
        self.server_close()

    def _end_connections(self, how: int) -> None:
        with self._live_changed:
            for connection in self._live:
                with contextlib.suppress(OSError):  # the peer was quicker
                    connection.shutdown(how)
            self._live_changed.wait_for(lambda: not self._live, GRACE)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; when that fails, pause before `socketserver` tries again."""
        try:
            connection, peer = self.socket.accept()
        except BlockingIOError:
            raise
        except OSError as problem:
            if self._accept_pause == ACCEPT_PAUSE:
                logger.warning("can't accept connections for the moment: %s", problem)
            self._stop_asked.wait(self._accept_pause)
            self._accept_pause = min(2 * self._accept_pause, LONGEST_ACCEPT_PAUSE)
            raise
        self._accept_pause = ACCEPT_PAUSE
        connection.setblocking(True)
        return connection, peer

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, or refuse it where there are too many."""
        try:
            connection = Connection(self, request, client_address)
        except TooManyClients:
            logger.debug("%s was refused: too many clients", format_address(client_address))
            self._refuse(request)
            return
        with self._live_changed:
            self._live[request] = connection
        super().process_request(request, client_address)

    def _refuse(self, connection: socket.socket) -> None:
        """Say why, without waiting for anything, and close."""
        with contextlib.suppress(OSError):  # the peer was quicker
            connection.setblocking(False)
            connection.send(REFUSAL)
        self.shutdown_request(connection)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end."""
        with self._live_changed:
            connection = self._live[request]
        connection.serve()

    def close_request(self, request: Any) -> None:
        """Close a connection, however its thread ended, and if it never had one."""
        with self._live_changed:
            connection = self._live.get(request)
        if connection is not None:
            connection.close()
        super().close_request(request)
        with self._live_changed:
            self._live.pop(request, None)
            self._live_changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what went wrong with a connection: no thread to be had, or a bug."""
        logger.exception("the connection from %s failed", format_address(client_address))
