"""The durable log: every change of a database becomes a record in a file before its reply is sent.

    command -> Store -> DatabaseRecorder -> pending records                         under the keyspace lock, without I/O
    replies of the command -> commit() -> LogFiles.append, sync -> they are sent    without the lock

``commit`` is the barrier between execution and output. It returns when everything that was recorded so far is as
durable as the level asks for, so a reply never shows a change that a crash could still undo. That is true of reads as
well.

Group commit: the first thread that needs something to be durable becomes the leader. It writes all pending records as
one batch and syncs once. Of the threads that wait meanwhile, the next one does the same for all of them.

If that fails, the log is failing: the changes that are not durable are undone in the store, their clients get no
reply, and the engine refuses writes until the log works again. So the store is always what clients were told, and what
was refused never comes back.
"""

from __future__ import annotations

import logging
import threading
from contextlib import AbstractContextManager
from typing import Any

from common.errors import SERVER_STOPPING
from server.engines.base import CommitFailed
from server.engines.log.changes import Changes
from server.engines.log.disk import Disk, File, reason_of
from server.engines.log.files import LogFiles
from server.engines.log.pending import Pending
from server.engines.log.recorder import MAX_PENDING, Entries, Recorders
from server.engines.log.trailer import Chain
from server.engines.log.writer import BatchWriter
from server.engines.waits import KeyspaceLock
from server.keyspace.databases import Databases

ALWAYS, EVERYSEC, NO = "always", "everysec", "no"

HOLD_CHECK_INTERVAL = 0.01
"""Seconds for which a commit waits for the keyspace lock before it looks whether a script has the lock."""

logger = logging.getLogger(__name__)


