"""The pool of worker threads."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import CancelledError, wait

import pytest

from server.net import worker_pool
from server.net.worker_pool import WorkerPool
from tests.harness.processes import ROOT
from tests.harness.waiting import TIMEOUT, wait_until


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    opened = WorkerPool("test worker", 3)
    opened.start()
    yield opened
    opened.close()
    wait_until(lambda: not threads(), "the threads have ended")


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "test worker"]


def test_a_call_returns_its_result_or_raises(pool: WorkerPool) -> None:
    assert pool.submit(divmod, 7, 2).result(TIMEOUT) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 7, 0).result(TIMEOUT)
    with pytest.raises(SystemExit):
        pool.submit(sys.exit, 1).result(TIMEOUT)
    assert pool.submit(len, "abc").result(TIMEOUT) == 3


def test_a_free_thread_is_used_again() -> None:
    pool = WorkerPool("test worker")
    pool.start()
    for _ in range(100):
        pool.submit(len, "").result(TIMEOUT)
    # A thread counts as busy for a moment after its call has ended, so there may be a few.
    assert len(threads()) < 10
    pool.close()
    wait_until(lambda: not threads(), "the threads have ended")


def test_the_first_call_starts_a_thread() -> None:
    pool = WorkerPool("test worker")
    assert not threads()
    assert pool.submit(len, "abc").result(TIMEOUT) == 3
    pool.close()
    wait_until(lambda: not threads(), "the threads have ended")


def test_a_call_fails_if_the_system_allows_no_thread_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool = WorkerPool("test worker")
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError):
        pool.submit(len, "")
    monkeypatch.undo()
    assert pool.submit(len, "abc").result(TIMEOUT) == 3
    pool.close()
    wait_until(lambda: not threads(), "the threads have ended")


def test_idle_threads_end_but_for_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "IDLE_SECONDS", 0.01)
    pool = WorkerPool("test worker")
    for _ in range(3):
        barrier = threading.Barrier(5)  # which calls pass only if all of them run at the same time
        calls = [pool.submit(barrier.wait, TIMEOUT) for _ in range(5)]
        assert sorted(call.result(TIMEOUT) for call in calls) == list(range(5))
        wait_until(lambda: len(threads()) == 1, "all threads but one have ended")
    pool.close()
    wait_until(lambda: not threads(), "the threads have ended")


def test_there_are_never_more_threads_than_the_limit(pool: WorkerPool) -> None:
    release = threading.Event()
    calls = [pool.submit(release.wait, TIMEOUT) for _ in range(10)]
    assert len(threads()) == 3
    release.set()
    assert all(call.result(TIMEOUT) for call in calls)


def test_close_cancels_what_waits_and_lets_finish_what_runs(pool: WorkerPool) -> None:
    release = threading.Event()
    running = [pool.submit(release.wait, TIMEOUT) for _ in range(3)]
    wait_until(lambda: all(each.running() for each in running), "all threads are busy")
    waiting = pool.submit(len, "")
    pool.close()
    with pytest.raises(CancelledError):
        waiting.result(TIMEOUT)
    with pytest.raises(RuntimeError):
        pool.submit(len, "")
    release.set()
    assert not wait(running, TIMEOUT).not_done


def test_a_call_waits_for_another_thread_if_the_system_allows_no_more(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    release = threading.Event()
    first = pool.submit(release.wait, TIMEOUT)

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")  # the text of CPython

    monkeypatch.setattr(threading.Thread, "start", refuse)
    others = [pool.submit(len, "abc") for _ in range(5)]
    monkeypatch.undo()
    assert caplog.messages == ["no further worker thread can be started: can't start new thread"]
    release.set()
    assert first.result(TIMEOUT)
    assert [each.result(TIMEOUT) for each in others] == [3] * 5


def test_a_failed_call_leaves_no_reference_cycle(pool: WorkerPool) -> None:
    class Body:
        pass

    def fail(_: Body) -> None:
        raise ValueError

    gc.disable()
    try:
        body = Body()
        reference = weakref.ref(body)
        call = pool.submit(fail, body)
        assert isinstance(call.exception(TIMEOUT), ValueError)
        del call, body
        wait_until(lambda: reference() is None, "the argument is freed without the garbage collector")
    finally:
        gc.enable()


def test_the_process_ends_while_a_call_runs() -> None:
    program = (
        "import threading\n"
        "from server.net.worker_pool import WorkerPool\n"
        "pool = WorkerPool('worker')\n"
        "pool.submit(threading.Event().wait)\n"
        "pool.close()\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=TIMEOUT, check=True)
