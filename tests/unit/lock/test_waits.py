"""How a thread waits for the keyspace lock while another one has it."""

from __future__ import annotations

import threading

import pytest

from common.errors import SCRIPT_BUSY, CommandError
from server.engines.waits import LockWaits
from tests.harness.waiting import TIMEOUT


class TakenLock:
    """A lock that another thread has. It counts the attempts to wait for it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.waits = 0
        self.is_free = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        self.waits += blocking
        return self.is_free and self.lock.acquire(blocking, timeout)

    def release(self) -> None:
        self.lock.release()


def refuse() -> None:
    raise CommandError(SCRIPT_BUSY)


def test_while_a_script_is_slow_no_thread_waits_for_the_lock() -> None:
    """An I/O thread may have to close many connections that watch keys, before it reads SCRIPT KILL."""
    lock = TakenLock()
    waits = LockWaits(lock)  # type: ignore[arg-type]
    waits.limit(refuse)
    done: list[int] = []
    for number in range(3):
        waits.do_soon(lambda number=number: done.append(number))  # type: ignore[misc]
    with pytest.raises(CommandError), waits:
        pass
    assert (lock.waits, done) == (0, [])
    lock.is_free = True
    with waits:
        waits.do_postponed()
    assert done == [0, 1, 2]


def test_without_a_slow_script_a_thread_waits_for_the_lock() -> None:
    lock = threading.RLock()
    waits = LockWaits(lock)
    waits.limit(lambda: None)
    taken, leave = threading.Event(), threading.Event()

    def take() -> None:
        with lock:
            taken.set()
            assert leave.wait(TIMEOUT)

    thread = threading.Thread(target=take)
    thread.start()
    assert taken.wait(TIMEOUT)
    threading.Timer(0.01, leave.set).start()
    with waits:
        assert leave.is_set()
    thread.join()
