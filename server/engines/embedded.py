"""The engine runs commands on the store. The store's lock stands here, and nowhere else.

Why every command takes it, reads too: a GET that ran between two writes of somebody's EXEC would see the first of them
and, on its next key, miss the second. With one lock around each command, and around each transaction as a whole, what
clients see is what they would see if all of it had run one after the other, in real time's order: strict
serialisability. Nothing here waits for anything but the lock: no socket, no disk, no log line. Words are parsed before
it is taken, and replies are encoded after it is released.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Protocol, TypeAlias, TypeVar

from common.codec import Args
from common.replies import Reply
from server.clients.registry import Client
from server.clients.stats import Figures, Record, Records, Statistics, copy_of
from server.keyspace.store import Store, Watch
from server.registry import Command

QueuedCommand: TypeAlias = tuple[Command, Args]

Run: TypeAlias = Callable[[Command, Args], Reply]
"""Run a command that leaves the store alone. Raises what the command raises."""

SWEEP_SLICE = 500_000
"""Nanoseconds after which a sweep lets go of the lock. It looks at the clock after each key."""

SWEEP_PAUSE = 0.001
"""Seconds between two slices of a sweep that is not done, so that those who wait for the lock get it first."""

SWEEPER_GRACE = 1.0
"""Seconds to wait for the sweeper's end when the server stops."""

SWEEP_INTERVAL = 0.25
"""Seconds between two sweeps."""


@dataclass(frozen=True, slots=True)
class KeyCounts:
    """How many keys there are, how many of them are going to expire, and how many have."""

    keys: int
    expiring: int
    expired: int


class AnyWatch(Protocol):
    """What one session watches. Its engine made it, and alone knows what else there is to it."""

    @property
    def keys(self) -> Collection[bytes]:
        """The keys that are watched."""
        ...


W = TypeVar("W", bound=AnyWatch)


class Engine(Protocol[W]):
    """Something that runs the commands that work on the store. ``W`` is the kind of watches that it makes."""

    waits: bool
    """Whether a command may wait for another machine, so that no thread that serves many connections should run it."""

    statistics: Statistics
    """Where sessions count what they run by themselves."""

    def execute(self, command: Command, args: Args, client: Client) -> Reply:
        """Run one command as one step. Raises what the command raises."""
        ...

    def at_hand(self, command: Command, args: Args, client: Client) -> Reply:
        """Do as ``execute`` if that waits for no other machine; else do nothing and return None.

        None may be the reply too, which does no harm: whoever gets it asks again, by ``execute``.
        """
        ...

    def execute_all(
        self, calls: Sequence[QueuedCommand], watch: W, client: Client, run: Run
    ) -> list[Reply | Exception] | None:
        """Run the commands as one step, or none of them, and return None, if the watch is broken.

        ``run`` runs those that leave the store alone, in their turn. What a command raises stands in its reply's place
        and stops no other. Time stands still for all of them. The watch is over either way.
        Raises `CommandError` where the transaction as a whole is refused.
        """
        ...

    def new_watch(self) -> W:
        """Make a watch that watches nothing yet."""
        ...

    def watch(self, watch: W, keys: Sequence[bytes]) -> None:
        """Break the watch when one of these keys changes from now on. Raises `CommandError`."""
        ...

    def unwatch(self, watch: W) -> None:
        """End the watch. Raises nothing, and waits for no other machine."""
        ...

    def records(self) -> Records:
        """Return what was counted of every command, those that sessions run by themselves included."""
        ...

    def reset_records(self) -> None:
        """Begin to count anew."""
        ...

    def key_counts(self) -> KeyCounts | None:
        """Count the keys; return None where that can't be told at present."""
        ...

    def figures(self) -> Mapping[str, Figures]:
        """Return what else there is to tell of this kind of engine, by INFO's section."""
        ...

    def start(self) -> None:
        """Begin what the engine does of its own accord."""
        ...

    def stop(self) -> None:
        """End it, once no session is left."""
        ...


