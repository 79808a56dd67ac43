"""A keyspace lock for an engine that reports how it is used."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType, SimpleNamespace, TracebackType

import pytest

from server.engines import embedded as engine_module
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store


class WatchedLock:
    """A lock that reports whether it is held, and how often it was acquired while it was not held."""

    def __init__(self) -> None:
        self.depth = 0
        self.taken = 0
        self.on_acquire: Callable[[], None] = lambda: None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        self.taken += self.depth == 0
        self.depth += 1
        self.on_acquire()
        return True

    def release(self) -> None:
        assert self.depth > 0
        self.depth -= 1

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def engine_on(store: Store, lock: WatchedLock, monkeypatch: pytest.MonkeyPatch) -> EmbeddedEngine:
    """Make an engine that uses this lock."""
    fake = SimpleNamespace(Event=threading.Event, RLock=lambda: lock, Thread=threading.Thread)
    with monkeypatch.context() as patch, lock:  # no other thread can know the engine before this returns
        patch.setattr(engine_module, "threading", fake)
        engine = EmbeddedEngine(store)
        engine.database(0)  # made when it is first used
    lock.taken = 0
    return engine


@dataclass
class Work:
    """The number of function calls, including C functions. Unlike time, it does not depend on the load."""

    calls: int = 0
    calls_under_lock: int = 0


@contextmanager
def counted_work(lock: WatchedLock | None = None) -> Iterator[Work]:
    """Count the calls that this thread makes."""
    work = Work()

    def count(frame: FrameType, event: str, argument: object) -> None:
        if event.endswith("call"):
            work.calls += 1
            work.calls_under_lock += lock is not None and lock.depth > 0

    sys.setprofile(count)
    try:
        yield work
    finally:
        sys.setprofile(None)
