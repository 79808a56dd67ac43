"""How requests wait for the keyspace lock.

A script can hold the lock for as long as it likes. A thread that serves many connections must not wait for it for ever.
So, if scripts are available, a request that finds the lock taken asks now and then whether it must go on waiting. While
the lock is free, this costs it nothing but another way to call `acquire`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Protocol

from common.errors import CommandError

CHECK_INTERVAL = 0.1
"""Seconds after which a request that waits for the lock asks whether it must go on waiting."""


class KeyspaceLock(Protocol):
    """A re-entrant lock (`threading.RLock`)."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...

    def release(self) -> None: ...

    def __enter__(self) -> bool: ...

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class LockWaits:
    """Takes the keyspace lock for requests: with it, the lock is held."""

    def __init__(self, lock: KeyspaceLock) -> None:
        self.lock = lock
        self.acquire: Callable[[], bool] = lock.acquire
        """Takes the lock. If it returns false, `wait` must be called."""
        self._postponed: deque[Callable[[], object]] = deque()  # what could not be done at once
        self._refuse: Callable[[], None] | None = None

    def limit(self, refuse: Callable[[], None]) -> None:
        """Call a function regularly in a request that waits. It raises `CommandError` to end the wait."""
        self._refuse = refuse
        self.acquire = partial(self.lock.acquire, False)

    def wait(self) -> None:
        """Wait for the lock, which another thread holds, and take it. Raises `CommandError`."""
        while True:
            if self._refuse is not None:  # before the wait, too: the thread may close many connections
                self._refuse()
            if self.lock.acquire(timeout=CHECK_INTERVAL):
                return

    def __enter__(self) -> None:
        """Take the lock. Raises `CommandError`."""
        if not self.acquire():
            self.wait()

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release it."""
        self.lock.release()

    def do_soon(self, function: Callable[[], object]) -> None:
        """Call a function with the lock: now or, while a slow script has the lock, later.

        So a connection can be closed meanwhile.
        """
        try:
            if not self.acquire():
                self.wait()
        except CommandError:
            self._postponed.append(function)
            return
        try:
            function()
        finally:
            self.lock.release()

    def do_postponed(self) -> None:
        """Do what was postponed, in order. The caller has the lock. The active expire thread calls it regularly."""
        while self._postponed:
            self._postponed.popleft()()
