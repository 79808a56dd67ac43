"""A bounded pool of connections to one server."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import SERVER_STOPPING, backend_timed_out, backend_unavailable
from server.engines.redis.connection import BackendConnection, ConnectionSettings
from server.engines.redis.time_limit import MIN_TIMEOUT, seconds_left

MIN_HOLD_TIME = 1.0
"""Seconds for which a connection is not reclaimed although its holder does not use it.

Enough for WATCH, GET and EXEC of a client with a slow network.
"""


class ConnectionPool:
    """At most ``max_connections`` connections, opened when they are needed. Safe to use from any thread.

    The connection that was used last is reused first, so that connections which are not needed stay idle.
    ``waiting_for`` names in an error what a thread waited for in vain. The bound protects the server, whose
    ``maxclients`` all of its clients share.

    A holder that keeps a connection without using it can make it reclaimable. If all connections are in use or held,
    the one that has been held longest is closed, and its place goes to the thread that waits.
    """

    def __init__(self, settings: ConnectionSettings, max_connections: int, waiting_for: bytes) -> None:
        self._settings = settings
        self._max_connections = max_connections
        self._waiting_for = waiting_for
        self._changed = threading.Condition(threading.Lock())
        self._idle: list[BackendConnection] = []
        self._connections: set[BackendConnection] = set()
        # In the order of the times, on the monotonic clock, after which they may be reclaimed.
        self._reclaimable: OrderedDict[BackendConnection, float] = OrderedDict()
        self._retired = False
        self._closed = False

    @contextmanager
    def connection(self) -> Iterator[BackendConnection]:
        """Acquire a connection for a ``with`` block."""
        connection = self.acquire()  # not in the `try`: a failed `acquire` has released its connection already
        try:
            yield connection
        finally:
            self.release(connection)

    def acquire(self) -> BackendConnection:
        """Return an open connection, which must be released. Raises `CommandError` after `seconds_left`.

        A connection that the server has closed meanwhile is opened again, so that it costs no client an error.
        """
        # Connecting happens without the lock: one slow handshake must not stop requests that have an idle connection.
        connection = self._take()
        try:
            if not connection.is_usable():
                connection.connect()
        # Otherwise each failure would use up one of the pool's places for ever.
        except BaseException:
            self.release(connection)
            raise
        if self._closed:  # while this thread connected, so that `close` did not see the open socket
            connection.disconnect()
        return connection

    def release(self, connection: BackendConnection) -> None:
        """Return a connection to the pool, open or closed."""
        with self._changed:
            if self._retired:
                connection.disconnect()
            # Also if it is closed: it holds a place, and `acquire` opens it again.
            self._idle.append(connection)
            self._changed.notify()

    def make_reclaimable(self, connection: BackendConnection) -> None:
        """Let the pool close an acquired connection, from now on until `take_back`, if another thread needs its place.

        Not before `MIN_HOLD_TIME` is over.
        """
        with self._changed:
            self._reclaimable[connection] = time.monotonic() + MIN_HOLD_TIME

    def take_back(self, connection: BackendConnection) -> bool:
        """Use the connection again. Return False if it was reclaimed, and then it must not be released."""
        with self._changed:
            return self._reclaimable.pop(connection, None) is not None

    def retire(self) -> None:
        """Close idle connections now, and the others when they are released. The server is not used any more."""
        # Threads that took this node from an older slot table may go on using it, so it is not closed.
        with self._changed:
            self._retired = True
            for connection in self._idle:
                connection.disconnect()

    def close(self) -> None:
        """Refuse every further `acquire`, and close all connections, those in use included."""
        with self._changed:
            self._closed = True
            connections = list(self._connections)
            # Threads that wait in `_take` fail now rather than at their deadline.
            self._changed.notify_all()
        for connection in connections:  # in use or not: it wakes the thread that waits for a reply
            connection.disconnect()

    def _take(self) -> BackendConnection:
        """Return a connection that no other thread uses, open or not."""
        with self._changed:
            # In a loop, because another thread may take the released connection before this one wakes up.
            while True:
                if self._closed:
                    raise backend_unavailable(SERVER_STOPPING)
                if self._idle:
                    return self._idle.pop()  # the last one used
                if len(self._connections) < self._max_connections:
                    connection = BackendConnection(self._settings)
                    self._connections.add(connection)
                    return connection
                now = time.monotonic()
                # What is made reclaimable while this thread waits is not reclaimed before that time either.
                reclaimable_at = next(iter(self._reclaimable.values()), now + MIN_HOLD_TIME)
                if reclaimable_at <= now:
                    self._reclaim()
                    continue
                left = seconds_left()
                if left <= MIN_TIMEOUT:  # `seconds_left` returns no less when the time is over
                    raise backend_timed_out(self._waiting_for)
                self._changed.wait(min(left, reclaimable_at - now))

    def _reclaim(self) -> None:
        """Close the connection that has been held longest. The caller holds the lock."""
        # Its place is free, but the object is not used again: its holder must not find it open.
        connection, _ = self._reclaimable.popitem(last=False)
        self._connections.remove(connection)
        connection.disconnect()
