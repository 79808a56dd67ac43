"""The commit barrier: what is written and synced before a reply, how often, and what happens if that fails."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable

import pytest

from server.engines.base import CommitFailed
from server.engines.log.log import ALWAYS, EVERYSEC, MAX_PENDING, MIN_FREE, NO
from server.engines.log.rewrite import SLICE_KEYS, RewriteFailed, rewrite
from tests.harness.clock import Clock
from tests.harness.logs import LoggedServer
from tests.harness.sessions import send_line
from tests.harness.waiting import TIMEOUT, all_at_once, wait_until

LOG = "00000001.log"


def fail_once(what: str, number: int = errno.EIO) -> Callable[[str], None]:
    """Return a function that raises for the first call of this kind."""
    left = [what]

    def on_call(each: str) -> None:
        if left and each == left[0]:
            left.clear()
            raise OSError(number, os.strerror(number))

    return on_call


def counting(server: LoggedServer, what: str) -> list[str]:
    """Return a list that gets an element for each call of the disk of this kind."""
    found: list[str] = []
    server.disk.on_call = lambda each: found.append(each) if each == what else None
    return found


# ---------------------------------------------------------------- levels


def test_always_syncs_before_the_reply() -> None:
    server = LoggedServer(level=ALWAYS)
    syncs = counting(server, "sync")
    server.run("SET a 1")
    assert len(syncs) == 1
    assert bytes(server.disk.files[LOG].durable) == server.file(LOG)


@pytest.mark.parametrize("level", [EVERYSEC, NO])
def test_everysec_and_no_write_before_the_reply_and_do_not_sync(level: str) -> None:
    server = LoggedServer(level=level)
    syncs = counting(server, "sync")
    server.run("SET a 1")
    assert b"SET a 1\n" in server.file(LOG)
    assert not syncs


@pytest.mark.parametrize(("level", "count"), [(EVERYSEC, 1), (NO, 0)])
def test_the_tick_of_each_second_syncs_at_the_level_everysec(level: str, count: int) -> None:
    server = LoggedServer(level=level)
    server.run("SET a 1")
    syncs = counting(server, "sync")
    server.service.tick()
    server.service.tick()
    assert len(syncs) == count


def test_reads_alone_write_nothing() -> None:
    server = LoggedServer()
    server.run("SET a 1")
    appends = counting(server, "append")
    server.run("GET a", "EXISTS a b", "DBSIZE", "COMPACT", "PING")
    assert not appends


def test_a_batch_of_requests_is_one_write_and_one_sync() -> None:
    server = LoggedServer()
    session = server.connect()
    batches, syncs = server.log.batches, server.log.syncs
    session.feed(b"".join(b"SET key:%d x\n" % number for number in range(100)))
    server.log.commit()
    assert (server.log.batches - batches, server.log.syncs - syncs) == (1, 1)


def test_the_level_can_be_changed_while_the_server_runs() -> None:
    server = LoggedServer(level=NO)
    assert server.run("CONFIG SET appendfsync always", "CONFIG GET appendfsync")[0] == "OK"
    syncs = counting(server, "sync")
    server.run("SET a 1")
    assert len(syncs) == 1


# ---------------------------------------------------------------- threads


def test_threads_that_wait_at_once_share_a_sync() -> None:
    server = LoggedServer()
    server.run("SET a 1")
    begun, may_end = threading.Event(), threading.Event()

    def first_sync_waits(what: str) -> None:
        if what == "sync" and not begun.is_set():
            begun.set()
            assert may_end.wait(TIMEOUT)

    server.disk.on_call = first_sync_waits
    syncs = server.log.syncs
    executed = threading.Semaphore(0)

    def write(number: int) -> None:
        session = server.connect()
        send_line(session, f"SET key:{number} x")
        executed.release()
        server.log.commit()

    def leader_then_others() -> None:
        assert begun.wait(TIMEOUT)
        for _ in range(21):
            assert executed.acquire(timeout=TIMEOUT)
        may_end.set()

    def follow(number: int) -> None:
        assert begun.wait(TIMEOUT)
        write(number)

    followers = [lambda number=number: follow(number) for number in range(20)]
    all_at_once([lambda: write(99), leader_then_others, *followers])  # type: ignore[list-item]
    assert server.log.syncs - syncs == 2
    assert len(server.restart().items()) == 22


def test_a_read_of_an_unsynced_value_waits_for_the_sync() -> None:
    server = LoggedServer()
    begun, may_end = threading.Event(), threading.Event()

    def sync_waits(what: str) -> None:
        if what == "sync":
            begun.set()
            assert may_end.wait(TIMEOUT)

    server.disk.on_call = sync_waits
    writer = threading.Thread(target=server.run, args=("SET a 1",))
    writer.start()
    assert begun.wait(TIMEOUT)
    replies: list[str] = []
    reader = threading.Thread(target=lambda: replies.extend(server.run("GET a")))
    reader.start()
    assert server.run_without_commit("GET a") == "1"
    assert not replies
    may_end.set()
    wait_until(lambda: replies == ["1"], "the read is answered")
    writer.join(TIMEOUT)
    reader.join(TIMEOUT)


def test_many_records_are_written_before_the_batch_of_requests_ends() -> None:
    server = LoggedServer()
    value = "x" * 1_000_000
    session = server.connect()
    session.feed(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1000000\r\n%b\r\n" % value.encode())
    session.feed(b"COPY a b REPLACE\n" * (2 * MAX_PENDING // 1_000_000))
    assert server.log.pending_bytes <= MAX_PENDING + 2_000_000
    assert server.log.batches == 1


# ---------------------------------------------------------------- failures


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


def failing(what: str = "sync", number: int = errno.EIO) -> LoggedServer:
    """Return a server with the key a, whose log is failing."""
    server = LoggedServer()
    server.run("SET a 1")
    server.disk.on_call = fail_once(what, number)
    with pytest.raises(CommitFailed):
        server.run("SET b 2")
    return server


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


def test_a_partly_written_batch_is_cut_off() -> None:
    server = LoggedServer()
    server.run("SET a 1")
    size = len(server.file(LOG))
    server.disk.free = 10
    with pytest.raises(CommitFailed):
        server.run("SET b 2")
    assert len(server.file(LOG)) == size


def test_an_expired_key_that_is_created_again_after_a_failure_is_replayed_as_new(clock: Clock) -> None:
    server = LoggedServer(clock=clock)
    server.run("SET a 1234 PX 100")
    server.disk.free = 0
    server.service.tick()
    clock.forward(200)
    assert server.run("GET a") == ["(nil)"]
    server.disk.free = 4 * MIN_FREE
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


# ---------------------------------------------------------------- records of commands


@pytest.mark.parametrize(
    ("line", "record"),
    [
        ("SET k 1 PX 100", b"SET k 1 PXAT 2000000000100"),
        ("SETEX k 1 1", b"SET k 1 PXAT 2000000001000"),
        ("SET k 1 NX", b"SET k 1"),
        ("SET a 2 KEEPTTL", b"SET a 2"),
        ("INCR n", b"SET n 8"),
        ("INCRBYFLOAT n 0.5", b"SET n 7.5"),
        ("APPEND a xyz", b"SETRANGE a 1 xyz"),
        ("SETRANGE a 2 z", b"SETRANGE a 2 z"),
        ("GETEX a PX 100", b"PEXPIREAT a 2000000000100"),
        ("EXPIRE a 1", b"PEXPIREAT a 2000000001000"),
        ("EXPIRE a -1", b"DEL a"),
        ("PERSIST e", b"PERSIST e"),
        ("GETDEL a", b"DEL a"),
        ("RENAME a b", b"DEL a\nSET b 1"),
        ("COPY a b", b"SET b 1"),
        ("MSETNX x 1 y 2", b"SET x 1\nSET y 2"),
        ("FLUSHALL", b"FLUSHALL"),
    ],
)
def test_the_log_has_what_a_command_did(clock: Clock, line: str, record: bytes) -> None:
    server = LoggedServer(clock=clock)
    server.run("SET a 1", "SET n 7", "SET e 1 PXAT 2000000005000")
    size = len(server.file(LOG))
    server.run(line)
    lines = [each for each in server.file(LOG)[size:].split(b"\n") if not each.startswith(b"#")]
    assert b"\n".join(lines).rstrip() == record
    assert server.restart().items() == server.items()


def test_an_expiry_is_logged_as_del_and_nothing_expires_during_replay(clock: Clock) -> None:
    server = LoggedServer(clock=clock)
    server.run("SET a 1 PX 100")
    clock.forward(200)
    server.run("INCR a")
    assert b"DEL a\nSET a 1\n" in server.file(LOG)
    clock.forward(10_000)
    assert server.restart().items() == [(b"a", b"1", None)]


def test_a_transaction_is_one_batch() -> None:
    server = LoggedServer()
    server.run("SET a 1")
    size = len(server.file(LOG))
    server.run("MULTI", "SET a 2", "SET b 2", "EXEC")
    batch = server.file(LOG)[size:]
    assert batch.startswith(b"SET a 2\nSET b 2\n# ")
    assert batch.count(b"\n") == 3
