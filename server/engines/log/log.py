"""The durable log: every change of a store becomes a record in a file before its reply is sent.

    command -> Store -> DurableLog.on_set ... -> pending records                  under the keyspace lock, without I/O
    replies of the command -> commit() -> write, sync -> the replies are sent     without the lock

``commit`` is the barrier between execution and output. It returns when everything that was recorded so far is as
durable as the level asks for, so a reply never shows a change that a crash could still undo. That is true of reads as
well.

Group commit: the first thread that needs something to be durable becomes the leader. It writes all pending records as
one batch and syncs once, for all threads that wait meanwhile.

If that fails, the log is failing: the changes that are not durable are undone in the store, their clients get no
reply, and the engine refuses writes until the log works again. So the store is always what clients were told, and what
was refused never comes back. A file whose sync has failed is never written again, because the kernel may have discarded
what it could not write and report the next sync as successful (PostgreSQL's fsync failures of 2018). The log begins
anew with a snapshot then (`server.engines.log.rewrite`).
"""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from common.limits import MIB
from server.engines.base import CommitFailed
from server.engines.log.disk import Disk, File
from server.engines.log.key_order import KeyOrder
from server.engines.log.names import make_header
from server.engines.log.pending import Pending, undo_clear, undo_entry, undo_expiry, undo_range
from server.engines.log.records import encode
from server.engines.log.trailer import Chain
from server.engines.log.writer import BatchWriter
from server.keyspace.contents import ClearedContents
from server.keyspace.observers import Entry, Removal
from server.keyspace.store import Store

ALWAYS, EVERYSEC, NO = "always", "everysec", "no"

MIN_FREE = 4 * MIB
"""Bytes of free space below which writes are refused, before the disk is full."""

MAX_PENDING = 64 * MIB
"""Bytes of pending records after which they are written before the next command is executed.

A command can make far larger records than it is itself: COPY records the value.
"""

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

logger = logging.getLogger(__name__)


class _Thread(threading.local):
    """What a thread has executed since its last commit."""

    failures: int | None = None
    """How many failures there were before its first command; None if it has executed nothing."""


