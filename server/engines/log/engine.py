"""The embedded engine with a durable log."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from common.codec import Args
from common.errors import CommandError, exec_aborted_by, log_failing
from common.limits import DEFAULT_LIMITS, MIB, Limits
from common.program import start_command
from common.replies import Reply
from server.engines.base import CallContext, EngineStartError, InfoSection, KeyCounts, TransactionPart
from server.engines.embedded import EmbeddedDatabase, EmbeddedEngine
from server.engines.log.disk import DirectoryInUse, Disk
from server.engines.log.log import EVERYSEC, DurableLog
from server.engines.log.replay import never
from server.engines.log.service import LogService
from server.engines.log.start import open_log
from server.engines.log.walk import Corruption
from server.engines.waits import LockWaits
from server.keyspace.databases import Databases
from server.keyspace.store import Store
from server.keyspace.watches import Watch
from server.registry import Command, Flag
from server.settings.table import DEFAULT_DATABASES


@dataclass(frozen=True)
class LogSettings:
    """How a log is opened. ``open_disk`` opens and locks the directory, which errors call ``directory``."""

    directory: str
    open_disk: Callable[[], Disk]
    level: str = EVERYSEC
    rewrite_min_size: int = 64 * MIB
    repair: bool = False
    is_interrupted: Callable[[], bool] = never
    """Whether the replay must end, because the process is asked to stop."""


class DurableDatabase(EmbeddedDatabase):
    """Executes commands on a store whose changes are logged."""

    def __init__(self, store: Store, waits: LockWaits, log: DurableLog) -> None:
        super().__init__(store, waits)
        self._log = log
        self._changes = log.changes

    def execute(self, command: Command, args: Args, call: CallContext) -> Reply:
        """Execute one command atomically. Raises MISCONF for a write if the log is failing."""
        # The hottest path with a log: two look-ups, and the call of the engine below.
        changes = self._changes
        thread = changes.thread
        if thread.failures is None:
            thread.failures = changes.failures
        if changes.needs_attention:
            _attend(self._log, command)
        return EmbeddedDatabase.execute(self, command, args, call)

    def execute_batch(
        self, command: Command, columns: Sequence[Sequence[bytes]], call: CallContext
    ) -> list[Reply | Exception] | None:
        """Execute one command several times. Returns None if writes are refused, or if much is pending."""
        changes = self._changes
        if changes.thread.failures is None:
            changes.thread.failures = changes.failures
        if changes.needs_attention:
            return None
        return super().execute_batch(command, columns, call)

    def execute_in_stages(self, command: Command, args: Args, call: CallContext) -> Reply:
        """Do the same for a command with ``stages``."""
        _begin(self._log, command)
        return super().execute_in_stages(command, args, call)

    @contextmanager
    def _long_step(self) -> Iterator[Store]:
        """Take the lock for a script. Other threads can commit meanwhile what was executed before it."""
        with self._step() as store, self._changes.holding():
            yield store

    def may_block(self, command: Command, args: Args) -> bool:
        """Return whether the command may take long. One that writes a snapshot does."""
        return _writes_snapshot(command, args) or super().may_block(command, args)


class DurableEngine(EmbeddedEngine):
    """The keyspace in this process, with a log of its changes. `start` replays the log."""

    def __init__(
        self,
        store: Store,
        settings: LogSettings,
        limits: Limits = DEFAULT_LIMITS,
        databases: int = DEFAULT_DATABASES,
    ) -> None:
        super().__init__(store, limits, databases)
        self._settings = settings
        self._log: DurableLog
        self.persistence: LogService | None = None

    def start(self) -> None:
        """Replay the log, and start the threads.

        Raises `EngineStartError` and `StartInterrupted`. Then the directory is not locked.
        """
        service = self.open()
        try:
            service.start()
            super().start()
        except BaseException:  # no thread could be started
            self.stop()
            raise

    def open(self) -> LogService:
        """Replay the log, and do not start the threads."""
        self._log = self._open()
        self.persistence = LogService(self._log, self._settings.rewrite_min_size)
        return self.persistence

    def _open(self) -> DurableLog:
        settings = self._settings
        try:
            disk = settings.open_disk()
        except DirectoryInUse:
            raise EngineStartError(f"{settings.directory} is used by another server") from None
        except OSError as problem:
            raise EngineStartError(f"can't use {settings.directory}: {problem.strerror or problem}") from problem
        try:
            return open_log(
                disk, self._stores, self._lock, settings.level, settings.is_interrupted, repair=settings.repair
            )
        except Corruption as problem:
            disk.close()
            reason = f"{settings.directory}/{problem.name} is damaged at byte {problem.offset}: {problem.what}"
            raise EngineStartError(reason, _repair_advice(settings.directory)) from None
        except OSError as problem:
            disk.close()
            raise EngineStartError(f"can't use {settings.directory}: {problem.strerror or problem}") from problem
        except BaseException:
            disk.close()
            raise

    def stop(self) -> None:
        """Stop the threads, and sync and close the log."""
        super().stop()
        if self.persistence is not None:
            self.persistence.stop()

    def info_sections(self) -> Mapping[str, InfoSection]:
        """Return the figures of the log."""
        return {} if self.persistence is None else {"persistence": self.persistence.info()}

    def key_counts(self) -> KeyCounts | None:
        """Count the keys. What is counted must be durable before it is replied, as what a command reads."""
        _begin(self._log)
        return super().key_counts()

    def execute_all(
        self, parts: Sequence[TransactionPart], watches: Mapping[int, Watch], call: CallContext
    ) -> list[Reply | Exception] | None:
        """Execute a transaction. One that has a write is refused as a whole if the log is failing, as in Redis."""
        changes = self._log.changes
        if changes.thread.failures is None:
            changes.thread.failures = changes.failures
        if changes.needs_attention:
            try:
                _attend(self._log, *[command for _, queue in parts for command, _ in queue])
            except CommandError as problem:
                raise CommandError(exec_aborted_by(problem.reply)) from None
        return super().execute_all(parts, watches, call)

    @contextmanager
    def _long_step(self, indexes: Collection[int]) -> Iterator[Databases]:
        """Take the lock for a transaction with a script, in the same way."""
        with self._step(indexes) as stores, self._log.changes.holding():
            yield stores

    def evict_slice(self) -> bool:
        """Evict keys, and write that: what a record undoes is freed only then. Do nothing while the log is failing."""
        if (
            self._stores.memory is None or self._log.problem is not None
        ):  # else each would be undone, as a failure of the log
            return True
        is_done = super().evict_slice()
        if self._log.pending_bytes:
            self._log.write_pending()
        return is_done

    def check_memory(self) -> None:
        """Raise `CommandError` if the memory limit is reached and nothing can be evicted."""
        if self._log.problem is None:  # as above
            super().check_memory()

    def _new_database(self, store: Store) -> EmbeddedDatabase:
        return DurableDatabase(store, self._waits, self._log)


def _writes_snapshot(command: Command, args: Args) -> bool:
    # No other SHUTDOWN: it would wait for a worker thread, and a script that only SHUTDOWN NOSAVE ends may have the
    # last one that the system allows.
    return command.name == b"SAVE" or (command.name == b"SHUTDOWN" and b"SAVE" in [arg.upper() for arg in args[1:]])


def _begin(log: DurableLog, *commands: Command) -> None:
    """Note that this thread executes something, and do what the log needs first. Raises MISCONF for a write."""
    changes = log.changes
    if changes.thread.failures is None:
        changes.thread.failures = changes.failures
    if changes.needs_attention:
        _attend(log, *commands)


def _attend(log: DurableLog, *commands: Command) -> None:
    """Refuse writes if the log is failing, and write what is pending if that is much."""
    log.attend()
    # Not under the lock. A command that is executed although the log fails at this moment is undone by its commit.
    problem = log.problem
    if problem is not None and any(Flag.WRITE in command.flags for command in commands):
        raise CommandError(log_failing(problem))


def _repair_advice(directory: str) -> list[str]:
    """Return what a person can do about damage, in lines."""
    command, quoted = start_command("server"), shlex.quote(directory)
    return [
        "nothing was changed. To read all files, and print what is in them:",
        f"    {command} --check {quoted}",
        "to start with what comes before the damage, and keep copies of the files as they are now:",
        f"    {command} --data {quoted} --repair",
    ]
