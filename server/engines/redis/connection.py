"""Connections to a backing Redis: redis-py's own, with replies kept as they came, and waits that end with the request.

redis-py opens the sockets, does TLS, logs in, selects the database and pools the connections. Three things are ours:

- `ReplyParser` decodes with `common.resp_client`, because redis-py's parsers do not tell ``+OK`` from ``$2 OK``, and
  take the code off a refusal's text.
- Every wait lasts for what the request has left (`time_limit`), where redis-py would give each the whole time anew.
- Nothing is sent twice. Where a reply did not come, nobody knows whether the command ran, and the error says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from queue import Empty, LifoQueue
from typing import Any

import redis.exceptions as redis_errors
from redis.backoff import NoBackoff
from redis.connection import (
    AbstractConnection,
    BlockingConnectionPool,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.retry import Retry

from common.codec import Args
from common.errors import CommandError, backend_timed_out, backend_unavailable
from common.replies import ErrorReply, Reply
from common.resp_client import encode_request
from server.engines.redis.reply_parser import CLOSED, ReplyParser, exception_of, limit_waits
from server.engines.redis.time_limit import SHORTEST, seconds_left

MOST_WATCHES = 50
"""How many sessions may watch keys of one server at once: each needs a connection of its own from WATCH to EXEC."""

LOOK_UP = 0.2
"""Seconds after which who waits for a connection looks whether there will be any more."""

OUTCOME_UNKNOWN = b"; whether the command ran is unknown"

Pool = BlockingConnectionPool
Requests = Sequence[Args]


# ---------------------------------------------------------------- connections


class ConnectFailed(redis_errors.ConnectionError):
    """No connection could be made, so nothing was sent."""


class ConnectTimedOut(redis_errors.TimeoutError):
    """No connection could be made in time, so nothing was sent."""


class BackendConnection(AbstractConnection):
    """What a connection of any kind does otherwise than redis-py's."""

    _parser: ReplyParser

    @property
    def socket_timeout(self) -> float:
        """How long redis-py may wait for the socket: for what the request has left."""
        return seconds_left()

    @socket_timeout.setter
    def socket_timeout(self, _: object) -> None:
        """Leave what redis-py would set to `time_limit`."""

    @property
    def socket_connect_timeout(self) -> float:
        """How long redis-py may wait for a connection."""
        return seconds_left()

    @socket_connect_timeout.setter
    def socket_connect_timeout(self, _: object) -> None:
        """Leave what redis-py would set to `time_limit`."""

    def set_parser(self, _: object) -> None:
        """Use our own parser, whichever redis-py would have."""
        super().set_parser(ReplyParser)

    def connect(self) -> None:
        """Connect and log in, if that is still to be done. Raises `ConnectFailed` and `ConnectTimedOut`."""
        try:
            super().connect()
        except redis_errors.TimeoutError as problem:
            raise ConnectTimedOut("connecting") from problem
        except redis_errors.RedisError as problem:
            raise ConnectFailed(_reason(problem).decode(errors="replace")) from problem

    def on_connect(self) -> None:
        """Log in as redis-py does; then agree on RESP3, in which a map is told from a list, if the server knows it."""
        super().on_connect()
        self.exchange([[b"HELLO", b"3"]])

    def exchange(self, requests: Requests) -> list[Reply]:
        """Send requests in one go and return their replies as they came, refusals too.

        Raises redis-py's errors, and closes the connection then: a reply that comes later must not be taken for
        another's. Never connects anew, for what the connection stood for (a watch, say) would be gone.
        """
        if not self._sock:
            raise redis_errors.ConnectionError(CLOSED)
        try:
            limit_waits(self._sock, seconds_left())
            self.send_packed_command([b"".join(map(encode_request, requests))], check_health=False)
            return [self._parser.read_reply() for _ in requests]
        except BaseException:
            self.disconnect()
            raise

    def receive(self) -> Reply:
        """Return what the server sends of its own accord. Raises redis-py's errors; may be tried again."""
        return self._parser.read_reply()

    def is_usable(self) -> bool:
        """Tell, without waiting, whether the other end has not closed, as far as is known here."""
        try:
            return self._sock is not None and not self._parser.can_read()
        except redis_errors.ConnectionError:
            return False


class TcpConnection(BackendConnection, Connection):
    """A connection by ``redis://``."""


class TlsConnection(BackendConnection, SSLConnection):
    """A connection by ``rediss://``."""


class UnixConnection(BackendConnection, UnixDomainSocketConnection):
    """A connection by ``unix://``."""


KINDS: dict[type, type] = {
    Connection: TcpConnection,
    SSLConnection: TlsConnection,
    UnixDomainSocketConnection: UnixConnection,
}
"""Our connections by redis-py's, which its URLs name."""


# ---------------------------------------------------------------- pools


