"""The cache policy: which reads are served from the cache, and which writes invalidate it.

`CachedReads` is an `Engine` in front of another one:

    session -> CachedReads -> RedisEngine -> backing Redis
                   |
            ReadThroughCache <- Tracking (optional): invalidates what other clients of the backing Redis change

A read is served from the cache if all of this is true:

- The command is in `CACHEABLE`.
- The call does not ask to read through. A session that watches keys does, because it is about to compare and set what
  it reads, and the backing server must see both.
- Tracking is connected, if it is used. Otherwise changes on the backing server go unnoticed.

Every write invalidates its keys before its reply is sent, whether it succeeded or not: after a timeout it is unknown
whether it ran.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from time import perf_counter_ns
from typing import Protocol

from common.codec import Args
from common.limits import Limits
from common.replies import Reply
from server.engines.base import (
    WOULD_BLOCK,
    CacheLookup,
    CallContext,
    Database,
    Engine,
    InfoSection,
    KeyCounts,
    Persistence,
    QueuedCommand,
    TransactionPart,
    WouldBlock,
)
from server.engines.redis.cache import ReadThroughCache
from server.engines.redis.tracking import Tracking
from server.engines.redis.transactions import BackendWatch
from server.keyspace.databases import DatabasesObserver
from server.registry import Command

CACHEABLE = frozenset({b"GET"})
"""Commands whose replies are cached. Each reads one key, its only argument, and nothing else.

`CachedReads` takes ``args[1]`` for the key, and the cache has one value per key, so a second command would need more.
"""


MISS = CacheLookup(None)


class DatabaseEngine(Engine[BackendWatch], Database[BackendWatch], Protocol):
    """An engine whose only database is itself."""


class CachedReads:
    """Serve cacheable reads from a cache, and pass everything else on to ``engine``."""

    waits_for_io = True
    persistence: Persistence | None = None

    def __init__(self, engine: DatabaseEngine, cache: ReadThroughCache, tracking: Tracking | None = None) -> None:
        self._engine = engine
        self.forwards = engine.forwards
        self._cache = cache
        self._tracking = tracking

    def database(self, index: int) -> CachedReads:
        """Return this engine for database 0. Raises `CommandError` for any other one."""
        self._engine.database(index)
        return self

    def execute(self, command: Command, args: Args, call: CallContext) -> Reply:
        """Execute one command, or return its cached reply. Concurrent misses of a key are coalesced into one."""
        if self._may_use_cache(command, call):
            # For a hit, and for a reader that waits for another thread's fetch. For a fetch the engine sets it again.
            call.started = perf_counter_ns()
            return self._cache.get(args[1], lambda _: self._engine.execute(command, args, call))
        try:
            return self._engine.execute(command, args, call)
        finally:
            # After the write: a read between an earlier invalidation and the write would store the old value again.
            if command.writes:
                self._invalidate([(command, args)])

    def execute_batch(self, command: Command, columns: Sequence[Sequence[bytes]], call: CallContext) -> None:
        """Return None: each command waits for the backing server."""

    def execute_in_stages(self, command: Command, args: Args, call: CallContext) -> Reply:
        """Do the same: the backing server runs its commands in its own way."""
        return self.execute(command, args, call)

    def try_execute(self, command: Command, args: Args, call: CallContext) -> Reply | WouldBlock:
        """Return a reply that is cached. Otherwise return `WOULD_BLOCK`: the backing server must be asked."""
        if command.name in CACHEABLE:
            call.cache_lookup = MISS
        if not self._may_use_cache(command, call):
            return self._engine.try_execute(command, args, call)
        call.started = perf_counter_ns()
        cached = self._cache.get_cached(args[1])
        if cached is None:
            return WOULD_BLOCK
        value, age = cached
        call.cache_lookup = CacheLookup(age)
        return value

    def execute_all(
        self, parts: Sequence[TransactionPart], watches: Mapping[int, BackendWatch], call: CallContext
    ) -> list[Reply | Exception] | None:
        """Execute a transaction. Its reads are part of one atomic step, so they are not served from the cache."""
        try:
            return self._engine.execute_all(parts, watches, call)
        finally:
            self._invalidate(
                [each for _, queue in parts for each in queue]
            )  # also if the watch was dirty and nothing ran, which costs no more than a miss

    def _may_use_cache(self, command: Command, call: CallContext) -> bool:
        return (
            command.name in CACHEABLE and not call.read_through and (self._tracking is None or self._tracking.connected)
        )

    def _invalidate(self, commands: Iterable[QueuedCommand]) -> None:
        """Invalidate the keys that these commands may have changed."""
        for command, args in commands:
            if not command.writes:
                continue
            if keys := command.keys.of(args):
                self._cache.invalidate(keys)
            else:  # FLUSHALL, or a script that declares no keys and may find them by itself
                self._cache.clear()

    # ---------------------------------------------------------------- INFO

    def info_sections(self) -> Mapping[str, InfoSection]:
        """Return the engine's sections, and one about the cache."""
        section: InfoSection = {f"cache_{name}": value for name, value in asdict(self._cache.stats()).items()}
        if self._tracking is not None:
            section["cache_tracking_connected"] = int(self._tracking.connected)
        return {**self._engine.info_sections(), "cache": section}

    # ---------------------------------------------------------------- life cycle

    def start(self) -> None:
        """Start tracking and the engine."""
        # Does not wait for the connection: until it is open, reads bypass the cache.
        if self._tracking is not None:
            self._tracking.start()
        self._engine.start()

    def stop(self) -> None:
        """Stop tracking and the engine."""
        if self._tracking is not None:
            self._tracking.stop()
        self._engine.stop()

    # ---------------------------------------------------------------- passed on

    def may_block(self, command: Command, args: Args) -> bool:
        """Return whether the engine may wait for I/O. A cacheable command may, if its reply is not cached."""
        return self._engine.may_block(command, args)

    def would_block(self, command: Command, args: Args) -> bool:
        """Do the same."""
        return self._engine.would_block(command, args)

    def new_watch(self) -> BackendWatch:
        """Return a watch without keys."""
        return self._engine.new_watch()

    def watch(self, watch: BackendWatch, keys: Sequence[bytes]) -> None:
        """Add keys to a watch. Raises `CommandError`."""
        self._engine.watch(watch, keys)

    def unwatch(self, watch: BackendWatch) -> None:
        """End a watch."""
        self._engine.unwatch(watch)

    def observe_keys(self, observer: DatabasesObserver, after_expiry: Callable[[], None]) -> None:
        """Do nothing: the backing server publishes the events of its keys."""

    def stop_observing_keys(self, observer: DatabasesObserver, stopped: Callable[[], None]) -> None:
        """Do nothing: no observer is notified."""

    def key_counts(self) -> KeyCounts | None:
        """Count the keys of the backing server."""
        return self._engine.key_counts()

    def limit_waits(self, refuse: Callable[[], None]) -> None:
        """Do nothing, as the engine."""

    def reset_stats(self) -> None:
        """Reset the engine's counters. Those of the cache count from the start of the server."""
        self._engine.reset_stats()

    def apply_limits(self, limits: Limits) -> None:
        """Pass new limits on."""
        self._engine.apply_limits(limits)

    def limit_memory(self, limit: int, policy: str) -> None:
        """Pass a memory limit on."""
        self._engine.limit_memory(limit, policy)

    def used_memory(self) -> int | None:
        """Return what the engine counts."""
        return self._engine.used_memory()

    def check_memory(self) -> None:
        """Let the engine check its limit."""
        self._engine.check_memory()
