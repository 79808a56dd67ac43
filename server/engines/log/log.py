"""The durable log: every change of a database becomes a record in a file before its reply is sent.

    command -> Store -> DatabaseRecorder -> pending records                       under the keyspace lock, without I/O
    replies of the command -> commit() -> write, sync -> the replies are sent     without the lock

``commit`` is the barrier between execution and output. It returns when everything that was recorded so far is as
durable as the level asks for, so a reply never shows a change that a crash could still undo. That is true of reads as
well.

Group commit: the first thread that needs something to be durable becomes the leader. It writes all pending records as
one batch and syncs once. Of the threads that wait meanwhile, the next one does the same for all of them.

If that fails, the log is failing: the changes that are not durable are undone in the store, their clients get no
reply, and the engine refuses writes until the log works again. So the store is always what clients were told, and what
was refused never comes back. A file whose sync has failed is never written again, because the kernel may have discarded
what it could not write and report the next sync as successful (PostgreSQL's fsync failures of 2018). The log begins
anew with a snapshot then (`server.engines.log.rewrite`).
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from common.errors import SERVER_STOPPING, CommandError, log_failing
from common.limits import MIB
from server.engines.base import CommitFailed
from server.engines.log.disk import Disk, File
from server.engines.log.names import make_header
from server.engines.log.pending import Pending, undo_swap
from server.engines.log.recorder import MAX_PENDING, DatabaseRecorder, Entries
from server.engines.log.records import Record, encode
from server.engines.log.trailer import Chain
from server.engines.log.writer import BatchWriter
from server.engines.waits import KeyspaceLock
from server.keyspace.databases import Databases
from server.keyspace.store import Store

ALWAYS, EVERYSEC, NO = "always", "everysec", "no"

MIN_FREE = 4 * MIB
"""Bytes of free space below which writes are refused, before the disk is full."""

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

HOLD_CHECK_INTERVAL = 0.01
"""Seconds for which a commit waits for the keyspace lock before it looks whether a script has the lock."""

logger = logging.getLogger(__name__)


class _Thread(threading.local):
    """What a thread has executed since its last commit."""

    failures: int | None = None
    """How many failures there were before its first command; None if it has executed nothing."""


class _Held:
    """The changes before a script that runs, which can be committed without the keyspace lock that the script has."""

    __slots__ = ("appended", "is_unwanted", "pending")

    def __init__(self, pending: Pending, appended: int) -> None:
        self.pending: Pending | None = pending  # None when they were taken
        self.appended = appended
        self.is_unwanted = False  # whether the changes of the script are to be undone


class DurableLog:
    """Observes all databases and writes their log. Safe to call from any thread; observers run under ``lock``.

    ``writer`` continues the log of this ``number``. ``level`` is `ALWAYS`, `EVERYSEC` or `NO`.
    """

    def __init__(
        self,
        disk: Disk,
        databases: Databases,
        lock: KeyspaceLock,
        writer: BatchWriter,
        number: int,
        level: str = EVERYSEC,
    ) -> None:
        self.disk = disk
        self.databases = databases
        self.lock = lock
        self.level = level
        self.number = number
        """Of the log that is written."""
        self.writer = writer
        self.recorders: dict[int, DatabaseRecorder] = {}
        """What observes each database."""
        self.problem: str | None = None
        """Why writes are refused; None while the log works."""
        self.failures = 0
        """How often changes had to be undone. What was executed before a failure can no longer be committed."""
        self.syncs = 0
        self.batches = 0
        self.is_trusted = True
        """Whether the file may be written again: no sync of it has failed, and its end is known."""
        self.is_closed = False
        self.pending = Pending()
        """The changes that are not written yet."""
        self.appended = 0
        """How many changes were recorded since the start."""
        self._holding = threading.Lock()
        self._held: _Held | None = None
        self.is_muted = False
        """Whether nothing is recorded, while changes are undone."""
        self._committed = 0  # those that are as durable as the level asks for
        self._leading = threading.Lock()  # held by the thread that writes; of those that wait, the next commits for all
        self._syncing = threading.Lock()
        self._files = threading.Lock()
        self._retired: list[File] = []  # earlier logs that are not synced to their end yet
        self._synced = 0  # bytes of the present log
        self._data_end = writer.size  # the end of its last batch with records
        self._marked = 0  # the highest synced offset in a trailer
        self.thread = _Thread()
        """For the engine, which sets ``failures`` before a command is executed."""
        self.needs_attention = False
        """Whether the engine must call `attend` before a command: writes are refused, or much is pending."""
        databases.observe(self)

    # ---------------------------------------------------------------- observing, under the keyspace lock

    def observer_of(self, store: Store) -> DatabaseRecorder:
        """Record the changes of a database from now on."""
        recorder = self.recorders[store.index] = DatabaseRecorder(self, store)
        return recorder

    def on_swap(self, first: int, second: int) -> None:
        """Record a SWAPDB."""
        self.recorders[first].swap(self.recorders[second])
        if self.is_muted:
            return
        pending = self.pending
        pending.records.append((b"SWAPDB", b"%d" % first, b"%d" % second))
        pending.undo.append((undo_swap, self.databases, first, second))
        self.appended += 1

    @property
    def needs_visit(self) -> bool:
        """Whether a visit of all keys would free memory. See `server.engines.log.key_order`."""
        return any(each.order.needs_visit for each in self.recorders.values())

    def begin_visit(self) -> None:
        """Begin to visit the keys of all databases that exist now."""
        for recorder in self.recorders.values():
            recorder.begin_visit()

    def visit(self, count: int) -> tuple[int, Entries] | None:
        """Visit up to ``count`` keys of a database. Return its number when the visit began, and the keys that exist.

        Returns None at the end. SWAPDB does not change the number, because the log that continues a snapshot has it.
        """
        with self.lock:
            for recorder in self.recorders.values():
                if recorder.order.is_visiting:
                    return recorder.visit(count)
        return None

    # ---------------------------------------------------------------- the commit barrier

    def set_level(self, level: str) -> None:
        """Set how durable changes must be. `ALWAYS` includes those that were committed at a lower level."""
        with self.lock:
            self.level = level
            if level == ALWAYS:
                self.appended += 1  # without a record: the next commit syncs what is written

    @property
    def pending_bytes(self) -> int:
        """The approximate size of the records that are not written yet."""
        return self.pending.size

    @property
    def must_wait(self) -> bool:
        """Whether a commit now would wait for the disk. Otherwise it only writes to the kernel's cache, if anything."""
        return self.level == ALWAYS and self._committed < self._target()

    def _target(self) -> int:
        """Return up to which change a commit now would commit. Those of a script that runs do not count yet."""
        appended, held = self.appended, self._held  # in this order, because a script may begin in between
        return appended if held is None else held.appended

    def attend(self) -> None:
        """Write what is pending if there is much of it. It does not end a request, so nothing is raised."""
        if self.pending.size > MAX_PENDING:
            with self.exclusive():
                self._commit_pending()

    def commit(self) -> None:
        """Return when everything that was recorded so far is as durable as the level asks for.

        Raises `CommitFailed` if this thread has executed something since its last commit that was undone meanwhile.
        """
        thread = self.thread
        failures = thread.failures
        thread.failures = None
        if failures is None:
            failures = self.failures
        if self._committed < self._target() or failures != self.failures:
            self.commit_since(failures)

    def commit_since(self, failures: int) -> None:
        """Do the same for what was executed since there were so many failures, by any thread."""
        target = self._target()
        with self._leading:
            if failures == self.failures and self._committed < target:
                self._commit_pending()
        if failures != self.failures:
            raise CommitFailed("the log has failed")

    def write_pending(self) -> None:
        """Write what is pending. Raises nothing."""
        with self.exclusive():
            self._commit_pending()

    def exclusive(self) -> AbstractContextManager[Any]:
        """Wait until no thread writes the log, and keep others from it."""
        return self._leading

    def _commit_pending(self) -> None:
        """Write the pending records as one batch, and sync it if the level asks for that. The leader calls it."""
        while not self.lock.acquire(timeout=HOLD_CHECK_INTERVAL):
            if self._commit_held():
                return
        try:
            problem = self.problem
            if problem is None or not self.pending.undo:
                pending, self.pending = self.pending, Pending()
                taken = self.appended
                self.needs_attention = problem is not None
            else:  # executed in the moment in which the log failed
                pending = None
        finally:
            self.lock.release()
        if pending is None:
            self.fail(str(problem), is_trusted=self.is_trusted)
        elif problem is not None or self._write(pending):
            self._committed = taken
            pending.free()

    def _commit_held(self) -> bool:
        """Do the same for the changes before a script that runs. Return whether one runs."""
        with self._holding:
            held = self._held
            if held is None or self.problem is not None:
                return False
            pending, held.pending = held.pending, None
        if pending is not None and self._write(pending):
            self._committed = held.appended
            pending.free()
        return True

    # ---------------------------------------------------------------- scripts

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Keep the changes meanwhile apart, because they are to be one batch, and take long. Under the keyspace lock.

        Other threads can commit the changes before them. After `discard_held` they are undone at the end, and
        `CommandError` is raised.
        """
        with self._holding:
            self._held = held = _Held(self.pending, self.appended)
            self.pending = Pending()
        try:
            yield
        finally:
            with self._holding:
                self._held = None
            if held.is_unwanted:
                self._roll_back()
                self.pending = Pending()
            if held.pending is not None:
                held.pending.append(self.pending)
                self.pending = held.pending
            if held.is_unwanted:  # a transaction must not be replied as if its other commands had been executed
                raise CommandError(log_failing(SERVER_STOPPING.decode())) from None

    def discard_held(self) -> None:
        """Let the changes of a script that runs be undone when it ends, because the server stops. For any thread."""
        with self._holding:
            if self._held is not None:
                self._held.is_unwanted = True

    def _write(self, pending: Pending) -> bool:
        writer = self.writer
        size, chain = writer.size, writer.chain
        try:
            self._append(pending.complete_records())
        except Exception as problem:  # MemoryError, too: what is not written must be undone, whatever the reason
            self._fail_write(problem, pending)
            return False
        try:
            if self.level == ALWAYS:
                self.sync()
        except OSError as problem:
            writer.cut_off(size, chain)  # so that the batch does not come back, if the kernel can still write that
            self.fail(reason_of(problem), pending, is_trusted=False)
            return False
        return True

    def _append(self, records: Sequence[Record]) -> None:
        if records:
            self.writer.append(encode(records), self._synced)
            self._data_end, self._marked = self.writer.size, self._synced
            self.batches += 1

    def _fail_write(self, problem: Exception, pending: Pending | None = None) -> None:
        # Without the part of a batch that could be written, the next batch can follow.
        is_cut = self.writer.cut_off(self.writer.size, self.writer.chain)
        is_file_intact = not isinstance(problem, OSError) or problem.errno in DISK_FULL
        self.fail(reason_of(problem), pending, is_trusted=is_cut and is_file_intact)

    # ---------------------------------------------------------------- syncing

    @property
    def needs_sync(self) -> bool:
        """Whether a batch is not known to be on the storage medium."""
        return self._synced < self._data_end or bool(self._retired)

    def sync(self) -> None:
        """Sync everything that is written. Any thread may call it, also while another one writes.

        Raises `OSError`, also if an earlier sync has failed: the next one might succeed without writing anything.
        """
        with self._syncing:
            if not self.is_trusted:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            with self._files:
                writer, retired = self.writer, self._retired.copy()
            size = writer.size
            try:
                # The earlier log first: what a trailer of the present one calls synced implies that it is complete.
                for file in (*retired, writer.file):
                    file.sync()
            except OSError:
                self.is_trusted = False
                raise
            with self._files:
                self._retired = self._retired[len(retired) :]
                if writer is self.writer:
                    self._synced = max(self._synced, size)
            self.syncs += 1
        for file in retired:
            file.close()

    def mark(self) -> None:
        """Note in the log how much of it is synced, if its last trailer does not say so. Raises `OSError`.

        Two batches without records: if the trailer before them is damaged, the second one can be verified by the first.
        The comment keeps the first one's trailer in a line of its own even if the line break before it is damaged.
        """
        with self.exclusive():
            if self.problem is not None or not self._marked < self._data_end <= self._synced:
                return
            try:
                self.writer.append([b"# synced\n"], self._synced)
                self.writer.append((), self._synced)
            except OSError as problem:
                self._fail_write(problem)
                raise
            self._marked = self._synced

    # ---------------------------------------------------------------- failures

    def fail(self, reason: str, pending: Pending | None = None, *, is_trusted: bool) -> None:
        """Refuse writes from now on, and undo the changes that are not durable. The leader calls it.

        ``pending`` is what the leader has taken. ``is_trusted`` says whether the file may be written again.
        """
        with self.lock:
            if pending is not None:
                pending.append(self.pending)
                self.pending = pending
            is_new = self.problem is None
            self.problem = reason
            self.needs_attention = True
            self.is_trusted = self.is_trusted and is_trusted
            self.failures += 1
            self._roll_back()
            undone, self.pending = self.pending, Pending()
            self._committed = self.appended
        if is_new:
            logger.error("writes are refused, because the log cannot be written: %s", reason)
        undone.free()

    def _roll_back(self) -> None:
        """Undo the pending changes. The caller has the keyspace lock."""
        self.is_muted = True
        try:
            self.pending.roll_back(self.databases)
        finally:  # what is left after a MemoryError is undone by the next commit
            self.is_muted = False

    def refuse(self, reason: str, *, is_lost: bool = False) -> None:
        """Refuse writes from now on, although the file can still be written. ``is_lost``: it was removed."""
        with self.exclusive():
            if not is_lost:
                self._commit_pending()
            self.fail(reason, is_trusted=not is_lost)

    def resume(self, writer: BatchWriter | None = None, number: int = 0) -> None:
        """Accept writes again, in this log if one is given. The leader calls it.

        Keys that have expired meanwhile are recorded first: a SETRANGE after the expiry begins with an empty value. If
        that cannot be written, the log is failing again.
        """
        if writer is not None:
            with self._syncing, self._files:  # no thread syncs a file that is closed here
                retired, self._retired = [*self._retired, self.writer.file], []
                self._use(writer, number)
                self._synced = writer.size
                self.is_trusted = True
            for file in retired:
                file.close()
        while not self._is_resumed():
            with self.lock:
                recorders = list(self.recorders.values())
                expired = [each.take_unrecorded() for each in recorders]
                pending = Pending()
                for recorder, keys in zip(recorders, expired, strict=True):
                    pending.select(recorder.index)
                    pending.records += [(b"DEL", key) for key in keys]
            try:
                self._append(pending.complete_records())
            except Exception as problem:
                with self.lock:
                    for recorder, keys in zip(recorders, expired, strict=True):
                        recorder.unrecorded |= keys
                self._fail_write(problem)
                return
        logger.warning("the log can be written again, and writes are accepted")

    def _is_resumed(self) -> bool:
        """Accept writes, unless there are expired keys to record first."""
        with self.lock:
            if any(each.unrecorded for each in self.recorders.values()):
                return False
            self.problem = None
            self.needs_attention = False
            return True

    # ---------------------------------------------------------------- rotation

    def rotate(self, file: File, number: int) -> Chain | None:
        """Continue in a new log, and begin a visit of all keys that exist now. The leader calls it.

        Returns the end of the chain of the old log; None if the log is failing. Raises `OSError` if the header of the
        new log cannot be written: then the old one is continued.
        """
        with self.lock:
            self.begin_visit()
            if self.problem is not None:
                self.is_trusted = False  # from now on a later log may replace this one
                return None
            pending, self.pending = self.pending, Pending()
            taken = self.appended
        if not self._write(pending):
            return None
        self._committed = taken
        pending.free()
        chain = self.writer.chain
        writer = BatchWriter(file, chain)
        writer.append([make_header(b"log", number, chain)])
        with self._files:
            self._retired.append(self.writer.file)
            self._use(writer, number)
            self._synced = 0
        return chain

    def _use(self, writer: BatchWriter, number: int) -> None:
        self.writer, self.number = writer, number
        self._data_end, self._marked = writer.size, 0

    def flush(self) -> int:
        """Write what is pending, and sync. Return the sequence number of a batch up to which the log is synced.

        Raises `OSError`; `CommitFailed` if the log is failing. Other threads write while this one waits for the disk.
        """
        with self.exclusive():
            self._commit_pending()
            sequence = self.writer.chain.sequence
        if self.problem is not None:
            raise CommitFailed(self.problem)
        self.sync_or_fail()
        return sequence

    def sync_or_fail(self) -> None:
        """Sync what is written. Raises `OSError`, after which the log is failing."""
        try:
            self.sync()
        except OSError as problem:
            with self.exclusive():
                self.fail(reason_of(problem), is_trusted=False)
            raise

    def close(self) -> None:
        """Close the files. Nothing is written any more, and every commit of a change fails."""
        with self.exclusive(), self._files:
            self.is_closed = True
            self.problem = SERVER_STOPPING.decode()
            self.needs_attention = True
            for file in (*self._retired, self.writer.file):
                file.close()
            self._retired = []


def reason_of(problem: Exception) -> str:
    """Return the text of a failure, as the operating system names it."""
    text = problem.strerror if isinstance(problem, OSError) else None
    return text or str(problem) or type(problem).__name__
