"""Scripts and the durable log: a script is one batch, and others commit while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import pytest

from common.replies import DEFERRED
from server.engines.base import CommitFailed
from server.engines.log.log import EVERYSEC
from tests.harness.logs import LoggedServer, fail_once
from tests.harness.sessions import send_line
from tests.harness.waiting import TIMEOUT, wait_until

pytest.importorskip("lupa", reason="the extra scripts is not installed")

LOG = "00000001.log"
ENDLESS = "redis.call('SET', 'during', 1) while true do end"


@contextmanager
def running(server: LoggedServer, line: str) -> Iterator[threading.Thread]:
    """Send a line whose script has written and does not end. At the end, stop the scripts of the server."""
    session = server.connect()
    thread = threading.Thread(target=send_line, args=(session, line))
    thread.start()
    try:
        wait_until(lambda: (run := server.context.scripts.running) is not None and run.has_written, "it has written")
        yield thread
    finally:
        server.context.scripts.stop(server.service)
        thread.join(TIMEOUT)


def test_a_script_is_one_batch() -> None:
    server = LoggedServer()
    server.run("SET a 1")
    batches = server.log.files.batches
    server.run("EVAL \"for i = 1, 10 do redis.call('SET', i, i) end redis.call('DEL', 'a')\" 0")
    assert server.log.files.batches == batches + 1
    assert LoggedServer(server.disk).store.all_keys() == [b"%d" % number for number in range(1, 11)]


@pytest.mark.parametrize("database", [0, 2])
def test_the_changes_of_a_script_are_recorded_in_its_database_after_those_of_another_one(database: int) -> None:
    server = LoggedServer(level=EVERYSEC)
    server.run_without_commit("SET a 0")
    server.connect().feed(b"SELECT 3\nSET a 3\n")
    script = f"redis.call('SELECT', {database}) redis.call('SET', 'b', 1)"
    server.run_without_commit(f'EVAL "{script}" 0')
    server.connect().feed(b"SELECT 3\nSET c 3\n")
    server.log.commit()
    expected = {0: [(b"a", b"0", None)], 3: [(b"a", b"3", None), (b"c", b"3", None)]}
    expected.setdefault(database, []).append((b"b", b"1", None))
    assert server.all_items() == expected
    assert server.restart().all_items() == expected


def test_what_was_executed_before_a_script_is_committed_while_it_runs() -> None:
    server = LoggedServer(level=EVERYSEC)
    session = server.connect()
    session.feed(b"SET before 1\n")
    with running(server, f'EVAL "{ENDLESS}" 0'):
        server.log.commit()
        assert b"SET before 1\n" in server.file(LOG)
        server.log.commit()  # there is nothing more, and it does not wait for the script
        assert b"during" not in server.file(LOG)


def test_what_was_executed_before_a_script_is_committed_while_a_rewrite_waits_for_the_script() -> None:
    server = LoggedServer(level=EVERYSEC)
    session = server.connect()
    session.feed(b"SET before 1\n")
    with running(server, f'EVAL "{ENDLESS}" 0'):
        rewriting = threading.Thread(target=server.service.save)
        rewriting.start()
        wait_until(lambda: "00000002.log" in server.disk.names(), "the rewrite has begun")
        committing = threading.Thread(target=server.log.commit_since, args=(server.log.failures,), daemon=True)
        committing.start()
        committing.join(TIMEOUT)
        assert not committing.is_alive()
        assert b"SET before 1\n" in server.file(LOG)
    rewriting.join(TIMEOUT)
    assert server.restart().items() == [(b"before", b"1", None)]


@pytest.mark.parametrize("is_committed", [False, True])
def test_a_script_that_the_stop_of_the_server_ends_leaves_nothing(is_committed: bool) -> None:
    server = LoggedServer(level=EVERYSEC)
    session = server.connect()
    session.feed(b"SET before 1\n")
    with running(server, f'EVAL "{ENDLESS}" 0'):
        if is_committed:
            server.log.commit()
    server.log.commit()
    assert server.store.all_keys() == [b"before"]
    assert LoggedServer(server.disk).store.all_keys() == [b"before"]


def test_a_transaction_with_a_script_is_one_batch_and_ends_as_a_whole() -> None:
    server = LoggedServer(level=EVERYSEC)
    session = server.connect()
    session.feed(b"SET before 1\nMULTI\nSET queued 1\n" + f'EVAL "{ENDLESS}" 0\n'.encode())
    replies: list[bytes] = []
    thread = threading.Thread(target=lambda: replies.append(session.feed(b"EXEC\n")))
    thread.start()
    wait_until(lambda: (run := server.context.scripts.running) is not None and run.has_written, "it has written")
    server.log.commit()
    assert b"queued" not in server.file(LOG)
    server.context.scripts.stop(server.service)
    thread.join(TIMEOUT)
    assert replies == [b"(error) MISCONF Errors writing to the AOF file: the server is stopping\n"]
    server.log.commit()
    assert LoggedServer(server.disk).store.all_keys() == [b"before"]


def test_writes_of_scripts_are_refused_while_the_log_is_failing() -> None:
    server = LoggedServer()
    server.run("SET k v")
    server.log.refuse("the disk is full")
    session = server.connect()
    assert send_line(session, "EVAL \"return redis.call('GET', 'k')\" 0") == "v"
    assert send_line(session, "EVAL \"return redis.call('SET', 'k', 1)\" 0").startswith("(error) MISCONF")
    assert send_line(session, 'EVAL_RO "#!lua flags=no-writes\\nreturn 1" 0') == "1"
    assert send_line(session, 'EVAL "#!lua\\nreturn 1" 0').startswith("(error) MISCONF")


def outcome_during_a_script(function: Callable[[], object]) -> BaseException | None:
    """Return what a function raises, if anything. It must end although a script runs."""
    future: Future[object] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as problem:
            future.set_exception(problem)

    threading.Thread(target=run, daemon=True).start()
    return future.exception(TIMEOUT)


@pytest.mark.parametrize("call", ["append", "sync"])
def test_a_commit_fails_at_once_while_a_script_runs_and_its_end_undoes_the_changes_before_it(call: str) -> None:
    server = LoggedServer()
    server.run("SET a 1")
    server.run_without_commit("APPEND a 2")
    server.run_without_commit("SET before 1")
    with running(server, f'EVAL "{ENDLESS}" 0'):
        server.disk.on_call = fail_once(call)
        failures = server.log.failures
        assert isinstance(outcome_during_a_script(lambda: server.log.commit_since(failures)), CommitFailed)
        assert outcome_during_a_script(server.log.commit) is None
        assert outcome_during_a_script(server.service.tick) is None
    assert server.all_items() == {0: [(b"a", b"1", None)]}
    with pytest.raises(CommitFailed):
        server.log.commit()
    server.service.tick()
    assert server.run("SET after 1") == ["OK"]
    assert server.restart().store.all_keys() == [b"a", b"after"]


def test_writes_can_be_refused_while_a_script_runs_and_are_accepted_after_it() -> None:
    server = LoggedServer(level=EVERYSEC)
    server.run_without_commit("SET before 1")
    with running(server, f'EVAL "{ENDLESS}" 0'):
        assert outcome_during_a_script(lambda: server.log.refuse("the disk is full")) is None
    assert server.store.all_keys() == [b"before"]  # it was committed by the refusal
    with pytest.raises(CommitFailed):
        server.log.commit()
    assert server.run("SET k 1")[0].startswith("(error) MISCONF")
    server.service.tick()
    assert server.run("SET after 1") == ["OK"]
    assert server.restart().store.all_keys() == [b"before", b"after"]


def test_a_change_that_was_executed_while_the_log_failed_is_refused_although_a_script_runs() -> None:
    server = LoggedServer(level=EVERYSEC)
    server.log.refuse("the disk is full")
    server.store.set(b"late", b"1")  # by a thread that had looked whether writes are refused before
    reading = "redis.call('GET', 'late') while true do end"
    thread = threading.Thread(target=send_line, args=(server.connect(), f'EVAL "{reading}" 0'))
    thread.start()
    wait_until(lambda: server.context.scripts.running is not None, "the script runs")
    try:
        failures = server.log.failures
        assert isinstance(outcome_during_a_script(lambda: server.log.commit_since(failures)), CommitFailed)
        assert outcome_during_a_script(server.service.tick) is None  # it cannot resume the log
    finally:
        server.context.scripts.stop(server.service)
        thread.join(TIMEOUT)
    assert server.store.all_keys() == []
    server.service.tick()
    assert server.log.problem is None


def test_other_threads_write_the_log_while_a_rewrite_waits_for_a_script() -> None:
    server = LoggedServer(level=EVERYSEC)
    server.run_without_commit("SET before 1")
    with running(server, f'EVAL "{ENDLESS}" 0'):
        rewrite = threading.Thread(target=server.rewrite)
        rewrite.start()
        wait_until(lambda: "00000002.log" in server.disk.names(), "the rewrite has begun")
        assert outcome_during_a_script(server.log.commit) is None
        assert outcome_during_a_script(server.log.write_pending) is None
    rewrite.join(TIMEOUT)
    assert LoggedServer(server.disk).store.all_keys() == [b"before"]
    assert "00000001.log" not in server.disk.names()


@pytest.mark.parametrize(("flag", "is_deferred"), [(b"NOSAVE", False), (b"now", False), (b"save", True)])
def test_a_shutdown_needs_no_worker_thread_unless_it_saves(flag: bytes, is_deferred: bool) -> None:
    # A script may have the only worker thread that the system allows, and SHUTDOWN NOSAVE must end it.
    server = LoggedServer()
    stops: list[bool] = []
    server.context.shut_down = lambda: stops.append(True)
    reply = server.connect().session.try_execute([b"SHUTDOWN", flag])
    assert (reply is DEFERRED, bool(stops)) == (is_deferred, not is_deferred)
