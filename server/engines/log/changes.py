"""The changes of all databases on their way to the log: recorded, taken to be written, then committed or undone.

    DatabaseRecorder -> pending -> take -> written by the leader -> committed
                                        -> could not be written -> undo: the store is as before, and refuses writes

The changes before a script are held apart while it runs, so that they can be committed without the keyspace lock, which
the script has. Its own changes are pending, and become one batch when it has ended. Nothing here waits for I/O.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import SERVER_STOPPING, CommandError, log_failing
from server.engines.log.pending import Pending
from server.keyspace.databases import Databases


class _Thread(threading.local):
    """What a thread has executed since its last commit."""

    failures: int | None = None
    """How many failures there were before its first command; None if it has executed nothing."""


class _Held:
    """The changes before a script that runs."""

    __slots__ = ("appended", "failure", "is_unwanted", "pending")

    def __init__(self, pending: Pending, appended: int) -> None:
        self.pending: Pending | None = pending  # None when they were taken
        self.appended = appended
        self.is_unwanted = False  # whether the changes of the script are to be undone
        self.failure: str | None = None  # why they and those before the script are to be undone


class Changes:
    """The changes of a log. The keyspace lock guards them, except for what says something else."""

    def __init__(self, databases: Databases) -> None:
        self.pending = Pending()
        """Those that are not written yet. During a script, those of the script."""
        self.appended = 0
        """How many were recorded since the start."""
        self.committed = 0
        """How many of them are as durable as the level asks for. Set by the leader, or under the keyspace lock."""
        self.problem: str | None = None
        """Why writes are refused; None while the log works."""
        self.failures = 0
        """How often changes had to be undone. What was executed before a failure can no longer be committed."""
        self.needs_attention = False
        """Whether the engine must call `DurableLog.attend` before a command: writes are refused, or much is pending."""
        self.is_muted = False
        """Whether nothing is recorded, while changes are undone."""
        self.thread = _Thread()
        """For the engine, which sets ``failures`` before a command is executed."""
        self._databases = databases
        self._holding = threading.Lock()  # guards `_held` and what is in it
        self._held: _Held | None = None

    def target(self) -> int:
        """Return up to which change a commit now would commit. Those of a script that runs do not count yet.

        Any thread may call it, without a lock.
        """
        appended, held = self.appended, self._held  # in this order, because a script may begin in between
        return appended if held is None else held.appended

    def take(self) -> Pending:
        """Return the pending changes, which the caller writes. None is pending then."""
        taken, self.pending = self.pending, Pending()
        taken.end = self.appended
        self.needs_attention = self.problem is not None
        return taken

    # ---------------------------------------------------------------- failures

    def refuse_writes(self, reason: str) -> None:
        """Refuse writes from now on."""
        self.problem = reason
        self.needs_attention = True

    def accept_writes(self) -> None:
        """Accept writes again."""
        self.problem = None
        self.needs_attention = False

    def undo(self, reason: str, taken: Pending | None = None) -> Pending:
        """Refuse writes, and undo the changes that were taken and the pending ones. Return them, to be freed."""
        if taken is not None:
            taken.append(self.pending)
            self.pending = taken
        self.failures += 1
        return self._undo_pending(reason)

    def _undo_pending(self, reason: str) -> Pending:
        self.refuse_writes(reason)
        self._roll_back()
        undone, self.pending = self.pending, Pending()
        self.committed = self.appended
        return undone

    def _roll_back(self) -> None:
        self.is_muted = True
        try:
            self.pending.roll_back(self._databases)
        finally:  # what is left after a MemoryError is undone by the next commit
            self.is_muted = False

    # ---------------------------------------------------------------- scripts

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Keep the changes meanwhile apart, because they are to be one batch, and take long.

        Other threads can commit the changes before them. After `discard_held` and `undo_held` they are undone at the
        end, and `CommandError` is raised.
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
            if held.failure is not None:
                self._undo_pending(held.failure)
            if held.is_unwanted:  # a transaction must not be replied as if its other commands had been executed
                raise CommandError(log_failing(held.failure or SERVER_STOPPING.decode())) from None

    def discard_held(self) -> None:
        """Let the changes of a script that runs be undone when it ends, because the server stops. For any thread."""
        with self._holding:
            if self._held is not None:
                self._held.is_unwanted = True

    def take_held(self) -> tuple[Pending | None, str | None] | None:
        """Return the changes before a script that runs, or why they must be undone. The leader calls it.

        Both are None if there is nothing to write. Returns None if no script runs. Without the keyspace lock.
        """
        with self._holding:
            held, problem = self._held, self.problem
            if held is None:
                return None
            taken = held.pending
            if problem is not None:
                was_late = taken is not None and bool(taken.undo)  # executed in the moment in which the log failed
                return None, (problem if was_late else None)
            if taken is None or held.failure is not None:
                return None, None
            held.pending = None
        taken.end = held.appended
        return taken, None

    def undo_held(self, reason: str, taken: Pending | None) -> bool:
        """Let a script that runs undo its changes and those before it at its end. Return whether one runs.

        The leader calls it, without the keyspace lock. Commits of these changes fail at once.
        """
        with self._holding:
            held = self._held
            if held is None:
                return False
            if taken is not None:
                if held.pending is not None:
                    taken.append(held.pending)
                held.pending = taken
            if held.failure is None:
                held.failure, held.is_unwanted = reason, True
                # Here, before the script can end: a commit must not find its changes committed and no failure.
                self.failures += 1
                self.committed = held.appended
        return True
