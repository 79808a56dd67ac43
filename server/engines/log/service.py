"""What keeps a log working: the sync of each second, rewriting, recovery after a failure, and the figures of INFO.

| thread        | does                                                                                    |
| ------------- | --------------------------------------------------------------------------------------- |
| `log`         | once a second: sync, watch the free space, begin a rewrite, resume a log that has failed |
| `log rewrite` | one rewrite                                                                             |
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable

from common.errors import LOG_REWRITE_IN_PROGRESS, LOG_SAVE_IN_PROGRESS, CommandError, log_rewrite_failed
from common.limits import MIB
from server.engines.base import InfoSection
from server.engines.log.disk import MIN_FREE, reason_of
from server.engines.log.log import NO, DurableLog
from server.engines.log.names import Names, log_name
from server.engines.log.rewrite import SLICE_KEYS, RewriteFailed, rewrite
from server.stderr_log import RepeatedMessage

TICK_INTERVAL = 1.0
"""Seconds between two syncs at the level ``everysec``, as in Redis."""

SLICE_PAUSE = 0.001
"""Seconds between two slices of a rewrite, for the threads that serve clients."""

STOP_TIMEOUT = 5.0
"""Seconds to wait for a slice of a rewrite to end when the server stops."""

logger = logging.getLogger(__name__)

Sleep = Callable[[float], object]


class LogService:
    """Keeps one log working, from `start` to `stop`. See `server.engines.base.Persistence`."""

    def __init__(self, log: DurableLog, rewrite_min_size: int = 64 * MIB) -> None:
        self.log = log
        self._changes = log.changes
        self.rewrite_min_size = rewrite_min_size
        self.last_save = int(time.time())
        """When the last snapshot was completed, in seconds since the epoch; at first, when the log was opened."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._rewriting = threading.Lock()  # held by the thread that rewrites
        self._rewriter: threading.Thread | None = None
        self._base_size = self._snapshot_size()
        self._has_snapshot = self._base_size > 0
        self._last_succeeded = True
        self._last_seconds = -1
        self._started: float | None = None  # when the rewrite in progress began
        self._rewrites = 0
        self._failed = RepeatedMessage(logger, logging.ERROR, "the log's thread failed unexpectedly, and goes on")
        self.commit = log.commit  # without the cost of another call
        self.commit_since = log.commit_since

    # ---------------------------------------------------------------- for the engine and the sessions

    @property
    def failures(self) -> int:
        """How often changes had to be undone, for `commit_since`."""
        return self._changes.failures

    @property
    def must_wait(self) -> bool:
        """Whether a commit now would wait for the disk."""
        return self.log.must_wait

    @property
    def problem(self) -> str | None:
        """Why writes are refused; None while they are not."""
        return self._changes.problem

    def set_level(self, level: str) -> None:
        """Set how durable changes must be: always, everysec or no."""
        self.log.set_level(level)

    def set_rewrite_min_size(self, size: int) -> None:
        """Set the size from which the log is rewritten when it has doubled."""
        self.rewrite_min_size = size

    def discard_script(self) -> None:
        """Let the changes of the script that runs be undone when it ends, because the server stops."""
        self._changes.discard_held()

    # ---------------------------------------------------------------- rewriting

    def save(self) -> None:
        """Rewrite the log, and return when that is done. Raises `CommandError`."""
        if not self._rewriting.acquire(blocking=False):
            raise CommandError(LOG_SAVE_IN_PROGRESS)
        self._rewrite(_no_pause)
        if not self._last_succeeded:
            raise CommandError(log_rewrite_failed())

    def begin_save(self) -> None:
        """Rewrite the log in the background, for BGSAVE. Raises `CommandError`."""
        if not self._begin_rewrite():
            raise CommandError(LOG_SAVE_IN_PROGRESS)

    def begin_rewrite(self) -> None:
        """Rewrite the log in the background, for BGREWRITEAOF. Raises `CommandError`."""
        if not self._begin_rewrite():
            raise CommandError(LOG_REWRITE_IN_PROGRESS)

    def _begin_rewrite(self) -> bool:
        if not self._rewriting.acquire(blocking=False):
            return False
        self._rewriter = threading.Thread(
            target=self._rewrite, args=(self._stopping.wait,), name="log rewrite", daemon=True
        )
        try:
            self._rewriter.start()
        except BaseException:  # the system has no thread left
            self._rewriting.release()
            raise
        return True

    def _rewrite(self, pause: Sleep) -> None:
        """Rewrite the log in slices. The caller has taken ``_rewriting``, which is released here."""
        self._started = started = time.monotonic()
        try:
            for _ in rewrite(self.log):
                if self._stopping.is_set():
                    return
                pause(SLICE_PAUSE)
            self._last_succeeded = True
            self.last_save = int(time.time())
            self._rewrites += 1
            self._has_snapshot = True
        except RewriteFailed as problem:
            self._last_succeeded = False
            logger.warning("the log could not be rewritten: %s", problem)
        except BaseException:  # the thread ends, and its traceback is logged
            self._last_succeeded = False
            raise
        finally:
            self._last_seconds = round(time.monotonic() - started)
            self._started = None
            # After a failure too, so that the next attempt is not made before the log has doubled again.
            self._base_size = self._snapshot_size() if self._last_succeeded else self.size()
            self._rewriting.release()

    def size(self) -> int:
        """Return the bytes of all files that rebuild the keyspace; 0 if the disk cannot be read."""
        return self._size_of(lambda names: names.data())

    def _snapshot_size(self) -> int:
        return self._size_of(lambda names: [each for each in names.data() if each.endswith(".base")])

    def _size_of(self, choose: Callable[[Names], list[str]]) -> int:
        disk = self.log.disk
        try:
            return sum(map(disk.size, choose(Names.of(disk.names()))))
        except OSError:  # a rewrite has just removed one, or the disk fails, which others notice
            return 0

    @property
    def _needs_rewrite(self) -> bool:
        size = self.size()
        return size > self.rewrite_min_size and size >= 2 * self._base_size

    # ---------------------------------------------------------------- once a second

    def tick(self) -> None:
        """Do what is due each second."""
        log = self.log
        problem = self._find_problem(MIN_FREE if log.problem is None else 2 * MIN_FREE)
        if problem is not None:
            is_lost = isinstance(problem, FileNotFoundError)
            if log.problem is None or (is_lost and log.files.is_trusted):
                log.refuse(reason_of(problem), is_lost=is_lost)
        elif log.problem is not None:
            self._resume()
            return
        try:
            log.write_pending()
            if log.level != NO and log.files.needs_sync and log.files.is_trusted:  # also while writes are refused
                log.sync_or_fail()
            log.mark()
        except OSError as failed:
            logger.debug("the log could not be synced: %s", failed)
            return
        if log.problem is not None:
            return
        if self._needs_rewrite:
            self._begin_rewrite()
        elif log.recorders.needs_visit and self._rewriting.acquire(blocking=False):
            self._compact_order()

    def _find_problem(self, min_free: int) -> OSError | None:
        """Return why the log cannot be written; None if it can. If it was removed, that is a `FileNotFoundError`."""
        disk = self.log.disk
        try:
            disk.check()
            if self.log.files.is_trusted and not self._are_files_unchanged():  # otherwise others replace them
                return FileNotFoundError(errno.ENOENT, "the log was changed by another program")
            if disk.free_bytes() < min_free:
                return OSError(errno.ENOSPC, f"less than {min_free // MIB} MiB are free on the disk")
        except OSError as problem:
            return problem
        return None

    def _are_files_unchanged(self) -> bool:
        """Return whether there is a snapshot, if there must be one, and the log has the size that was written.

        An editor replaces a log, and logrotate truncates it.
        """
        log, disk = self.log, self.log.disk
        # A rewrite that replaces the snapshot may hide both from a thread that lists the directory.
        if self._has_snapshot and not self._rewriting.locked() and not Names.of(disk.names()).snapshots:
            return False
        with log.exclusive():
            return disk.size(log_name(log.files.number)) == log.files.writer.size

    def _resume(self) -> None:
        log = self.log
        if log.files.is_trusted:
            with log.exclusive():
                log.resume()
        elif self._rewriting.acquire(blocking=False):
            self._rewrite(_no_pause)

    def _compact_order(self) -> None:
        """Visit the keys without a rewrite, which removes the stale ones from the queue."""
        log = self.log
        try:
            with log.lock:
                log.recorders.begin_visit()
            while log.visit(SLICE_KEYS) is not None and not self._stopping.is_set():
                self._stopping.wait(SLICE_PAUSE)
        finally:
            self._rewriting.release()

    # ---------------------------------------------------------------- start, stop

    def start(self) -> None:
        """Start the thread `log`."""
        self._thread.start()

    def stop(self) -> None:
        """End the threads, sync the log, and release the directory. Raises nothing."""
        self._stopping.set()
        for thread in (self._thread, self._rewriter):
            if thread is not None and thread.ident is not None:
                thread.join(STOP_TIMEOUT)
        try:
            self.log.write_pending()
            if self.log.files.is_trusted:  # also while writes are refused
                self.log.sync_or_fail()
                self.log.mark()
                self.log.sync_or_fail()
        except OSError as problem:
            logger.warning("the log could not be synced: %s", reason_of(problem))
        finally:
            self.log.close()
            self.log.disk.close()

    def _run(self) -> None:
        while not self._stopping.wait(TICK_INTERVAL):
            try:
                self.tick()
            except Exception as problem:
                self._failed.log(exc_info=problem)

    # ---------------------------------------------------------------- INFO

    def info(self) -> InfoSection:
        """Return INFO's section, with Redis's names for what Redis has."""
        log = self.log
        status = "ok" if log.problem is None else "err"
        started = self._started
        current_seconds = -1 if started is None else round(time.monotonic() - started)
        return {
            "loading": 0,
            "aof_enabled": 1,
            "aof_rewrite_in_progress": int(self._rewriting.locked()),
            "aof_last_rewrite_time_sec": self._last_seconds,
            "aof_current_rewrite_time_sec": current_seconds,
            "aof_last_bgrewrite_status": "ok" if self._last_succeeded else "err",
            "aof_last_write_status": status,
            "aof_current_size": self.size(),
            "aof_base_size": self._base_size,
            "rdb_bgsave_in_progress": int(self._rewriting.locked()),
            "rdb_last_bgsave_status": "ok" if self._last_succeeded else "err",
            "rdb_last_bgsave_time_sec": self._last_seconds,
            "rdb_current_bgsave_time_sec": current_seconds,
            "rdb_last_save_time": self.last_save,
            "log_failing": int(log.problem is not None),
            "log_failures": log.failures,
            "log_problem": log.problem or "",
            "log_batches": log.files.batches,
            "log_syncs": log.files.syncs,
            "log_rewrites": self._rewrites,
            "log_pending_bytes": log.pending_bytes,
        }


def _no_pause(_: float) -> None:
    """Go on at once: the caller waits for the end."""
