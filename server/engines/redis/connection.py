"""A connection to a backing Redis: login, requests and replies, on a socket that redis-py opens.

Three rules hold for every request:

- All waits together end with the request's deadline (`time_limit`).
- Nothing is sent twice. If a reply did not arrive, it is unknown whether the command ran, and the error of a write
  says so.
- A connection with an outstanding reply is closed. That reply would be taken for the reply to the next client's
  request.
"""

from __future__ import annotations

import errno
import select
import socket
import ssl
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from common.codec import Args
from common.errors import (
    AUTH_REFUSED,
    CONNECTING,
    CONNECTION_CLOSED,
    EXEC_ABORTED,
    NO_PASSWORD,
    WAITING_FOR_REPLY,
    backend_timed_out,
    backend_unavailable,
    not_a_redis_reply,
)
from common.replies import OK, ErrorReply, Reply
from common.resp_client import MalformedReply, ReplyDecoder, encode_request
from server.engines.redis.redis_py_adapter import RedisSocket, SocketSettings
from server.engines.redis.replies import one_line, unexpected_reply
from server.engines.redis.time_limit import seconds_left

Requests = Sequence[Args]

RECEIVE_SIZE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Login:
    """What is sent first on every new connection.

    A user name without a password is an AUTH with an empty one, as in redis-py. ``password`` stays out of ``repr``,
    because that may appear in a log.
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    client_name: str | None = None
    database: int = 0


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """How to connect to a server, and how to log in."""

    socket: SocketSettings = field(repr=False)  # may contain ssl_password
    login: Login = field(default_factory=Login)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port. Of no use for a Unix socket."""
        return self.socket.get("host", "localhost"), self.socket.get("port", 6379)

    def at(self, host: str, port: int) -> ConnectionSettings:
        """Return the same settings for another server, such as a node of a cluster."""
        return replace(self, socket={**self.socket, "host": host, "port": port})