class DurableLog:
    """Writes the log of all databases. Safe to call from any thread. ``lock`` is the keyspace lock.

    ``level`` is `ALWAYS`, `EVERYSEC` or `NO`.
    """

    def __init__(
        self,
        disk: Disk,
        databases: Databases,
        lock: KeyspaceLock,
        files: LogFiles,
        level: str = EVERYSEC,
    ) -> None:
        self.disk = disk
        self.lock = lock
        self.files = files
        self.level = level
        self.changes = Changes(databases)
        self.recorders = Recorders(self.changes, databases)
        self.is_closed = False
        self._leading = threading.Lock()  # held by the thread that writes; of those that wait, the next commits for all
        databases.observe(self.recorders)

    @property
    def problem(self) -> str | None:
        """Why writes are refused; None while the log works."""
        return self.changes.problem

    @property
    def failures(self) -> int:
        """How often changes had to be undone."""
        return self.changes.failures

    # ---------------------------------------------------------------- the commit barrier

    def set_level(self, level: str) -> None:
        """Set how durable changes must be. `ALWAYS` includes those that were committed at a lower level."""
        with self.lock:
            self.level = level
            if level == ALWAYS:
                self.changes.appended += 1  # without a record: the next commit syncs what is written

    @property
    def pending_bytes(self) -> int:
        """The approximate size of the records that are not written yet."""
        return self.changes.pending.size

    @property
    def must_wait(self) -> bool:
        """Whether a commit now would wait for the disk. Otherwise it only writes to the kernel's cache, if anything."""
        return self.level == ALWAYS and self.changes.committed < self.changes.target()

    def attend(self) -> None:
        """Write what is pending if there is much of it. It does not end a request, so nothing is raised."""
        if self.changes.pending.size > MAX_PENDING:
            with self.exclusive():
                self._commit_pending()

    def commit(self) -> None:
        """Return when everything that was recorded so far is as durable as the level asks for.

        Raises `CommitFailed` if this thread has executed something since its last commit that was undone meanwhile.
        """
        changes = self.changes
        thread = changes.thread
        failures = thread.failures
        thread.failures = None
        if failures is None:
            failures = changes.failures
        if changes.committed < changes.target() or failures != changes.failures:
            self.commit_since(failures)

    def commit_since(self, failures: int) -> None:
        """Do the same for what was executed since there were so many failures, by any thread."""
        changes = self.changes
        target = changes.target()
        with self._leading:
            if failures == changes.failures and changes.committed < target:
                self._commit_pending()
        if failures != changes.failures:
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
        if not self._lock_between_scripts():
            return
        changes = self.changes
        try:
            problem = changes.problem
            # What was executed in the moment in which the log failed is not taken, but undone.
            pending = changes.take() if problem is None or not changes.pending.undo else None
        finally:
            self.lock.release()
        if pending is None:
            self.fail(str(problem))
        elif problem is not None or self._write(pending):
            self._complete(pending)

    def _complete(self, written: Pending) -> None:
        self.changes.committed = written.end
        written.free()

    def _lock_between_scripts(self) -> bool:
        """Take the keyspace lock. If a script has it, commit the changes before the script instead, and return false.

        A leader must not wait for the end of a script. Threads that serve many connections wait for the leader, and
        SCRIPT KILL could not be received.
        """
        while not self.lock.acquire(timeout=HOLD_CHECK_INTERVAL):
            if self._commit_held():
                return False
        return True

    def _commit_held(self) -> bool:
        """Commit the changes before a script that runs. Return whether one runs. The leader calls it."""
        taken = self.changes.take_held()
        if taken is None:
            return False
        pending, problem = taken
        if problem is not None:
            self.fail(problem)
        elif pending is not None and self._write(pending):
            self._complete(pending)
        return True

    def _write(self, pending: Pending) -> bool:
        """Write changes as one batch, and sync it if the level asks for that. Return whether that has succeeded."""
        files = self.files
        writer = files.writer
        size, chain = writer.size, writer.chain
        try:
            files.append(pending.complete_records())
        except Exception as problem:  # MemoryError, too: what is not written must be undone, whatever the reason
            self.fail(reason_of(problem), pending)
            return False
        try:
            if self.level == ALWAYS:
                files.sync()
        except OSError as problem:
            writer.cut_off(size, chain)  # so that the batch does not come back, if the kernel can still write that
            self.fail(reason_of(problem), pending, is_trusted=False)
            return False
        return True

    # ---------------------------------------------------------------- failures

    def fail(self, reason: str, pending: Pending | None = None, *, is_trusted: bool = True) -> None:
        """Refuse writes from now on, and undo the changes that are not durable. The leader calls it.

        If a script has the keyspace lock, that is done at its end, and its changes are undone as well. Commits fail at
        once. ``pending`` is what the leader has taken. ``is_trusted`` is false if the file may not be written again.
        """
        changes = self.changes
        is_new, failures = changes.problem is None, changes.failures
        if not is_trusted:
            self.files.is_trusted = False
        while not self.lock.acquire(timeout=HOLD_CHECK_INTERVAL):
            if changes.undo_held(reason, pending):
                break
        else:
            try:
                undone = changes.undo(reason, pending)
            finally:
                self.lock.release()
            undone.free()
        if is_new and failures != changes.failures:
            logger.error("writes are refused, because the log cannot be written: %s", reason)

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
            self.files.replace(writer, number)
        while self._lock_between_scripts():  # if a script runs, the next tick of the service resumes the log
            try:
                expired = self.recorders.take_unrecorded()
                if not expired.records:
                    self.changes.accept_writes()
                    break
            finally:
                self.lock.release()
            try:
                self.files.append(expired.complete_records())
            except Exception as problem:
                self.fail(reason_of(problem), expired)
                return
        else:
            return
        logger.warning("the log can be written again, and writes are accepted")

    # ---------------------------------------------------------------- rotation

    def rotate(self, file: File, number: int) -> Chain | None:
        """Wait until no script runs, continue in a new log, and begin a visit of all keys that exist now.

        Returns the end of the chain of the old log; None if the log is failing. Raises `OSError` if that fails now, or
        if the header of the new log cannot be written: then the old one is continued.
        """
        while True:
            with self.exclusive():
                if self._lock_between_scripts():
                    return self._rotate(file, number)
            with self.lock:  # other threads are the leader until the script ends
                pass

    def _rotate(self, file: File, number: int) -> Chain | None:
        """Do the same. The caller is the leader, and has the keyspace lock, which is released here."""
        try:
            self.recorders.begin_visit()
            if self.problem is not None:
                self.files.is_trusted = False  # from now on a later log may replace this one
                return None
            pending = self.changes.take()
        finally:
            self.lock.release()
        if not self._write(pending):
            raise CommitFailed(self.problem)
        self._complete(pending)
        return self.files.continue_in(file, number)

    def visit(self, count: int) -> tuple[int, Entries] | None:
        """Visit up to ``count`` of the keys that existed at the rotation. See `Recorders.visit`."""
        with self.lock:
            return self.recorders.visit(count)

    # ---------------------------------------------------------------- syncing

    def flush(self) -> int:
        """Write what is pending, and sync. Return the sequence number of a batch up to which the log is synced.

        Raises `OSError`; `CommitFailed` if the log is failing. Other threads write while this one waits for the disk.
        """
        with self.exclusive():
            self._commit_pending()
            sequence = self.files.writer.chain.sequence
        if self.problem is not None:
            raise CommitFailed(self.problem)
        self.sync_or_fail()
        return sequence

    def sync_or_fail(self) -> None:
        """Sync what is written. Raises `OSError`, after which the log is failing."""
        try:
            self.files.sync()
        except OSError as problem:
            with self.exclusive():
                self.fail(reason_of(problem), is_trusted=False)
            raise

    def mark(self) -> None:
        """Note in the log how much of it is synced, if its last trailer does not say so. Raises `OSError`."""
        with self.exclusive():
            if self.files.needs_mark and self.problem is None and self.files.is_trusted:
                try:
                    self.files.mark()
                except OSError as problem:
                    self.fail(reason_of(problem))
                    raise

    def close(self) -> None:
        """Close the files. Nothing is written any more, and every commit of a change fails."""
        with self.exclusive():
            self.is_closed = True
            self.changes.refuse_writes(SERVER_STOPPING.decode())
            self.files.close()