class RequestQueue(LifoQueue[Any]):
    """Where a pool keeps its connections: who waits, waits as long as the request may, and is told for what."""

    busy = b"waiting for one of its %d connections"
    is_closed = False

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take a connection. Raises `CommandError`."""
        while not self.is_closed:
            try:
                connection = super().get(block, min(seconds_left(), LOOK_UP))
            except Empty:
                if seconds_left() <= SHORTEST:
                    raise backend_timed_out(self.busy % self.maxsize) from None
                continue
            if not self.is_closed:
                return connection
            self.put_nowait(connection)  # for the next who waits, to whom the same is said
        raise backend_unavailable(b"the server is stopping")


class WatchQueue(RequestQueue):
    """The same for sessions that watch keys, each of which keeps its connection until it watches no more."""

    busy = b"waiting for one of the %d connections that sessions with a WATCH may hold"


def new_pool(settings: dict[str, Any], size: int, queue_class: type[RequestQueue] = RequestQueue) -> Pool:
    """Make a pool of at most ``size`` connections, none of them open yet."""
    ours = {
        "retry": Retry(NoBackoff(), 0),  # a request that may have run must not be sent again
        "protocol": 2,  # RESP3 comes by our own HELLO, for redis-py's would come with a parser of its own
        "redis_connect_func": BackendConnection.on_connect,
    }
    return Pool(max_connections=size, queue_class=queue_class, **settings | ours)


def close_pool(pool: Pool) -> None:
    """Give no connection away any more, and close those that there are, whoever waits on one."""
    pool.pool.is_closed = True
    pool.disconnect()


def watch_pool(like: Any) -> Pool:
    """Make the pool for the watches of the server that another pool leads to."""
    settings = {**like.connection_kwargs, "connection_class": like.connection_class}
    return new_pool(settings, MOST_WATCHES, WatchQueue)


class Node:
    """One backing Redis server."""

    def __init__(self, pool: Any, watches: Pool) -> None:
        self.pool = pool
        self.watches = watches
        self.database: int = pool.connection_kwargs.get("db", 0)

    def exchange(self, requests: Requests, *, writes: bool = False) -> list[Reply]:
        """Send requests on a connection that is free and return the replies, refusals too. Raises `CommandError`.

        ``writes`` says that it matters whether they ran, where that can't be known.
        """
        with explained(writes=writes):
            connection = self.pool.get_connection()
            try:
                replies: list[Reply] = connection.exchange(requests)
                return replies
            finally:
                self.pool.release(connection)

    def new_connection(self) -> BackendConnection:
        """Make a connection that is in no pool, and not open yet."""
        connection: BackendConnection = self.pool.connection_class(**self.pool.connection_kwargs)
        return connection

    def close(self) -> None:
        """Close every connection, those that are in use too."""
        close_pool(self.pool)
        close_pool(self.watches)

    def ask(self, request: Args, *, writes: bool = False) -> Reply:
        """Send one request and return its reply. Raises `CommandError`, for a refusal too."""
        return checked(self.exchange([request], writes=writes)[0])


# ---------------------------------------------------------------- errors


def checked(reply: Reply) -> Reply:
    """Return a reply that is no refusal. Raises `CommandError` for one that is."""
    if isinstance(reply, ErrorReply):
        raise refusal(reply)
    return reply


def refusal(error: ErrorReply) -> CommandError:
    """Return what to raise for a server's refusal: its own text, unless it serves nobody at present."""
    serves_nobody = error.text.startswith((b"LOADING ", b"NOAUTH "))
    return backend_unavailable(_reason(exception_of(error))) if serves_nobody else CommandError(error)


class explained:  # noqa: N801 - as `time_limit.within`
    """Raise what redis-py raises inside as `CommandError`: ``writes`` says that it matters whether a command ran."""

    __slots__ = ("_writes",)

    def __init__(self, *, writes: bool) -> None:
        self._writes = writes

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _: object, problem: BaseException | None, __: object) -> None:
        if isinstance(problem, redis_errors.RedisError | redis_errors.RedisClusterException):
            raise _explain(problem, writes=self._writes) from problem


def _explain(problem: BaseException, *, writes: bool) -> CommandError:
    reply = getattr(problem, "reply", None)
    if isinstance(problem, redis_errors.ResponseError) and reply is not None:
        return CommandError(reply)
    if isinstance(problem, redis_errors.RedisClusterException):
        return _explain_cluster(problem, writes=writes)
    was_sent = reply is None and not isinstance(problem, ConnectFailed | ConnectTimedOut)
    outcome = OUTCOME_UNKNOWN if writes and was_sent else b""
    if isinstance(problem, redis_errors.TimeoutError):
        return backend_timed_out((b"waiting for its reply" if was_sent else b"connecting to it") + outcome)
    return backend_unavailable(_reason(problem) + outcome)


def _explain_cluster(problem: redis_errors.RedisClusterException, *, writes: bool) -> CommandError:
    """Say what went wrong before redis-py went looking for the cluster's nodes and found none."""
    original = problem.__context__ or problem.__cause__
    if isinstance(original, redis_errors.ConnectionError | redis_errors.TimeoutError):
        return _explain(original, writes=writes)
    return backend_unavailable(_reason(original or problem))


def _reason(problem: BaseException) -> bytes:
    """Return a problem's text on one line: the server's own where it sent one."""
    reply = getattr(problem, "reply", None)
    text = reply.text if isinstance(reply, ErrorReply) else str(problem).encode(errors="replace")
    return b" ".join(text.split()).removesuffix(b".")