class BackendConnection:
    """One connection, which can be opened again after it has closed. Used by one thread at a time.

    Only `disconnect` may be called by another thread meanwhile.
    """

    def __init__(self, settings: ConnectionSettings) -> None:
        self._redis_socket = RedisSocket(settings.socket)
        self._login_settings = settings.login
        self._socket: socket.socket | None = None
        self._is_readable: Callable[[], bool] = bool
        self._decoder = ReplyDecoder()
        self._replies: deque[Reply] = deque()

    def connect(self) -> None:
        """Open the connection and log in. Raises `CommandError` if the server is down, too slow, or refuses it."""
        # redis-py returns the socket that it has, if it has one, although the server may have closed it.
        self.disconnect()
        try:
            self._socket = self._redis_socket.open()
            self._is_readable = _readability_test(self._socket)
            self._log_in(self._login_settings)
        # Before OSError, of which it is a subclass: a time-out is an error of another kind.
        except TimeoutError:
            self.disconnect()
            raise backend_timed_out(CONNECTING) from None
        except OSError as problem:
            self.disconnect()
            raise backend_unavailable(_reason(problem)) from problem
        # A refused login (CommandError), or SystemExit. A connection that is half logged in must not be used.
        except BaseException:
            self.disconnect()
            raise

    def disconnect(self) -> None:
        """Close the connection. May be called from any thread, and wakes a thread that waits for a reply."""
        # First, so that the owning thread, once its wait has failed, does not use the closed socket again.
        self._socket = None
        self._redis_socket.close()
        # What was read belongs to the old connection, perhaps the first half of a reply.
        self._decoder = ReplyDecoder()
        self._replies = deque()

    def is_usable(self) -> bool:
        """Return, without waiting, whether the connection is open and nothing unsolicited has arrived on it.

        Readable without a request means that the server has closed the connection.
        """
        # The server closes idle connections (`timeout`, CLIENT KILL, a restart). Without this check the next request
        # would fail, and a write could not be sent again, because it might have run.
        return self._socket is not None and not self._replies and not self._is_readable()

    def send_all(self, requests: Requests, *, writes: bool = False) -> list[Reply]:
        """Send requests in one write and return their replies, errors included.

        Raises `CommandError` if a reply is missing, and closes the connection. With ``writes`` the error says that it
        is unknown whether the commands ran. Never connects again, because that would lose a WATCH.
        """
        try:
            return self._exchange(requests)
        except TimeoutError:
            self.disconnect()
            raise backend_timed_out(WAITING_FOR_REPLY, outcome_unknown=writes) from None
        except OSError as problem:
            self.disconnect()
            raise backend_unavailable(_reason(problem), outcome_unknown=writes) from problem
        # Replies are outstanding, as in the two cases above. See the third rule of this module.
        except BaseException:
            self.disconnect()
            raise

    def run_transaction(self, commands: Requests, *, asking: bool) -> list[Reply]:
        """Run commands between MULTI and EXEC. Return the replies to MULTI, the commands and EXEC, errors included.

        With ``asking`` the server runs them although it is still importing the keys' slot. If it refuses MULTI, no
        command is sent, and EXEC's reply is the one that follows a command that cannot be queued.
        Raises `CommandError` as `send_all` does. Its text says whether it is unknown if the commands ran.
        """
        # In a write of its own, although that costs a round trip: after a MULTI that is refused (an ACL can do that at
        # any time), the server would run the commands one by one.
        begun = self.send_all(with_asking([[b"MULTI"]], asking))[-1]
        if begun != OK:
            self.disconnect()  # no EXEC will end a watch that this connection may have
            if isinstance(begun, ErrorReply):
                return [begun, EXEC_ABORTED]
            raise unexpected_reply(begun)
        replies = self.send_all([*commands, [b"EXEC"]], writes=True)
        ended = replies[-1]
        if isinstance(ended, ErrorReply) and ended.code != EXEC_ABORTED.code:
            self.disconnect()  # Redis 6.0 stays in MULTI if an ACL refuses EXEC, and would queue the next request
        return [begun, *replies]

    def receive(self) -> Reply:
        """Return the next message that the server sends without a request.

        Raises TimeoutError, after which the connection can still be used, and `CommandError` if it is closed.
        """
        try:
            return self._next_reply()
        # A time-out is no failure here: nothing is outstanding, and half a message stays in the decoder.
        except TimeoutError:
            raise
        except OSError as problem:
            self.disconnect()
            raise backend_unavailable(_reason(problem)) from problem

    # ---------------------------------------------------------------- login

    def _log_in(self, login: Login) -> None:
        """Send the whole login in one write. Raises `CommandError` for the first command that the server refuses."""
        requests = _login_requests(login)
        # HELLO is the last one, because without AUTH before it a server with a password refuses it. RESP3 has the types
        # that RESP2 cannot express, and lets invalidation messages arrive on the connection that asked for them.
        # Redis 5 and older do not have HELLO. Their error is ignored, and replies stay in RESP2.
        *replies, _ = self._exchange([*requests, [b"HELLO", b"3"]])
        for request, reply in zip(requests, replies, strict=True):
            if not isinstance(reply, ErrorReply):
                continue
            if reply.code == b"ERR" and login.username is not None and reply is replies[0]:
                # Redis 5 and older refuse AUTH with a user name. A wrong password has the code WRONGPASS.
                self._log_in(replace(login, username=None))
                return
            raise backend_unavailable(_login_refusal(request, reply))

    # ---------------------------------------------------------------- input and output

    def _exchange(self, requests: Requests) -> list[Reply]:
        """Send requests and return their replies. Raises OSError, of which TimeoutError is a subclass."""
        opened = self._open_socket()
        _limit_waits(opened, seconds_left())
        opened.sendall(b"".join(map(encode_request, requests)))
        # All is written before anything is read, which does not deadlock: Redis reads on although its replies are
        # not read, and keeps them in an output buffer.
        return [self._next_reply() for _ in requests]

    def _next_reply(self) -> Reply:
        replies = self._replies
        while not replies:
            self._receive()
        return replies.popleft()

    def _receive(self) -> None:
        opened = self._open_socket()
        # Each time again: the timeout of a socket is per call, and a slow server could send a byte for each of them.
        _limit_waits(opened, seconds_left())
        data = opened.recv(RECEIVE_SIZE)
        if not data:  # closed by the server, or by `disconnect` in another thread
            raise ConnectionError(CONNECTION_CLOSED.decode())
        try:
            self._replies.extend(self._decoder.feed(data))
        # Not a Redis. The beginning of the next reply is unknown, so the connection is of no more use.
        except MalformedReply as problem:
            raise ConnectionError(not_a_redis_reply(str(problem)).decode()) from problem

    def _open_socket(self) -> socket.socket:
        opened = self._socket
        if opened is None:  # never opened, or closed by another thread because the server stops
            raise ConnectionError(CONNECTION_CLOSED.decode())
        return opened


