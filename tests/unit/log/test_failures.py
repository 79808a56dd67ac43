"""What happens if the log cannot be written or synced: what is undone, refused and recorded later."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from server.engines.base import CommitFailed
from server.engines.log.disk import MIN_FREE
from server.engines.log.log import ALWAYS, EVERYSEC
from server.engines.log.rewrite import MIN_FREE_AFTER, SLICE_KEYS, SYNC_SIZE, RewriteFailed, rewrite
from tests.harness.clock import Clock
from tests.harness.logs import LoggedServer, fail_once
from tests.harness.waiting import TIMEOUT

LOG = "00000001.log"


def test_after_a_failed_sync_the_change_is_undone_and_its_client_gets_no_reply() -> None:
    server = LoggedServer()
    server.run("SET a 1", "SET e 1 PXAT 3000000000000", "SET n 1")
    before = server.items()
    server.disk.on_call = fail_once("sync")
    session = server.connect()
    for line in (b"SET a 2", b"SET new 1", b"APPEND a x", b"SETRANGE e 5 y", b"PERSIST e", b"EXPIRE a 9", b"INCR n"):
        session.feed(line + b"\n")
    with pytest.raises(CommitFailed):
        server.log.commit()
    assert server.items() == before


def test_flushall_is_undone() -> None:
    server = LoggedServer()
    server.run("SET a 1", "SET e 1 PXAT 3000000000000", "SET b 2")
    before = server.items()
    server.disk.on_call = fail_once("append")
    session = server.connect()
    session.feed(b"SET a 5\nFLUSHALL\nSET c 1\nFLUSHALL\nSET d 1\n")
    with pytest.raises(CommitFailed):
        server.log.commit()
    assert server.items() == before
    server.store.check()


def test_changes_of_several_batches_are_undone_the_last_one_first() -> None:
    server = LoggedServer()
    server.run("SET a 1")
    fail = fail_once("sync")

    def change_and_fail(what: str) -> None:
        if what == "sync":
            server.store.set(b"a", b"3")  # by another thread, while the SET before it is synced
        fail(what)

    server.disk.on_call = change_and_fail
    server.run_without_commit("SET a 2")
    with pytest.raises(CommitFailed):
        server.log.commit()
    assert server.run("GET a") == ["1"]


def test_sets_of_several_keys_are_undone() -> None:
    server = LoggedServer()
    server.run("SET a 1")
    before = server.items()
    server.disk.on_call = fail_once("append")
    server.run_without_commit("MSET n 2 a 2 m 2")
    assert len(server.items()) == 3
    with pytest.raises(CommitFailed):
        server.log.commit()
    assert server.items() == before


def test_a_reader_of_a_value_that_is_undone_gets_no_reply() -> None:
    server = LoggedServer()
    server.disk.on_call = fail_once("sync")
    assert server.run_without_commit("SET a 1") == "OK"
    outcome: list[object] = []

    def read() -> None:
        assert server.run_without_commit("GET a") == "1"
        read_it.set()
        assert failed.wait(TIMEOUT)
        try:
            server.log.commit()
        except CommitFailed as problem:
            outcome.append(problem)

    read_it, failed = threading.Event(), threading.Event()
    reader = threading.Thread(target=read)
    reader.start()
    assert read_it.wait(TIMEOUT)
    with pytest.raises(CommitFailed):
        server.log.commit()
    failed.set()
    reader.join(TIMEOUT)
    assert len(outcome) == 1


def failing(what: str = "sync", number: int = errno.EIO, **options: object) -> LoggedServer:
    """Return a server with the key a, whose log is failing."""
    server = LoggedServer(**options)  # type: ignore[arg-type]
    server.run("SET a 1")
    server.disk.on_call = fail_once(what, number)
    with pytest.raises(CommitFailed):
        server.run("SET b 2")
    return server


def with_expired_key(clock: Clock, *lines: str) -> LoggedServer:
    """Return a server whose key a has expired while the disk was full, and that has not noticed the space since."""
    server = LoggedServer(clock=clock)
    server.run(*lines)
    server.disk.free = 0
    server.service.tick()
    clock.forward(200)
    assert server.run("GET a") == ["(nil)"]
    server.disk.free = 4 * MIN_FREE
    return server


def check_writes_are_recorded_again(server: LoggedServer) -> None:
    """Add the key b to a server with the key a."""
    assert server.run("SET b 2") == ["OK"]
    assert server.restart().items() == [(b"a", b"1", None), (b"b", b"2", None)]


def test_while_the_log_fails_writes_are_refused_and_reads_served() -> None:
    server = failing()
    refused = "(error) MISCONF Errors writing to the AOF file: Input/output error"
    assert server.run("GET a", "SET a 2", "DEL none", "FLUSHALL", "GET a", "EXISTS b") == [
        "1",
        refused,
        refused,
        refused,
        "1",
        "0",
    ]
    assert server.run("MULTI", "GET a", "EXEC")[-1] == "1) 1"
    aborted = (
        "(error) EXECABORT Transaction discarded because of: MISCONF Errors writing to the AOF file: Input/output error"
    )
    assert server.run("MULTI", "GET a", "SET a 2", "EXEC")[-1] == aborted
    assert server.run("INFO persistence")[0].count("aof_last_write_status:err") == 1


def test_after_a_failed_sync_the_log_begins_anew_by_itself() -> None:
    server = failing()
    server.service.tick()
    assert server.run("SET c 3") == ["OK"]
    assert set(server.disk.files) == {"00000002.base", "00000002.log"}
    assert server.restart().items() == [(b"a", b"1", None), (b"c", b"3", None)]


def test_after_a_full_disk_the_same_log_is_continued_when_there_is_space() -> None:
    server = failing("append", errno.ENOSPC)
    server.disk.free = MIN_FREE
    server.service.tick()
    assert server.run("SET c 3")[0].startswith("(error) MISCONF")
    server.disk.free = 4 * MIN_FREE
    server.service.tick()
    assert server.run("SET c 3") == ["OK"]
    assert set(server.disk.files) == {LOG}
    assert server.restart().items() == [(b"a", b"1", None), (b"c", b"3", None)]


def test_writes_are_refused_before_the_disk_is_full() -> None:
    server = LoggedServer()
    server.disk.free = MIN_FREE - 1
    server.service.tick()
    assert server.run("SET a 1") == [
        "(error) MISCONF Errors writing to the AOF file: less than 4 MiB are free on the disk"
    ]
    server.disk.free = 2 * MIN_FREE
    server.service.tick()
    assert server.run("SET a 1") == ["OK"]


@pytest.mark.parametrize("stops", [False, True], ids=["a second later", "when the server stops"])
def test_what_was_acknowledged_before_the_disk_was_full_is_synced(*, stops: bool) -> None:
    server = LoggedServer(level=EVERYSEC)
    server.run("SET a 1")
    server.disk.on_call = fail_once("append", errno.ENOSPC)
    server.run_without_commit("SET b 2")
    with pytest.raises(CommitFailed):
        server.log.commit()
    server.disk.free = 0
    assert server.log.files.needs_sync
    if stops:
        server.service.stop()
    else:
        server.service.tick()
    assert not server.log.files.needs_sync
    after = LoggedServer(server.disk.after_power_failure(server.disk.rng))
    assert after.items() == [(b"a", b"1", None)]


def test_a_partly_written_batch_is_cut_off() -> None:
    server = LoggedServer()
    server.run("SET a 1")
    size = len(server.file(LOG))
    server.disk.free = 10
    with pytest.raises(CommitFailed):
        server.run("SET b 2")
    assert len(server.file(LOG)) == size


def test_an_expired_key_that_is_created_again_after_a_failure_is_replayed_as_new(clock: Clock) -> None:
    server = with_expired_key(clock, "SET a 1234 PX 100")
    server.service.tick()
    server.run("SETRANGE a 1 x")
    assert server.restart().items() == [(b"a", b"\0x", None)]


def test_a_rewrite_of_values_that_are_undone_is_abandoned() -> None:
    server = LoggedServer()
    server.run(*(f"SET key:{number} 1" for number in range(SLICE_KEYS + 1)))
    before = server.items()
    steps = rewrite(server.log)
    next(steps)
    server.run_without_commit(f"SET key:{SLICE_KEYS} 2")
    next(steps)
    server.disk.on_call = fail_once("append", errno.ENOSPC)
    with pytest.raises(CommitFailed):
        server.log.commit()
    server.service.tick()
    assert server.log.problem is None
    with pytest.raises(RewriteFailed):
        list(steps)
    assert server.restart().items() == before


def test_the_log_of_a_stopped_server_refuses_writes() -> None:
    server = LoggedServer()
    server.run("SET a 1")
    server.service.stop()
    assert server.run("SET a 2") == ["(error) MISCONF Errors writing to the AOF file: the server is stopping"]


# ---------------------------------------------------------------- expiry


@pytest.mark.parametrize("line", ["PEXPIRE a 10", "SET a 2 PX 10", "GETEX a PX 10"])
def test_a_key_that_expires_by_a_change_that_is_undone_is_kept(clock: Clock, line: str) -> None:
    server = LoggedServer(clock=clock)
    server.run("SET a 1")
    server.disk.on_call = fail_once("sync")
    server.run_without_commit(line)
    clock.forward(20)
    assert server.run_without_commit("GET a") == "(nil)"
    with pytest.raises(CommitFailed):
        server.log.commit()
    assert server.run("GET a", "PTTL a") == ["1", "-1"]
    server.store.check()


def test_a_key_that_expires_by_itself_stays_expired_although_its_change_is_undone(clock: Clock) -> None:
    server = LoggedServer(clock=clock)
    server.run("SET a 1 PX 10", "SET b 2 PX 10000")
    server.disk.on_call = fail_once("sync")
    server.run_without_commit("APPEND a x")
    clock.forward(2000)
    server.engine.expire_slice()
    with pytest.raises(CommitFailed):
        server.log.commit()
    assert server.run("GET a", "DBSIZE") == ["(nil)", "1"]
    server.store.check()


def test_an_expiry_while_the_log_fails_is_undone_with_a_change_that_could_not_be_refused(clock: Clock) -> None:
    server = failing("append", errno.ENOSPC, clock=clock)
    changes = server.log.changes
    problem = changes.problem
    changes.accept_writes()
    server.run_without_commit("PEXPIRE a 10")  # executed in the moment in which the log fails
    changes.problem = problem
    clock.forward(20)
    assert server.run_without_commit("GET a") == "(nil)"
    with pytest.raises(CommitFailed):
        server.log.commit()
    assert server.run("GET a", "PTTL a") == ["1", "-1"]
    server.store.check()
    server.service.tick()
    server.run("SET b 1")
    assert server.restart().items() == [(b"a", b"1", None), (b"b", b"1", None)], "the expiry is not recorded"


def test_an_expiry_while_the_log_fails_is_recorded_after_the_pending_changes(clock: Clock) -> None:
    server = failing("append", errno.ENOSPC, clock=clock)
    changes = server.log.changes
    problem = changes.problem
    changes.accept_writes()
    server.run_without_commit("SET a 1234 PX 10")  # executed in the moment in which the log fails
    changes.problem = problem
    clock.forward(20)
    assert server.run_without_commit("GET a") == "(nil)"
    with server.log.exclusive():
        server.log.resume()  # before the commit of these requests
    assert server.run("SETRANGE a 1 x") == ["2"]
    assert server.restart().items() == [(b"a", b"\0x", None)]


def test_keys_that_expire_while_the_log_fails_are_recorded_before_writes_are_accepted(clock: Clock) -> None:
    server = with_expired_key(clock, "SET a 1 PX 10", "SET b 1")
    server.service.tick()
    assert b"\nDEL a\n" in server.file(LOG)
    size = len(server.file(LOG))
    server.run("SET c 1")
    assert server.file(LOG)[size:].startswith(b"SET c 1\n# "), "a new key costs one record"


def test_a_log_that_cannot_record_what_has_expired_goes_on_failing(clock: Clock) -> None:
    server = with_expired_key(clock, "SET a 1234 PX 10")
    server.disk.on_call = fail_once("append", errno.ENOSPC)
    server.service.tick()
    assert server.run("SET c 1")[0].startswith("(error) MISCONF")
    server.service.tick()
    assert server.run("SETRANGE a 1 x") == ["2"]
    assert server.restart().items() == [(b"a", b"\0x", None)]


# ---------------------------------------------------------------- other failures


def test_a_failure_that_is_not_of_the_disk_undoes_the_changes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    server = LoggedServer()
    server.run("SET a 1")
    with monkeypatch.context() as patched:
        patched.setattr("server.engines.log.files.encode", _raise_memory_error)
        with pytest.raises(CommitFailed):
            server.run("SET a 2")
    assert server.run("GET a", "SET a 3") == ["1", "(error) MISCONF Errors writing to the AOF file: MemoryError"]
    server.service.tick()
    assert server.run("SET a 3") == ["OK"]
    assert server.restart().items() == [(b"a", b"3", None)]


@pytest.mark.uncompiled
def test_changes_whose_undoing_fails_are_undone_by_the_next_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    server = LoggedServer()
    server.run("SET a 1", "SET b 1")
    server.disk.on_call = fail_once("sync")
    server.run_without_commit("SET a 2")
    server.run_without_commit("SET b 2")
    with monkeypatch.context() as patched:
        patched.setattr(server.store, "set", _raise_memory_error)
        with pytest.raises(MemoryError):
            server.log.commit()
    with pytest.raises(CommitFailed):
        server.run("GET a")
    assert server.run("GET a", "GET b") == ["1", "1"]
    server.service.tick()
    assert server.run("SET c 1") == ["OK"]


def _raise_memory_error(*_: object) -> None:
    raise MemoryError


def test_no_thread_syncs_a_file_again_after_a_failed_sync() -> None:
    server = LoggedServer(level=EVERYSEC)
    server.run("SET a 1")
    server.disk.on_call = fail_once("sync")
    with pytest.raises(OSError, match="Input/output error"):
        server.log.files.sync()
    server.log.set_level(ALWAYS)  # another thread commits before the log is known to fail
    with pytest.raises(CommitFailed):
        server.run("SET a 2")
    server.service.tick()
    assert server.run("SET b 3") == ["OK"]
    assert server.restart().items() == [(b"a", b"1", None), (b"b", b"3", None)]


def test_a_count_of_keys_that_is_undone_is_not_replied() -> None:
    server = LoggedServer()
    server.disk.on_call = fail_once("sync")
    server.run_without_commit("SET a 1")
    server.log.changes.thread.failures = None  # what follows is executed by another thread
    assert "keys=1" in server.run_without_commit("INFO keyspace")
    with pytest.raises(CommitFailed):
        server.log.commit_since(0)
    with pytest.raises(CommitFailed):
        server.log.commit()


# ---------------------------------------------------------------- the directory


def test_a_removed_log_is_noticed_and_the_log_begins_anew() -> None:
    server = LoggedServer()
    server.run("SET a 1")
    server.disk.remove(LOG)
    server.service.tick()
    assert server.run("SET b 2") == ["(error) MISCONF Errors writing to the AOF file: No such file or directory"]
    server.service.tick()
    check_writes_are_recorded_again(server)


def test_writes_are_refused_while_the_directory_is_not_the_one_that_was_locked() -> None:
    server = LoggedServer()
    server.run("SET a 1")
    server.disk.is_replaced = True
    server.service.tick()
    server.service.tick()
    assert server.run("SET b 2", "GET a")[0].startswith("(error) MISCONF")
    server.disk.is_replaced = False
    server.service.tick()
    check_writes_are_recorded_again(server)


def test_a_removed_snapshot_is_noticed_and_the_log_begins_anew() -> None:
    server = LoggedServer()
    server.run("SET a 1", "SAVE")
    server.service.tick()
    assert server.run("SET b 2") == ["OK"]
    server.disk.remove("00000002.base")
    server.service.tick()
    assert server.run("SET b 3")[0].startswith("(error) MISCONF")
    server.service.tick()
    assert server.run("SET b 3") == ["OK"]
    assert server.restart().items() == [(b"a", b"1", None), (b"b", b"3", None)]


def test_a_rewrite_does_not_touch_a_directory_that_is_not_the_one_that_was_locked() -> None:
    server = LoggedServer()
    server.run("SET a 1")
    server.disk.is_replaced = True
    server.service.tick()
    calls = server.disk.calls
    assert server.run("SAVE")[0].startswith("(error) ERR")
    assert server.disk.calls == calls
    assert server.run("SET b 2")[0].startswith("(error) MISCONF")


def test_a_snapshot_is_not_completed_in_a_directory_that_was_replaced_meanwhile() -> None:
    server = LoggedServer()
    server.run("SET a 1")
    steps = rewrite(server.log)
    next(steps)
    server.disk.is_replaced = True
    with pytest.raises(RewriteFailed):
        list(steps)
    assert set(server.disk.files) == {LOG, "00000002.log"}


@pytest.mark.parametrize(
    "content", [b"", b"SET a 1\n", None], ids=["truncated", "replaced by a shorter one", "written by someone else"]
)
def test_a_log_that_another_program_changes_is_noticed_and_the_log_begins_anew(content: bytes | None) -> None:
    server = LoggedServer()
    server.run("SET a 1")
    data = server.disk.files[LOG].data
    data[:] = data + b"SET c 3\n" if content is None else content
    server.service.tick()
    problem = "(error) MISCONF Errors writing to the AOF file: the log was changed by another program"
    assert server.run("SET b 2") == [problem]
    server.service.tick()
    assert server.run("SET b 2") == ["OK"]
    assert server.restart().items() == [(b"a", b"1", None), (b"b", b"2", None)]


def test_a_server_starts_on_a_full_disk_and_refuses_writes() -> None:
    server = LoggedServer()
    server.run("SET a 1")
    server.disk.free = 0
    restarted = server.restart()
    assert restarted.run("GET a", "SET a 2") == [
        "1",
        "(error) MISCONF Errors writing to the AOF file: No space left on device",
    ]
    server.disk.free = 2 * MIN_FREE
    restarted.service.tick()
    assert restarted.run("SET a 2") == ["OK"]


# ---------------------------------------------------------------- a rewrite on a full disk


def test_a_rewrite_leaves_space_to_the_log_and_removes_what_it_has_written() -> None:
    server = LoggedServer(level=EVERYSEC)
    for number in range(8):
        server.store.set(b"key:%d" % number, b"x" * (SYNC_SIZE // 4))
    server.log.commit()
    free = server.disk.free = MIN_FREE_AFTER + SYNC_SIZE
    frees: list[int] = []
    server.disk.on_call = lambda _: frees.append(server.disk.free)
    with pytest.raises(RewriteFailed, match="No space left on device"):
        server.rewrite()
    assert min(frees) >= MIN_FREE
    assert server.disk.free > free - 1000
    assert set(server.disk.files) == {LOG, "00000002.log"}
    assert server.run("SET a 1") == ["OK"]
    assert len(server.restart().items()) == 9


def test_a_log_that_cannot_begin_anew_leaves_no_files() -> None:
    server = failing()

    def fail_to_sync(what: str) -> None:
        if what == "sync":
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    server.disk.on_call = fail_to_sync
    for _ in range(3):
        server.service.tick()
    assert set(server.disk.files) == {LOG}


def test_a_rewrite_that_is_stopped_leaves_no_snapshot() -> None:
    server = LoggedServer()
    server.run(*(f"SET key:{number} 1" for number in range(SLICE_KEYS + 1)))
    steps = rewrite(server.log)
    next(steps)
    assert "tmp-00000002.base" in server.disk.files
    steps.close()  # type: ignore[attr-defined]
    assert set(server.disk.files) == {LOG, "00000002.log"}


def test_a_log_that_is_closed_does_not_begin_anew() -> None:
    server = failing()
    steps = rewrite(server.log)
    next(steps)
    server.log.close()
    with pytest.raises(RewriteFailed, match="the server is stopping"):
        list(steps)
    assert set(server.disk.files) == {LOG}


def test_nothing_is_committed_to_a_log_that_was_removed() -> None:
    server = LoggedServer()
    server.run("SET a 1")
    server.run_without_commit("SET a 2")
    server.disk.remove(LOG)
    server.service.tick()
    with pytest.raises(CommitFailed):
        server.log.commit()
    assert server.run("GET a") == ["1"]


def test_a_log_that_is_removed_while_it_fails_begins_anew() -> None:
    server = failing("append", errno.ENOSPC)
    server.disk.remove(LOG)
    server.service.tick()
    server.service.tick()
    check_writes_are_recorded_again(server)
