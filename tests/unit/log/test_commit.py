"""The commit barrier: what is written and synced before a reply, and how often."""

from __future__ import annotations

import threading

import pytest

from server.engines.log.log import ALWAYS, EVERYSEC, MAX_PENDING, NO
from tests.harness.clock import Clock
from tests.harness.logs import LoggedServer
from tests.harness.sessions import send_line
from tests.harness.waiting import TIMEOUT, all_at_once, wait_until

LOG = "00000001.log"


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
    batches, syncs = server.log.files.batches, server.log.files.syncs
    session.feed(b"".join(b"SET key:%d x\n" % number for number in range(100)))
    server.log.commit()
    assert (server.log.files.batches - batches, server.log.files.syncs - syncs) == (1, 1)


def test_the_level_can_be_changed_while_the_server_runs() -> None:
    server = LoggedServer(level=NO)
    assert server.run("CONFIG SET appendfsync always", "CONFIG GET appendfsync")[0] == "OK"
    syncs = counting(server, "sync")
    server.run("SET a 1")
    assert len(syncs) == 1


@pytest.mark.parametrize("request_", ["GET a", "INFO keyspace", "SET b 1"])
def test_a_higher_level_holds_for_what_was_written_at_a_lower_one(request_: str) -> None:
    server = LoggedServer(level=EVERYSEC)
    server.run("SET a 1", "CONFIG SET appendfsync always")
    assert bytes(server.disk.files[LOG].durable) == server.file(LOG)
    server.run("CONFIG SET appendfsync no", "SET a 2")
    server.run_without_commit("CONFIG SET appendfsync always")
    server.run(request_)
    assert bytes(server.disk.files[LOG].durable) == server.file(LOG)


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
    syncs = server.log.files.syncs
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
    assert server.log.files.syncs - syncs == 2
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
    assert server.log.files.batches == 1


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
        ("FLUSHALL", b"FLUSHDB"),
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