class DurableLog:
    """Observes a store and writes its log. Safe to call from any thread; the observer's methods run under ``lock``.

    ``writer`` continues the log of this ``number``. ``level`` is `ALWAYS`, `EVERYSEC` or `NO`.
    """

    def __init__(
        self,
        disk: Disk,
        store: Store,
        lock: AbstractContextManager[Any],
        writer: BatchWriter,
        number: int,
        level: str = EVERYSEC,
    ) -> None:
        self.disk = disk
        self.store = store
        self.lock = lock
        self.level = level
        self.number = number
        """Of the log that is written."""
        self.writer = writer
        self.order = KeyOrder(store.keys_in_order())
        self.problem: str | None = None
        """Why writes are refused; None while the log works."""
        self.failures = 0
        """How often changes had to be undone. What was executed before a failure can no longer be committed."""
        self.syncs = 0
        self.batches = 0
        self.is_trusted = True
        """Whether the file may be written again: no sync of it has failed, and its end is known."""
        self._pending = Pending()
        self._appended = 0  # records since the start
        self._committed = 0  # those that are as durable as the level asks for
        self._is_muted = False  # while changes are undone
        self._turn = threading.Condition()
        self._is_leading = False
        self._syncing = threading.Lock()
        self._retired: list[File] = []  # earlier logs that are not synced to their end yet
        self._synced = 0  # bytes of the present log
        self._data_end = writer.size  # the end of its last batch with records
        self._marked = 0  # the highest synced offset in a trailer
        self.thread = _Thread()
        """For the engine, which sets ``failures`` before a command is executed."""
        self.needs_attention = False
        """Whether the engine must call `attend` before a command: writes are refused, or much is pending."""
        store.observe(self)

    # ---------------------------------------------------------------- the observer, under the keyspace lock

    def on_set(self, key: bytes, value: bytes, expires_at: int | None, before: Entry | None) -> None:
        """Record a SET."""
        if before is None:
            self.order.created(key)
        if self._is_muted:
            return
        if before is None and self.failures:
            self._record_missing(key)
        pending = self._pending
        pending.records.append(
            (b"SET", key, value) if expires_at is None else (b"SET", key, value, b"PXAT", b"%d" % expires_at)
        )
        pending.undo.append((undo_entry, key, before))
        pending.size += len(value)
        if pending.size > MAX_PENDING:
            self.needs_attention = True
        self._appended += 1

    def on_set_many(self, values: Mapping[bytes, bytes], before: Sequence[bytes | None]) -> None:
        """Record a SET for each key."""
        for (key, value), value_before in zip(values.items(), before, strict=True):
            self.on_set(key, value, None, None if value_before is None else (value_before, None))

    def on_write_range(self, key: bytes, offset: int, part: bytes, before: bytes | None) -> None:
        """Record a SETRANGE: not the value, which may be large and change often."""
        if before is None:
            self.order.created(key)
            if self.failures:
                self._record_missing(key)
            self._record((b"SETRANGE", key, b"%d" % offset, part), undo_entry, key, None)
        else:
            old_part = before[offset : offset + len(part)]
            record = (b"SETRANGE", key, b"%d" % offset, part)
            self._record(record, undo_range, key, offset, old_part, len(before))

    def on_expiry_change(self, key: bytes, expires_at: int | None, before: int | None) -> None:
        """Record a PEXPIREAT or a PERSIST."""
        record = (b"PERSIST", key) if expires_at is None else (b"PEXPIREAT", key, b"%d" % expires_at)
        self._record(record, undo_expiry, key, before)

    def on_remove(self, key: bytes, cause: Removal, before: Entry) -> None:
        """Record a DEL, whatever the cause. A key that has expired stays so, whether that is recorded or not."""
        self.order.removed(key)
        if cause is not Removal.EXPIRED:
            self._record((b"DEL", key), undo_entry, key, before)
        elif self.problem is None:
            self._record_missing(key)

    def on_clear(self, cleared: ClearedContents) -> None:
        """Record a FLUSHALL, and keep what it removed until it is durable."""
        self._pending.freed_keys += self.order.cleared()
        if not self._is_muted:
            cleared.hold()
            self._pending.cleared += (cleared,)
        self._record((b"FLUSHALL",), undo_clear, cleared)

    def _record_missing(self, key: bytes) -> None:
        """Record that a key did not exist. Its expiry is not in the log, if it happened while the log was failing."""
        self._pending.records.append((b"DEL", key))
        self._appended += 1

    def _record(self, record: tuple[bytes, ...], *undo: Any) -> None:
        if self._is_muted:
            return
        pending = self._pending
        pending.records.append(record)
        pending.undo.append(undo)
        pending.size += sum(map(len, record))
        if pending.size > MAX_PENDING:
            self.needs_attention = True
        self._appended += 1

    # ---------------------------------------------------------------- the commit barrier

    @property
    def pending_bytes(self) -> int:
        """The approximate size of the records that are not written yet."""
        return self._pending.size

    @property
    def must_wait(self) -> bool:
        """Whether a commit now would wait for the disk. Otherwise it only writes to the kernel's cache, if anything."""
        return self.level == ALWAYS and self._committed < self._appended

    def attend(self) -> None:
        """Write what is pending if there is much of it. It does not end a request, so nothing is raised."""
        if self._pending.size > MAX_PENDING:
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
        if self._committed < self._appended or failures != self.failures:
            self.commit_since(failures)

    def commit_since(self, failures: int) -> None:
        """Do the same for what was executed since there were so many failures, by any thread."""
        target = self._appended
        while True:
            with self._turn:
                while self._is_leading and self._committed < target and failures == self.failures:
                    self._turn.wait()
                if failures != self.failures:
                    raise CommitFailed("the log has failed")
                if self._committed >= target:
                    return
                self._is_leading = True
            try:
                self._commit_pending()
            finally:
                self._end_turn()

    def write_pending(self) -> None:
        """Write what is pending. Raises nothing."""
        with self.exclusive():
            self._commit_pending()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Wait until no thread writes the log, and keep others from it."""
        with self._turn:
            while self._is_leading:
                self._turn.wait()
            self._is_leading = True
        try:
            yield
        finally:
            self._end_turn()

    def _end_turn(self) -> None:
        with self._turn:
            self._is_leading = False
            self._turn.notify_all()

    def _commit_pending(self) -> None:
        """Write the pending records as one batch, and sync it if the level asks for that. The leader calls it."""
        with self.lock:
            pending, self._pending = self._pending, Pending()
            taken = self._appended
            self.needs_attention = self.problem is not None
        if self.problem is not None and pending.undo:  # executed in the moment in which the log failed
            self.fail(self.problem, pending, is_trusted=self.is_trusted)
        elif self.problem is not None or self._write(pending):
            self._committed = taken
            pending.free()

    def _write(self, pending: Pending) -> bool:
        writer = self.writer
        size, chain = writer.size, writer.chain
        try:
            self._append(pending)
        except OSError as problem:
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

    def _append(self, pending: Pending) -> None:
        if pending.records:
            self.writer.append(encode(pending.records), self._synced)
            self._data_end, self._marked = self.writer.size, self._synced
            self.batches += 1

    def _fail_write(self, problem: OSError, pending: Pending | None = None) -> None:
        # Without the part of a batch that could be written, the next batch can follow.
        is_cut = self.writer.cut_off(self.writer.size, self.writer.chain)
        self.fail(reason_of(problem), pending, is_trusted=is_cut and problem.errno in DISK_FULL)

    # ---------------------------------------------------------------- syncing

    @property
    def needs_sync(self) -> bool:
        """Whether a batch is not known to be on the storage medium."""
        return self._synced < self._data_end or bool(self._retired)

    def sync(self) -> None:
        """Sync everything that is written. Any thread may call it, also while another one writes. Raises `OSError`."""
        with self._syncing:
            with self._turn:
                writer, retired = self.writer, self._retired.copy()
            size = writer.size
            # The earlier log first: what a trailer of the present one calls synced implies that it is complete.
            for file in (*retired, writer.file):
                file.sync()
            with self._turn:
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
            self._is_muted = True
            later, self._pending = self._pending, Pending()
            later.roll_back(self.store)
            if pending is not None:
                pending.roll_back(self.store)
            self.store.begin_step()
            self._is_muted = False
            is_new = self.problem is None
            self.problem = reason
            self.needs_attention = True
            self.is_trusted = self.is_trusted and is_trusted
            self.failures += 1
            self._committed = self._appended
        if is_new:
            logger.error("writes are refused, because the log cannot be written: %s", reason)
        for each in (later, pending):
            if each is not None:
                each.free()

    def refuse(self, reason: str) -> None:
        """Refuse writes from now on, although the file can still be written."""
        with self.exclusive():
            self._commit_pending()
            self.fail(reason, is_trusted=True)

    def resume(self, writer: BatchWriter | None = None, number: int = 0) -> None:
        """Accept writes again, in this log if one is given. The leader calls it."""
        if writer is not None:
            with self._syncing, self._turn:  # no thread syncs a file that is closed here
                retired, self._retired = [*self._retired, self.writer.file], []
                self._use(writer, number)
                self._synced = writer.size
                self.is_trusted = True
            for file in retired:
                file.close()
        with self.lock:
            self.problem = None
            self.needs_attention = False
        logger.warning("the log can be written again, and writes are accepted")

    # ---------------------------------------------------------------- rotation

    def rotate(self, file: File, number: int) -> Chain | None:
        """Continue in a new log, and begin a visit of all keys that exist now. The leader calls it.

        Returns the end of the chain of the old log; None if the log is failing. Raises `OSError` if the header of the
        new log cannot be written: then the old one is continued.
        """
        with self.lock:
            self.order.begin_visit()
            if self.problem is not None:
                self.is_trusted = False  # from now on a later log may replace this one
                return None
            pending, self._pending = self._pending, Pending()
            taken = self._appended
        if not self._write(pending):
            return None
        self._committed = taken
        pending.free()
        chain = self.writer.chain
        writer = BatchWriter(file, chain)
        writer.append([make_header(b"log", number, chain)])
        with self._turn:
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
        with self.exclusive(), self._turn:
            self.problem = "the server is stopping"
            self.needs_attention = True
            for file in (*self._retired, self.writer.file):
                file.close()
            self._retired = []


def reason_of(problem: OSError) -> str:
    """Return the text of a failure, as the operating system names it."""
    return problem.strerror or str(problem)