def with_asking(requests: Requests, asking: bool) -> Requests:
    """Return requests that a node accepts while it imports the slot of their keys, if ``asking``.

    ASKING sets a flag of the connection that lasts for one command or one transaction (Redis Cluster specification). So
    the requests must follow it on the same connection.
    """
    return [[b"ASKING"], *requests] if asking else requests


def _login_requests(login: Login) -> list[Args]:
    requests: list[Args] = []
    if login.username is not None:
        requests.append([b"AUTH", login.username.encode(), (login.password or "").encode()])
    elif login.password is not None:
        requests.append([b"AUTH", login.password.encode()])
    if login.client_name is not None:
        requests.append([b"CLIENT", b"SETNAME", login.client_name.encode()])
    if login.database:
        requests.append([b"SELECT", b"%d" % login.database])
    return requests


def _login_refusal(request: Args, error: ErrorReply) -> bytes:
    """Return the text of an error, without what may be the password."""
    # A server that does not have AUTH (renamed, or not a Redis) repeats its arguments: "unknown command 'AUTH', with
    # args beginning with: ...". Errors with other codes, such as WRONGPASS, repeat nothing.
    if request[0] == b"AUTH" and error.code == b"ERR" and error != NO_PASSWORD:
        return AUTH_REFUSED
    return one_line(error.text)


def _readability_test(opened: socket.socket) -> Callable[[], bool]:
    """Return a function that reports whether ``recv`` would return at once."""
    # TLS decrypts a record at a time, so data may wait in the SSL object while the socket is not readable.
    if isinstance(opened, ssl.SSLSocket):
        return lambda: _tls_is_readable(opened)
    if sys.platform == "win32":
        return lambda: bool(select.select([opened], [], [], 0)[0])
    poll = select.poll()  # one system call a test, and unlike select() without a limit on the file descriptor
    poll.register(opened, select.POLLIN)
    return lambda: bool(poll.poll(0))


def _tls_is_readable(opened: ssl.SSLSocket) -> bool:
    """Report whether application data or the end has arrived. Bytes on the wire may be a session ticket only."""
    opened.settimeout(0)  # `_limit_waits` sets it again before the next request
    try:
        opened.recv(1)  # the byte is lost, but then the connection is not used again
    except ssl.SSLWantReadError:
        return False
    except OSError:
        return True
    return True


def _limit_waits(opened: socket.socket, seconds: float) -> None:
    """Set the timeout of a socket to ``seconds``, or up to 5 % more if that saves the system call."""
    # The first request sets 2 % more than it has left. The next one has about the same time left, so it keeps that.
    limit = opened.gettimeout()
    if limit is None or not seconds <= limit <= seconds * 1.05:
        opened.settimeout(seconds * 1.02)


def _reason(problem: OSError) -> bytes:
    if problem.errno == errno.EBADF:  # closed by `disconnect` in another thread, between two calls of this one
        return CONNECTION_CLOSED
    return one_line((problem.strerror or str(problem)).encode(errors="replace"))
