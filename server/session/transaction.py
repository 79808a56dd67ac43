"""The transaction of a session: the commands that wait for EXEC, and the keys that EXEC depends on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common.codec import Args
from common.errors import TRANSACTION_TOO_LARGE, CommandError, watch_too_large
from common.limits import Limits, size_of_args
from server.clients.registry import ClientInfo
from server.engines.base import Engine, QueuedCommand
from server.registry import MAX_QUICK_ARGS, Command

WATCH_OVERHEAD = 512
"""Bytes charged per watched key besides its length: an entry in two tables, and a set of its own."""


class Transaction:
    """The commands between MULTI and EXEC."""

    __slots__ = ("dirty", "is_plain", "may_take_long", "queue", "size", "writes")

    def __init__(self) -> None:
        self.queue: list[QueuedCommand] = []
        self.size = 0
        """Bytes that the arguments take. See `common.limits.size_of_args`."""
        self.may_take_long = False
        """Whether its execution could delay other connections."""
        self.writes = False
        """Whether a command in it may change the keyspace."""
        self.is_plain = True
        """Whether an engine can execute the queue as it is: no control command, such as SELECT."""
        self.dirty = False
        """Whether a command was refused, so that EXEC will be refused too (Redis: CLIENT_DIRTY_EXEC)."""

    def add(self, command: Command, args: Args, limits: Limits, *, may_take_long: bool) -> None:
        """Append a command. A dirty transaction only counts it.

        Raises `CommandError` and frees the queue if it takes more than ``limits.max_request`` bytes, or has more
        commands than ``limits.max_args``.
        """
        self.size += size_of_args(args)
        if self.size > limits.max_request or len(self.queue) >= limits.max_args:
            self.queue.clear()
            raise CommandError(TRANSACTION_TOO_LARGE)
        if not self.dirty:
            self.queue.append((command, args))
            self.writes = self.writes or command.writes
            self.is_plain = self.is_plain and command.targets_keyspace
            self.may_take_long = self.may_take_long or may_take_long or len(self.queue) > MAX_QUICK_ARGS


class WatchedKeys:
    """The keys that a client watches, in any number of databases."""

    __slots__ = ("_client", "_engine", "_size", "by_database")

    def __init__(self, engine: Engine[Any], client: ClientInfo) -> None:
        self._engine = engine
        self._client = client
        self._size = 0  # bytes that the keys take, with `WATCH_OVERHEAD` for each
        self.by_database: dict[int, Any] = {}
        """What the engine knows of it, by the number of the database."""

    def add(self, keys: Sequence[bytes], max_size: int) -> None:
        """Watch keys of the selected database too.

        Raises `CommandError`, and then watches none of them, if all take more than ``max_size``.
        """
        index = self._client.database
        database = self._engine.database(index)
        watch = self.by_database.get(index)
        if watch is None:
            watch = database.new_watch()
        added = set(keys).difference(watch.keys)
        size = self._size + sum(map(len, added)) + WATCH_OVERHEAD * len(added)
        if size > max_size:
            raise CommandError(watch_too_large(max_size))
        database.watch(watch, keys)
        self.by_database[index] = watch
        self._size = size
        self._client.call.read_through = True
        self._client.watched_keys += len(added)

    def clear(self) -> None:
        """End the watch on all keys."""
        if self.by_database:
            for index, watch in self.by_database.items():
                if watch.keys:  # EXEC ends it
                    self._engine.database(index).unwatch(watch)
            self.by_database = {}
            self._size = 0
            self._client.call.read_through = False
            self._client.watched_keys = 0
