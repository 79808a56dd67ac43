"""Server-assisted invalidation: the backing Redis reports changed keys, and the cache invalidates them.

A thread holds one connection on which it has sent ``CLIENT TRACKING ON BCAST`` (Redis 6 or newer). Writes of other
clients of the backing server are reported there too, so a stale entry lives no longer than the message takes to arrive.

While that connection is down, changes are not reported. The cache is bypassed then, and it is empty when it is used
again.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress

from common.errors import CommandError
from common.replies import Reply
from server.engines.redis.cache import ReadThroughCache
from server.engines.redis.connection import BackendConnection
from server.engines.redis.replies import raise_for_error
from server.engines.redis.time_limit import time_limit
from server.stderr_log import RepeatedMessage

CHECK_INTERVAL = 1.0
"""Seconds of silence after which a PING checks the connection. A network can lose it without closing it."""

RETRY_INTERVAL = 0.5
"""Seconds between two attempts to connect."""

SHUTDOWN_TIMEOUT = 1.0
"""Seconds to wait for the end of the thread."""

logger = logging.getLogger(__name__)
_failed = RepeatedMessage(logger, logging.ERROR, "cache bypassed (tracking failed unexpectedly, and goes on)")


class Tracking:
    """Keep a cache consistent with a backing Redis. ``timeout`` is in seconds, for connecting and for each PING."""

    def __init__(self, connection: BackendConnection, cache: ReadThroughCache, timeout: float) -> None:
        self._connection = connection
        self._cache = cache
        self._timeout = timeout
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cache tracking", daemon=True)
        self.connected = False
        """Whether changes are being reported. If not, nothing may be read from the cache."""

    def start(self) -> None:
        """Start the thread, which connects."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        # In this order: the thread, which this wakes, must find `_stop` set, or it would connect again.
        self._stop.set()
        self._connection.disconnect()
        self._thread.join(SHUTDOWN_TIMEOUT)

    def _run(self) -> None:
        logged = False  # whether this outage has been logged, because an attempt every half second would fill the log
        while not self._stop.is_set():
            try:
                self._follow()
            except CommandError as problem:
                if self.connected:
                    logged = False
                if not logged and not self._stop.is_set():
                    reason = problem.reply.text.decode(errors="replace")
                    logger.warning("cache bypassed (tracking is not connected): %s", reason)
                    logged = True
            except Exception as problem:  # the cache must not be read any more
                _failed.log(exc_info=problem)
            # In this order: a reader that saw the old state may store an entry after the clear, but nothing reads it.
            self.connected = False
            self._cache.clear()
            self._connection.disconnect()
            self._stop.wait(RETRY_INTERVAL)

    def _follow(self) -> None:
        """Invalidate what the server reports until the connection is lost. Raises `CommandError`."""
        with time_limit(self._timeout):
            self._connection.connect()
            # BCAST reports every changed key. The default mode reports only keys that the same connection has read, but
            # reads are sent on the connections of a pool. The reports need RESP3, which the login has requested.
            for reply in self._connection.send_all([[b"CLIENT", b"TRACKING", b"ON", b"BCAST"]]):
                raise_for_error(reply)
        # A reader that saw the previous connection still connected may have stored an entry since the last clear.
        self._cache.clear()
        self.connected = True
        while True:
            self._process(self._next_message())

    def _next_message(self) -> Reply:
        """Return the next message. After a long silence, send a PING and return what arrives then."""
        with suppress(TimeoutError), time_limit(CHECK_INTERVAL):
            return self._connection.receive()
        # A report may arrive before the PONG. Then that is returned now and the PONG later. `_process` ignores PONGs.
        with time_limit(self._timeout):
            return self._connection.send_all([[b"PING"]])[0]

    def _process(self, message: Reply) -> None:
        match message:
            case [b"invalidate", list(keys)]:
                self._cache.invalidate(key for key in keys if isinstance(key, bytes))
            case [b"invalidate", None]:  # FLUSHALL or FLUSHDB
                self._cache.clear()
