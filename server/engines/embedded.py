"""The engine that holds the keyspace in this process. The keyspace lock is in this file and nowhere else.

Every command takes the lock, reads included. A GET that ran between two writes of another client's EXEC would see the
first of them and, on its next key, miss the second. With one lock around each command, and around each transaction as
a whole, clients see a history in which all of them ran one after another, in the order of real time: strict
serialisability.

Under the lock there is no socket, no disk, no log line and no other lock, except for what a script calls (PUBLISH,
``redis.log``). Arguments are parsed before it is taken, and replies are encoded after it is released. Commands that
have more to do run in stages (`server.registry`), of which one is under the lock. The lock is re-entrant, so that code
that holds it may execute commands.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from time import perf_counter_ns

from common.codec import Args
from common.errors import CommandError
from common.limits import DEFAULT_LIMITS, Limits
from common.replies import Reply
from server.engines.base import (
    WOULD_BLOCK,
    CallContext,
    DatabaseCounts,
    InfoSection,
    KeyCounts,
    Persistence,
    TransactionPart,
    WouldBlock,
)
from server.engines.memory_limit import (
    EVICT_SLICE,
    after_reads,
    before_batch,
    before_command,
    before_transaction,
    make_room,
)
from server.engines.time_slice import stop_after
from server.engines.waits import KeyspaceLock, LockWaits
from server.keyspace.databases import Databases, DatabasesObserver
from server.keyspace.store import Store
from server.keyspace.watches import Watch
from server.registry import MAX_QUICK_ARGS, Command, StagedCall
from server.settings.table import DEFAULT_DATABASES
from server.stderr_log import RepeatedMessage

EXPIRE_SLICE = 500_000
"""Nanoseconds after which the active expire cycle releases the lock. It reads the clock after each key."""

EXPIRE_PAUSE = 0.001
"""Seconds between two slices of an unfinished cycle, so that threads that wait for the lock get it first."""

EXPIRE_INTERVAL = 0.25
"""Seconds between two active expire cycles, which also evict keys."""

SHUTDOWN_TIMEOUT = 1.0
"""Seconds to wait for the active expire thread to end."""

_failed = RepeatedMessage(
    logging.getLogger(__name__), logging.ERROR, "the active expire thread failed unexpectedly, and goes on"
)


class EmbeddedDatabase:
    """Executes commands on a store in this process, under the keyspace lock."""

    def __init__(self, store: Store, waits: LockWaits) -> None:
        self._store = store
        self._waits = waits
        self._acquire, self._release = waits.acquire, waits.lock.release

    def execute(self, command: Command, args: Args, call: CallContext) -> Reply:
        """Execute one command atomically. Raises what the command raises."""
        # The hottest path. A with statement and the unpacking of a slice would each cost 3 % of a pipelined GET
        # (`python -m benchmarks compare`), so the lock is taken by hand and the usual lengths are spelled out. Python
        # 3.11 calls a function that is in a variable in less time than one that is in an attribute.
        acquire, release, run = self._acquire, self._release, command.run
        if not acquire():
            self._waits.wait()
        try:
            call.started = perf_counter_ns()
            store = self._store
            if store.needs_begin:  # most steps read no clock, and then need no call
                store.begin_step()
                if store.memory is not None:
                    before_command(store.memory, store, command, args, call)
            match len(args):
                case 2:
                    return run(store, args[1])
                case 3:
                    return run(store, args[1], args[2])
            return run(store, *args[1:])
        finally:
            release()

    def execute_batch(
        self, command: Command, columns: Sequence[Sequence[bytes]], call: CallContext
    ) -> list[Reply | Exception] | None:
        """Execute one command several times, as one step. See `server.engines.base.Engine`."""
        run, by_columns = command.run, command.by_columns
        outcomes: list[Reply | Exception] = []
        append = outcomes.append
        if not self._acquire():
            self._waits.wait()
        try:
            call.started = perf_counter_ns()
            store = self._store
            if store.needs_begin:
                store.begin_step()
            memory = store.memory  # always, because the calls together may reach the limit
            is_by_columns = by_columns is not None and len(columns) == command.min_args - 1
            if memory is not None and not before_batch(memory, store, command, columns, call, is_by_columns):
                return self._execute_rows(command, columns)
            if by_columns is not None and is_by_columns:
                found = by_columns(store, *columns)
                if found is not None:
                    if memory is not None and not command.grows:
                        after_reads(memory, columns[0], found, call)
                    return found
            for args in zip(*columns, strict=True):
                try:
                    append(run(store, *args))
                except Exception as problem:  # handled by the session, outside the lock
                    append(problem)
        finally:
            self._release()
        return outcomes

    def _execute_rows(self, command: Command, columns: Sequence[Sequence[bytes]]) -> list[Reply | Exception]:
        """Do the same while the memory limit is reached, or may be by one of the calls."""
        outcomes: list[Reply | Exception] = []
        for args in zip(*columns, strict=True):
            try:
                make_room(self._store)
                outcomes.append(command.run(self._store, *args))
            except Exception as problem:  # handled by the session, outside the lock
                outcomes.append(problem)
        return outcomes

    def execute_in_stages(self, command: Command, args: Args, call: CallContext) -> Reply:
        """Execute a command with ``stages``: take the lock for its access to the keyspace alone."""
        call.started = perf_counter_ns()
        staged = _begin(command, args, call)
        is_first = True
        while True:
            ready = perf_counter_ns()
            with self._long_step() if command.needs_session else self._step() as store:
                call.started += perf_counter_ns() - ready  # the wait for the lock does not count
                if is_first and store.memory is not None:
                    before_command(store.memory, store, command, args, call)
                is_first = False
                staged.run_step(store)
            if not staged.resume():
                return staged.reply

    def try_execute(self, command: Command, args: Args, call: CallContext) -> Reply | WouldBlock:
        """Execute one command, or return `WOULD_BLOCK` if it may take long."""
        return WOULD_BLOCK if self.may_block(command, args) else self.execute(command, args, call)

    def may_block(self, command: Command, args: Args) -> bool:
        """Return whether the command has stages (KEYS, LCS ...) or many arguments. Nothing here waits for I/O."""
        return command.stages is not None or len(args) > MAX_QUICK_ARGS

    def would_block(self, command: Command, args: Args) -> bool:
        """Return the same, but for a command in stages whether it takes long with the values that its keys have now."""
        if not self.may_block(command, args):
            return False
        if command.is_short is None or len(args) > MAX_QUICK_ARGS:
            return True
        try:
            with self._step() as store:
                return not command.is_short(store, args)
        except CommandError:  # a slow script has the lock
            return True

    def limit_waits(self) -> None:
        """Take the lock from now on as `LockWaits` does."""
        self._acquire = self._waits.acquire

    def new_watch(self) -> Watch:
        """Return a watch without keys."""
        return Watch()

    def watch(self, watch: Watch, keys: Sequence[bytes]) -> None:
        """Add keys to a watch, which becomes dirty when one of them changes."""
        with self._step() as store:
            store.watch(watch, keys)

    def unwatch(self, watch: Watch) -> None:
        """End a watch."""
        self._waits.do_soon(lambda: self._store.unwatch(watch))

    @contextmanager
    def _step(self) -> Iterator[Store]:
        """Take the lock, begin a step (see `Store.begin_step`) and yield the store. Raises `CommandError`."""
        with self._waits:
            self._store.begin_step()
            yield self._store

    @contextmanager  # as in the subclass: mypyc cannot override a plain method by a decorated one
    def _long_step(self) -> Iterator[Store]:
        """Do the same for a step that may take very long, because it runs a script."""
        with self._step() as store:
            yield store


class EmbeddedEngine:
    """The keyspace in this process. ``store`` is database 0, and the others are made when they are used."""

    waits_for_io = False
    forwards: Collection[bytes] = ()
    persistence: Persistence | None = None

    def __init__(self, store: Store, limits: Limits = DEFAULT_LIMITS, databases: int = DEFAULT_DATABASES) -> None:
        self._lock: KeyspaceLock = threading.RLock()
        self._waits = LockWaits(self._lock)
        self._stores = Databases(store, databases)
        self._databases: dict[int, EmbeddedDatabase] = {}
        self._stopping = threading.Event()
        self._expirer = threading.Thread(target=self._run_active_expire, name="active expire", daemon=True)
        self._expired_last = 0  # the database in which the last slice of the active expire cycle ended
        self._after_expiry: dict[DatabasesObserver, Callable[[], None]] = {}
        self.apply_limits(limits)

    def database(self, index: int) -> EmbeddedDatabase:
        """Return what executes commands on a database. Raises `CommandError`."""
        database = self._databases.get(index)
        if database is None:
            with self._waits:
                database = self._databases.setdefault(index, self._new_database(self._stores[index]))
        return database

    def _new_database(self, store: Store) -> EmbeddedDatabase:
        return EmbeddedDatabase(store, self._waits)

    def limit_waits(self, refuse: Callable[[], None]) -> None:
        """Let requests not wait for the lock for longer than ``refuse`` allows it."""
        self._waits.limit(refuse)
        for database in self._databases.values():
            database.limit_waits()

    def execute_all(
        self, parts: Sequence[TransactionPart], watches: Mapping[int, Watch], call: CallContext
    ) -> list[Reply | Exception] | None:
        """Execute the keyspace commands of a transaction atomically. See `server.engines.base.Engine`."""
        staged = [_StagedPart(*each, call) for _, queue in parts for each in queue if not each[0].is_whole_in_multi]
        indexes = {*watches, *[index for index, _ in parts]}
        if staged and any(part.runs_script for part in staged):
            with self._long_step(indexes):
                outcomes = self._execute_parts(parts, watches, staged, call)
        else:
            with self._waits:
                self._begin_step(indexes)
                outcomes = self._execute_parts(parts, watches, staged, call)
        if outcomes is not None:
            for part in staged:
                outcomes[part.place] = part.finish()
                call.durations[part.place] = part.nanoseconds
        return outcomes

    def _execute_parts(
        self,
        parts: Sequence[TransactionPart],
        watches: Mapping[int, Watch],
        staged: Sequence[_StagedPart],
        call: CallContext,
    ) -> list[Reply | Exception] | None:
        """Do what needs the lock: the steps of ``staged``, and all of the other commands."""
        stores, budget, durations = self._stores, call.budget, call.durations
        if stores.memory is not None:
            before_transaction(stores.memory, stores, parts, call)
        if watches and _is_dirty(stores, watches):
            return None
        outcomes: list[Reply | Exception] = []
        waiting = iter(staged)
        started = perf_counter_ns()
        for index, queue in parts:
            store = stores[index]
            for command, args in queue:
                if command.is_whole_in_multi:
                    try:
                        if budget.exceeded and command.reads:
                            budget.refuse()
                        reply = command.run(store, *args[1:])
                        budget.charge(reply)
                        outcomes.append(reply)
                    except Exception as problem:  # handled by the session, outside the lock
                        outcomes.append(_outcome(problem))
                else:
                    next(waiting).run_step(store, place=len(outcomes))
                    outcomes.append(None)  # until its last stage has run
                ended = perf_counter_ns()
                durations.append(ended - started)
                started = ended
        return outcomes

    def observe_keys(self, observer: DatabasesObserver, after_expiry: Callable[[], None]) -> None:
        """Notify one more observer of every change, and call a function after each active expire cycle."""
        with self._waits:
            self._waits.do_postponed()  # it may be the end of an earlier observation
            self._stores.observe(observer)
            self._after_expiry = {**self._after_expiry, observer: after_expiry}

    def stop_observing_keys(self, observer: DatabasesObserver, stopped: Callable[[], None]) -> None:
        """Notify this observer no more, and call a function under the lock. If the lock is taken, do it soon."""
        self._waits.do_soon(partial(self._stop_observing, observer, stopped))

    def _stop_observing(self, observer: DatabasesObserver, stopped: Callable[[], None]) -> None:
        if observer in self._after_expiry:
            self._stores.stop_observing(observer)
            self._after_expiry = {each: call for each, call in self._after_expiry.items() if each is not observer}
            stopped()

    def key_counts(self) -> KeyCounts | None:
        """Count the keys. Returns None while a slow script runs."""
        try:
            with self._step() as stores:
                return KeyCounts(
                    {store.index: DatabaseCounts(len(store), store.expiring_keys) for store in stores},
                    sum([store.expired_keys for store in stores]),
                    sum([store.evicted_keys for store in stores]),
                    sum([store.hits for store in stores]),
                    sum([store.misses for store in stores]),
                )
        except CommandError:
            return None

    def info_sections(self) -> Mapping[str, InfoSection]:
        """Return nothing: every engine has the sections about keys."""
        return {}

    def reset_stats(self) -> None:
        """Count expired keys, hits and misses from zero. Raises `CommandError` while a slow script runs."""
        with self._waits:  # not the lock alone: the thread may serve many connections
            for store in self._stores:
                store.expired_keys = store.hits = store.misses = 0

    def apply_limits(self, limits: Limits) -> None:
        """Bound the values that APPEND and SETRANGE make by ``limits.max_bulk``."""
        with self._lock:
            for store in self._stores:
                store.max_value_size = limits.max_bulk

    def limit_memory(self, limit: int, policy: str) -> None:
        """Set how many bytes the keys may take, 0 for any number, and which of them are evicted."""
        with self._lock:
            stores = self._begin_step()
            stores.limit_memory(limit, policy)

    def used_memory(self) -> int | None:
        """Return approximately how many bytes the keys take; None if that is not counted, because there is no limit."""
        memory = self._stores.memory
        return None if memory is None else memory.used

    def check_memory(self) -> None:
        """Raise `CommandError` if the memory limit is reached and nothing can be evicted."""
        memory = self._stores.memory
        if memory is None or not memory.is_exceeded:  # read without the lock, because EXEC checks again
            return
        with self._step([0]) as stores:
            make_room(stores[0])

    def start(self) -> None:
        """Start the active expire thread."""
        self._expirer.start()

    def stop(self) -> None:
        """Stop the active expire thread. Give up after `SHUTDOWN_TIMEOUT` if another thread holds the lock."""
        self._stopping.set()
        if self._expirer.ident is not None:
            self._expirer.join(SHUTDOWN_TIMEOUT)

    def expire_slice(self) -> bool:
        """Remove expired keys for up to `EXPIRE_SLICE`. Return whether none is left."""
        with self._lock:
            stores = self._begin_step()
            self._waits.do_postponed()
            stop = stop_after(EXPIRE_SLICE)
            # Last the database in which the last slice has ended: an endless supply there must not delay the others.
            for store in sorted(stores, key=lambda store: store.index <= self._expired_last):
                store.evict_unused_snapshots()
                if not store.remove_expired(stop):
                    self._expired_last = store.index
                    return False
            return True

    def evict_slice(self) -> bool:
        """Evict keys for up to `EVICT_SLICE` if the memory limit is exceeded. Return whether nothing is left to do."""
        memory = self._stores.memory
        if memory is None:
            return True
        with self._lock:
            stores = self._begin_step([0])
            return memory.tend(stores[0].now(), stop_after(EVICT_SLICE))

    @contextmanager
    def _step(self, indexes: Collection[int] = ()) -> Iterator[Databases]:
        """Take the lock, begin a step of these databases, or of all of them, and yield all. Raises `CommandError`."""
        with self._waits:
            yield self._begin_step(indexes)

    @contextmanager
    def _long_step(self, indexes: Collection[int]) -> Iterator[Databases]:
        """Do the same for a step that may take very long, because it runs a script."""
        with self._step(indexes) as stores:
            yield stores

    def _begin_step(self, indexes: Collection[int] = ()) -> Databases:
        """Begin a step of these databases, or of all of them. Return all. The caller has the lock."""
        stores = self._stores
        first, *others = [stores[index] for index in indexes] or stores
        if first.needs_begin:
            first.begin_step()
        for store in others:  # at the same time
            store.begin_step(first.now())
        return stores

    def _run_active_expire(self) -> None:
        pause = EXPIRE_INTERVAL
        while not self._stopping.wait(pause):
            is_done = _run_or_log(self.expire_slice)
            is_done = _run_or_log(self.evict_slice) and is_done
            pause = EXPIRE_INTERVAL if is_done else EXPIRE_PAUSE
            for after_expiry in self._after_expiry.values():  # it is replaced, never changed
                _run_or_log(after_expiry)


def _run_or_log(function: Callable[[], bool | None]) -> bool:
    """Call a function, and return its result. If it fails, log that, and return true: nothing is left to do now."""
    try:
        return bool(function())
    except Exception as problem:
        _failed.log(exc_info=problem)
        return True


def _is_dirty(stores: Databases, watches: Mapping[int, Watch]) -> bool:
    """End watches. Return whether one of them is dirty."""
    is_dirty = False
    for index, watch in watches.items():
        is_dirty = stores[index].is_dirty(watch) or is_dirty
        stores[index].unwatch(watch)
    return is_dirty


def _begin(command: Command, args: Args, call: CallContext) -> StagedCall[Store]:
    """Run the first stage of a command."""
    assert command.stages is not None, "the command has a single step"
    return StagedCall(command.stages, [call.session, *args[1:]] if command.needs_session else args[1:])


def _outcome(problem: Exception) -> Exception:
    """Return what a command of a transaction raised, without its traceback, which takes a kilobyte for each command."""
    return CommandError(problem.reply) if isinstance(problem, CommandError) else problem


class _StagedPart:
    """A command in stages in a transaction. What one of its stages raises is its outcome, and ends it."""

    def __init__(self, command: Command, args: Args, call: CallContext) -> None:
        self.runs_script = command.needs_session
        self.place = -1
        """Its place among the commands of the transaction."""
        self.nanoseconds = 0
        """The time that its stages took, together."""
        self._outcome: Reply | Exception = None
        self._call: StagedCall[Store] | None = None
        self._reads = command.reads
        self._budget = call.budget
        self._found_size = 0  # bytes that its step has taken from the budget
        with self._stage():
            self._call = _begin(command, args, call)

    def run_step(self, store: Store, place: int) -> None:
        """Run the stage that accesses the keyspace."""
        self.place = place
        if self._call is not None:
            with self._stage():
                if self._budget.exceeded and self._reads:
                    self._budget.refuse()
                self._call.run_step(store)
                if self._reads:
                    size = sys.getsizeof(self._call.found)  # without the keys and values in it
                    self._budget.take(size)
                    self._found_size = size

    def finish(self) -> Reply | Exception:
        """Run the last stage, and return the outcome."""
        if self._call is not None:
            with self._stage():
                reply = self._call.finish()
                self._budget.give_back(self._found_size)  # it is freed, or a part of the reply
                self._budget.charge(reply)
                self._outcome = reply
        return self._outcome

    @contextmanager
    def _stage(self) -> Iterator[None]:
        started = perf_counter_ns()
        try:
            yield
        except Exception as problem:  # handled by the session
            self._outcome = _outcome(problem)
            self._call = None
        finally:
            self.nanoseconds += perf_counter_ns() - started
