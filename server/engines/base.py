"""The interface between sessions and what executes commands on a keyspace: `Engine`.

There are two engines: `server.engines.embedded` holds the keyspace in this process, `server.engines.redis` forwards to
a backing Redis or Redis Cluster. An engine knows no client, no protocol and no socket of a client, and counts nothing
of what sessions count.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple, NoReturn, Protocol, TypeAlias, TypeVar

from common.codec import Args
from common.errors import CommandError, replies_too_large
from common.limits import DEFAULT_LIMITS, Limits
from common.replies import Reply, size_of
from server.keyspace.databases import DatabasesObserver
from server.registry import Command

QueuedCommand: TypeAlias = tuple[Command, Args]
"""A command of a transaction, as it was queued."""

TransactionPart: TypeAlias = tuple[int, Sequence[QueuedCommand]]
"""Commands of a transaction that follow one another on one database, and the number of this database."""

InfoSection: TypeAlias = dict[str, object]
"""The fields of one section of INFO."""


class ReplyBudget:
    """The bytes that the replies of a transaction may take together."""

    __slots__ = ("_left", "_limit", "exceeded")

    def __init__(self, limit: int) -> None:
        self._limit = self._left = limit
        self.exceeded = False
        """Whether a reply did not fit. Commands that only read must not be executed any more."""

    def charge(self, reply: Reply) -> None:
        """Take the size of a reply from the budget. Raises `CommandError` if it does not fit."""
        size = len(reply) if type(reply) is bytes else size_of(reply)
        if size > self._left:  # `take`, without the cost of a call
            self.refuse()
        self._left -= size

    def take(self, size: int) -> None:
        """Take a size from the budget. Raises `CommandError` if it does not fit."""
        if size > self._left:
            self.refuse()
        self._left -= size

    def give_back(self, size: int) -> None:
        """Return to the budget what was taken and is not used any more."""
        self._left += size

    def refuse(self) -> NoReturn:
        """Raise the `CommandError` that takes the place of a reply."""
        self.exceeded = True
        raise CommandError(replies_too_large(self._limit))


@dataclass(frozen=True, slots=True)
class CacheLookup:
    """What a cache did for a call."""

    age: float | None
    """Seconds since the value was fetched; None if the cache did not have it."""


class CallContext:
    """What a session and its engine exchange about the call in progress. One per client, reused for each call."""

    __slots__ = ("budget", "cache_lookup", "command", "durations", "no_touch", "read_through", "session", "started")

    def __init__(self) -> None:
        self.session: object = None
        """The session, while there is one. A command with ``needs_session`` gets it."""

        self.started = 0
        """`perf_counter_ns` when the execution began. The engine sets it once it holds what it had to wait for."""

        self.command: Command | None = None
        """The last command that was executed, or is being executed. The session sets it."""

        self.durations: list[int] = []
        """Nanoseconds that each command of the last transaction took, in order. Set by ``execute_all``."""

        self.budget = ReplyBudget(DEFAULT_LIMITS.max_replies)
        """What the replies of the transaction in progress may take. Set by the session before ``execute_all``."""

        self.read_through = False
        """No cache may be used: the session watches keys, so it is about to compare and set what it reads."""

        self.no_touch = False
        """No command counts as a use of its keys, except TOUCH (CLIENT NO-TOUCH)."""

        self.cache_lookup: CacheLookup | None = None
        """What a cache did for the last ``try_execute``; None if no cache can have such replies."""


class EngineStartError(Exception):
    """Raised by ``start`` if the engine cannot be used. The text says why, the lines of ``advice`` what to do."""

    def __init__(self, reason: str, advice: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.advice = advice


class StartInterrupted(Exception):
    """Raised by ``start`` if the process was asked to stop meanwhile. Nothing is started."""


class WouldBlock(Enum):
    """The type of `WOULD_BLOCK`."""

    WOULD_BLOCK = "would block"


WOULD_BLOCK: Literal[WouldBlock.WOULD_BLOCK] = WouldBlock.WOULD_BLOCK
"""Returned by ``try_execute`` if executing would wait or take long. Nothing was done. (None would be a valid reply.)"""


class DatabaseCounts(NamedTuple):
    """The number of keys of a database, and of those with an expiry."""

    keys: int
    expiring: int


@dataclass(frozen=True, slots=True)
class KeyCounts:
    """The keys of each database by its number, and what has been counted since the start or `reset_stats`.

    ``expired`` and ``evicted`` are keys that were removed. ``hits`` and ``misses`` are those that commands count in the
    store. Those with ``Flag.NULL_IS_MISS`` do not.
    """

    databases: Mapping[int, DatabaseCounts]
    expired: int
    evicted: int
    hits: int = 0
    misses: int = 0

    @property
    def keys(self) -> int:
        """The number of keys of all databases together."""
        return sum(each.keys for each in self.databases.values())

    @property
    def expiring(self) -> int:
        """The number of those with an expiry."""
        return sum(each.expiring for each in self.databases.values())


class WatchState(Protocol):
    """The watched keys of one session. Made by its engine, which alone knows what else belongs to it."""

    @property
    def keys(self) -> Collection[bytes]:
        """The watched keys."""
        ...


class CommitFailed(ConnectionAbortedError):
    """Raised by a commit if what was executed did not become durable and was undone. No reply to it may be sent.

    It is an `OSError`, which ends a connection like any failure of its socket.
    """


class Persistence(Protocol):
    """A durable log, as sessions, listeners and commands see it. Every method may be called by any thread."""

    @property
    def failures(self) -> int:
        """How often changes had to be undone because they could not be logged."""
        ...

    @property
    def must_wait(self) -> bool:
        """Whether a commit now would wait for the disk."""
        ...

    @property
    def problem(self) -> str | None:
        """Why writes are refused; None while they are not."""
        ...

    @property
    def last_save(self) -> int:
        """When the last snapshot was completed, in seconds since the epoch."""
        ...

    def commit(self) -> None:
        """Return when everything that was executed so far is as durable as the level asks for.

        Raises `CommitFailed` if what this thread has executed since its last commit was undone.
        """
        ...

    def commit_since(self, failures: int) -> None:
        """Do the same for what any thread has executed since ``failures`` was read. Raises `CommitFailed`."""
        ...

    def set_level(self, level: str) -> None:
        """Set how durable changes must be: always, everysec or no."""
        ...

    def set_rewrite_min_size(self, size: int) -> None:
        """Set the size from which the log is rewritten when it has doubled."""
        ...

    def discard_script(self) -> None:
        """Let the changes of the script that runs be undone when it ends, because the server stops."""
        ...

    def save(self) -> None:
        """Write a snapshot, and return when it is complete. Raises `CommandError`."""
        ...

    def begin_save(self) -> None:
        """Write a snapshot in the background, for BGSAVE. Raises `CommandError`."""
        ...

    def begin_rewrite(self) -> None:
        """Write a snapshot in the background, for BGREWRITEAOF. Raises `CommandError`."""
        ...


W = TypeVar("W", bound=WatchState)


class Database(Protocol[W]):
    """Executes commands on one database of an engine. ``W`` is the type of its watches.

    Every method may be called by any thread.
    """

    def execute(self, command: Command, args: Args, call: CallContext) -> Reply:
        """Execute one command atomically, and set ``call.started``. Raises what the command raises."""
        ...

    def execute_in_stages(self, command: Command, args: Args, call: CallContext) -> Reply:
        """Do the same for a command with ``stages``, and run the first and the last one without the lock, if any."""
        ...

    def try_execute(self, command: Command, args: Args, call: CallContext) -> Reply | WouldBlock:
        """Execute one command if that neither waits for I/O nor may take long.

        Otherwise return `WOULD_BLOCK` without side effects.
        """
        ...

    def may_block(self, command: Command, args: Args) -> bool:
        """Return whether the command may wait for I/O or take long. A control command may ask the engine to do so."""
        ...

    def would_block(self, command: Command, args: Args) -> bool:
        """Return whether it may do so if it is executed now. Unlike `may_block`, this may depend on the keyspace.

        Never raises.
        """
        ...

    def execute_batch(
        self, command: Command, columns: Sequence[Sequence[bytes]], call: CallContext
    ) -> list[Reply | Exception] | None:
        """Execute one command several times, with the arguments of each row of the columns.

        Nothing is executed between them. A call that raises does not stop the others: its exception takes the place of
        its reply. Returns None, having executed nothing, if the engine executes its commands one by one. Raises
        `CommandError`, having executed nothing, while a slow script runs.
        """
        ...

    def new_watch(self) -> W:
        """Return a watch without keys."""
        ...

    def watch(self, watch: W, keys: Sequence[bytes]) -> None:
        """Add keys to a watch, which becomes dirty when one of them changes. Raises `CommandError`."""
        ...

    def unwatch(self, watch: W) -> None:
        """End a watch. Never raises and never waits for I/O."""
        ...


class Engine(Protocol[W]):
    """A keyspace, which consists of databases. Every method may be called by any thread."""

    waits_for_io: bool
    """Whether most commands wait for I/O. Then every connection is served by a thread of its own."""

    forwards: Collection[bytes]
    """The names of control commands that `Database.execute` executes, because they concern another server."""

    @property
    def persistence(self) -> Persistence | None:
        """The durable log of the keyspace; None if it has none, or before the engine has started."""
        ...

    def database(self, index: int) -> Database[W]:
        """Return what executes commands on a database. Raises `CommandError` if there is no database of this number."""
        ...

    def execute_all(
        self, parts: Sequence[TransactionPart], watches: Mapping[int, W], call: CallContext
    ) -> list[Reply | Exception] | None:
        """Execute the keyspace commands of a transaction atomically, at one point in time, and end the watches.

        ``watches`` are those of each database. Returns None, having executed nothing, if one of them is dirty. A
        command that raises does not stop the others: its exception takes the place of its reply. So does that of
        ``call.budget`` if a reply does not fit, and from then on of every command that only reads, which is not
        executed. Raises `CommandError` if the transaction as a whole is refused.
        """
        ...

    def observe_keys(self, observer: DatabasesObserver, after_expiry: Callable[[], None]) -> None:
        """Notify one more observer of every change from now on. Raises `CommandError` while a slow script runs.

        ``after_expiry`` is called regularly, outside the lock, because keys may have expired without a command. An
        engine whose keys are on another server does nothing.
        """
        ...

    def stop_observing_keys(self, observer: DatabasesObserver, stopped: Callable[[], None]) -> None:
        """Notify this observer no more, and then call a function under the lock: now, or soon if the lock is taken.

        Never raises and never waits for a script.
        """
        ...

    def key_counts(self) -> KeyCounts | None:
        """Count the keys. Returns None if that is not possible at present."""
        ...

    def limit_waits(self, refuse: Callable[[], None]) -> None:
        """Call a function regularly while a request waits for another one. It raises `CommandError` to end the wait."""
        ...

    def info_sections(self) -> Mapping[str, InfoSection]:
        """Return the INFO sections that only this engine has, by name."""
        ...

    def reset_stats(self) -> None:
        """Reset the engine's own counters, for CONFIG RESETSTAT. Raises `CommandError` while a slow script runs."""
        ...

    def apply_limits(self, limits: Limits) -> None:
        """Obey new limits from now on, after CONFIG SET."""
        ...

    def limit_memory(self, limit: int, policy: str) -> None:
        """Set how many bytes the keys may take, 0 for any number, and which of them are evicted."""
        ...

    def used_memory(self) -> int | None:
        """Return approximately how many bytes the keys take; None if that is not counted, because there is no limit."""
        ...

    def check_memory(self) -> None:
        """Raise `CommandError` if the memory limit is reached and nothing can be evicted.

        Sessions call it before they queue a command, because a queue takes memory too.
        """
        ...

    def start(self) -> None:
        """Start the engine's threads. Raises `EngineStartError` and `StartInterrupted`."""
        ...

    def stop(self) -> None:
        """Stop them. No session uses the engine any more."""
        ...
