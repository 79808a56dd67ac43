"""Server-assisted invalidation: the backing Redis tells which keys have changed, and the cache forgets them.

A thread holds one connection on which it has asked for that (``CLIENT TRACKING ON BCAST``, Redis 6 or newer), so that
what others write on the backing server is seen too. Between a write there and the cache's forgetting lies only the way
of the message. While there is no such connection nothing may come from the cache: it is passed by, and begins empty
when the connection is back.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress

import redis.exceptions as redis_errors

from common.errors import CommandError
from common.replies import Reply
from server.engines.redis.cache import ReadThroughCache
from server.engines.redis.connection import BackendConnection, checked, explained
from server.engines.redis.time_limit import within

CHECK_INTERVAL = 1.0
"""Seconds of silence after which the server is asked whether it is still there: a connection can go without a word."""

RETRY_PAUSE = 0.5
"""Seconds between two attempts to connect."""

GRACE = 1.0
"""Seconds to wait for the thread's end."""

logger = logging.getLogger(__name__)


class Tracking:
    """Keep a cache true to a backing Redis. ``limit`` is how many seconds the server may take for an answer."""

    def __init__(self, connection: BackendConnection, cache: ReadThroughCache, limit: float) -> None:
        self._connection = connection
        self._cache = cache
        self._limit = limit
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cache tracking", daemon=True)
        self.is_live = False
        """Whether the cache may be read."""

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._connection.disconnect()
        self._thread.join(GRACE)

    def _run(self) -> None:
        told = False
        while not self._stop.is_set():
            try:
                self._follow()
            except CommandError as problem:
                if not (told or self._stop.is_set()):
                    logger.warning("the cache is passed by: %s", problem.reply.text.decode(errors="replace"))
            told = not self.is_live
            self.is_live = False
            self._cache.clear()
            self._connection.disconnect()
            self._stop.wait(RETRY_PAUSE)

    def _follow(self) -> None:
        """Pass on what the server tells until the connection breaks. Raises `CommandError`."""
        with explained(writes=False):
            with within(self._limit):
                self._connection.connect()
                for reply in self._connection.exchange([[b"CLIENT", b"TRACKING", b"ON", b"BCAST"]]):
                    checked(reply)
            self._cache.clear()  # of what a reader has put there who had seen it live before
            self.is_live = True
            while True:
                self._take(self._next())

    def _next(self) -> Reply:
        """Return the next message; let the server show that it is alive when it has been silent for long."""
        with suppress(redis_errors.TimeoutError), within(CHECK_INTERVAL):
            return self._connection.receive()
        with within(self._limit):
            self._connection.send_command("PING", check_health=False)
            return self._connection.receive()

    def _take(self, message: Reply) -> None:
        match message:
            case [b"invalidate", list(keys)]:
                self._cache.drop(key for key in keys if isinstance(key, bytes))
            case [b"invalidate", None]:  # everything was flushed
                self._cache.clear()
