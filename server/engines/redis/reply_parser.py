"""Replies of a backing Redis, kept as they came: what redis-py's connections use in the place of its own parsers."""

from __future__ import annotations

import select
import ssl
from collections import deque
from typing import Any

import redis.exceptions as redis_errors

from common.replies import ErrorReply, Reply, SimpleString
from common.resp_client import MalformedReply, ReplyDecoder
from server.engines.redis.time_limit import seconds_left

CLOSED = "the connection was closed"

_EXCEPTIONS: dict[bytes, type[redis_errors.RedisError]] = {
    b"ASK": redis_errors.AskError,
    b"CLUSTERDOWN": redis_errors.ClusterDownError,
    b"LOADING": redis_errors.BusyLoadingError,
    b"MOVED": redis_errors.MovedError,
    b"NOAUTH": redis_errors.AuthenticationError,
    b"TRYAGAIN": redis_errors.TryAgainError,
    b"WRONGPASS": redis_errors.AuthenticationError,
}
"""What redis-py has to recognise to log in, and to find its way in a cluster."""


def exception_of(error: ErrorReply) -> redis_errors.RedisError:
    """Return redis-py's exception for a refusal; it carries the refusal as its ``reply``."""
    code, _, rest = error.text.partition(b" ")
    kind = _EXCEPTIONS.get(code, redis_errors.ResponseError)
    text = rest if code in _EXCEPTIONS else error.text
    problem = kind(text.decode(errors="replace"))
    problem.reply = error  # type: ignore[attr-defined]
    return problem


class StatusText(bytes):
    """A status as redis-py wants it: bytes, but of a kind that tells it from a value."""


class ReplyParser:
    """Read replies off one connection's socket. redis-py makes it and drives it like its own parsers."""

    _poll: select.poll | None

    def __init__(self, socket_read_size: int) -> None:
        self._size = socket_read_size
        self.on_disconnect()

    def on_connect(self, connection: Any) -> None:
        """Begin with a new connection, by the socket that redis-py's own parsers read too."""
        self._socket: Any = connection._sock
        if not isinstance(self._socket, ssl.SSLSocket):  # which may have read more than it has handed on
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            self._poll = poll

    def on_disconnect(self) -> None:
        """Forget the connection, and what had come of a reply."""
        self._socket = None
        self._poll = None
        self._decoder = ReplyDecoder()
        self._replies: deque[Reply] = deque()

    def can_read(self, timeout: float = 0) -> bool:
        """Tell whether something has come that nobody asked for. Raises redis-py's ConnectionError at the end."""
        if not self._replies:
            if self._poll is not None and not self._poll.poll(timeout * 1000):
                return False
            try:
                self._receive(timeout)
            except (BlockingIOError, redis_errors.TimeoutError):
                return False
        return True

    def read_reply(self) -> Reply:
        """Return the next reply as it came. Raises redis-py's ConnectionError and TimeoutError."""
        while not self._replies:
            self._receive(seconds_left())
        return self._replies.popleft()

    def read_response(self, disable_decoding: bool = False, **_: Any) -> Any:
        """Return the next reply in redis-py's way; within arrays, statuses and errors stay as they came."""
        reply = self.read_reply()
        if isinstance(reply, SimpleString):
            return StatusText(reply.text)
        if not isinstance(reply, ErrorReply):
            return reply
        problem = exception_of(reply)
        if isinstance(problem, redis_errors.ConnectionError):
            raise problem
        return problem  # redis-py raises it, and keeps the connection

    def _receive(self, timeout: float) -> None:
        socket = self._socket
        if socket is None:  # another thread has closed it, since the server stops
            raise redis_errors.ConnectionError(CLOSED)
        try:
            limit_waits(socket, timeout)
            data = socket.recv(self._size)
        except (BlockingIOError, ssl.SSLWantReadError):
            raise BlockingIOError from None
        except TimeoutError:
            raise redis_errors.TimeoutError("waiting for its reply") from None
        except OSError as problem:
            raise redis_errors.ConnectionError(problem.strerror or str(problem)) from problem
        if not data:
            raise redis_errors.ConnectionError(CLOSED)
        try:
            self._replies.extend(self._decoder.feed(data))
        except MalformedReply as problem:
            raise redis_errors.ConnectionError(f"what came is no Redis's reply: {problem}") from problem


def limit_waits(socket: Any, seconds: float) -> None:
    """Let the socket wait no longer than that, or at most a twentieth more where that saves the system call."""
    limit = socket.gettimeout()
    if limit is None or not seconds <= limit <= seconds * 1.05:
        socket.settimeout(seconds * 1.02)