class EmbeddedEngine:
    """Run commands on a store in this process."""

    waits = False

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.RLock()
        self._acquire, self._release = self._lock.acquire, self._lock.release
        self._moment: int | None = None  # of the transaction that is under way
        self.statistics = Statistics()
        self._records: Records = defaultdict(Record)
        self._stop = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep_until_stopped, name="expiry sweeper", daemon=True)

    def execute(self, command: Command, args: Args, client: Client) -> Reply:
        """Run one command as one step. Raises what the command raises."""
        self._acquire()  # a with statement takes twice as long, and this is the hottest path
        self._store.moment = self._moment
        started = client.active = perf_counter_ns()
        try:
            # The usual lengths are spelled out, for unpacking a slice takes longer than most commands.
            match len(args):
                case 2:
                    return command.run(self._store, args[1])
                case 3:
                    return command.run(self._store, args[1], args[2])
            return command.run(self._store, *args[1:])
        except BaseException:
            self._records[command].failed += 1
            raise
        finally:
            took = perf_counter_ns() - started
            record = self._records[command]
            record.by_duration[took.bit_length()] += 1
            record.nanoseconds += took
            self._release()
            if took > self.statistics.slower_than:
                self.statistics.note_slow(args, took, client)

    def at_hand(self, command: Command, args: Args, client: Client) -> Reply:
        """Do as ``execute``, which waits for no other machine."""
        return self.execute(command, args, client)

    def execute_all(
        self, calls: Sequence[QueuedCommand], watch: Watch, client: Client, run: Run
    ) -> list[Reply | Exception] | None:
        """Run the commands as one step, or none of them, and return None, if the watch is broken.

        ``run`` runs those that leave the store alone, in their turn. What a command raises stands in its reply's place
        and stops no other. Time stands still for all of them. The watch is over either way.
        """
        outcomes: list[Reply | Exception] = []
        with self._step() as store:
            broken = store.is_broken(watch)
            store.unwatch(watch)
            if broken:
                return None
            self._moment = store.now()
            try:
                for command, args in calls:
                    outcomes.append(self._outcome(command, args, client, run))
            finally:
                self._moment = None
        return outcomes

    def _outcome(self, command: Command, args: Args, client: Client, run: Run) -> Reply | Exception:
        """Run one command of a transaction; what it raises is handled by the session, where the lock is free again."""
        try:
            return self.execute(command, args, client) if command.on_store else run(command, args)
        except Exception as problem:
            return problem

    def new_watch(self) -> Watch:
        """Make a watch that watches nothing yet."""
        return Watch()

    def watch(self, watch: Watch, keys: Sequence[bytes]) -> None:
        """Break the watch when one of these keys changes from now on."""
        with self._step() as store:
            store.watch(watch, keys)

    def unwatch(self, watch: Watch) -> None:
        """End the watch."""
        with self._step() as store:
            store.unwatch(watch)

    def records(self) -> Records:
        """Return what was counted of every command, those that sessions run by themselves included."""
        with self._lock:
            records = copy_of(self._records)
        self.statistics.add_to(records)
        return records

    def reset_records(self) -> None:
        """Begin to count anew."""
        with self._lock:
            self._records.clear()
        self.statistics.reset()

    def key_counts(self) -> KeyCounts:
        """Count the keys."""
        with self._step() as store:
            return KeyCounts(len(store), store.keys_with_deadline, store.expired_keys)

    def figures(self) -> Mapping[str, Figures]:
        """Return nothing: all that there is to tell of a store is told of every engine."""
        return {}

    def start(self) -> None:
        """Remove expired keys in a thread of the engine's own until ``stop``."""
        self._sweeper.start()

    def stop(self) -> None:
        """End the sweeper's thread; leave it behind if somebody else holds the lock for long."""
        self._stop.set()
        self._sweeper.join(SWEEPER_GRACE)

    def sweep(self) -> bool:
        """Remove expired keys, holding the lock for less than a millisecond; tell whether none is left."""
        with self._step() as store:
            end = perf_counter_ns() + SWEEP_SLICE
            return store.sweep(lambda: perf_counter_ns() > end)

    @contextmanager
    def _step(self) -> Iterator[Store]:
        """Hold the lock, and lend the store with its clock wound."""
        with self._lock:
            self._store.moment = self._moment
            yield self._store

    def _sweep_until_stopped(self) -> None:
        pause = SWEEP_INTERVAL
        while not self._stop.wait(pause):
            pause = SWEEP_INTERVAL if self.sweep() else SWEEP_PAUSE
