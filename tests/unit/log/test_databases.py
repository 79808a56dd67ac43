"""The log of several databases: SELECT and SWAPDB in it, snapshots, repairs, and logs that are older than databases."""

from __future__ import annotations

import pytest

from server.engines.base import EngineStartError
from server.engines.log.engine import DurableEngine, LogSettings
from server.engines.log.log import MAX_PENDING, DurableLog
from server.engines.log.rewrite import rewrite
from server.keyspace.store import Store
from tests.harness.clock import Clock
from tests.harness.logs import LoggedServer, fail_once, items_after_sending
from tests.harness.sessions import ClientSession, send_lines

LOG = "00000001.log"


def feed(server: LoggedServer, session: ClientSession, *lines: str) -> list[str]:
    """Send the lines of one client at once, and commit. Return the replies."""
    replies = session.feed("".join(f"{line}\n" for line in lines).encode()).decode().splitlines()
    server.log.commit()
    return replies


def batches(server: LoggedServer, name: str = LOG) -> list[list[str]]:
    """Return the records of each batch of a file with records."""
    found: list[list[str]] = [[]]
    for line in server.file(name).decode().splitlines():
        if line.startswith("#"):
            found.append([])
        else:
            found[-1].append(line)
    return [each for each in found if each]


def filled() -> LoggedServer:
    server = LoggedServer()
    feed(
        server, server.connect(), "SET a 0", "SELECT 1", "SET a 1", "SET b 1 PXAT 4102444800000", "SELECT 2", "SET a 2"
    )
    return server


def test_a_batch_begins_and_ends_in_database_0() -> None:
    server = LoggedServer()
    session = server.connect()
    feed(server, session, "SET a 0", "SELECT 2", "SET a 2", "APPEND a x", "GET a")
    feed(server, session, "MSET b 2 c 2")
    feed(server, session, "GET b")
    feed(server, session, "SELECT 0", "DEL a")
    assert batches(server) == [
        ["SET a 0", "SELECT 2", "SET a 2", "SETRANGE a 1 x", "SELECT 0"],
        ["SELECT 2", "SET b 2", "SET c 2", "SELECT 0"],
        ["DEL a"],
    ]
    assert server.restart().all_items() == server.all_items() == items_after_sending(server.disk)


@pytest.mark.parametrize(
    ("lines", "records"),
    [
        (["MOVE a 5"], ["DEL a", "SELECT 5", "SET a 0", "SELECT 0"]),
        (["COPY a b DB 1 REPLACE"], ["SELECT 1", "SET b 0", "SELECT 0"]),
        (["SWAPDB 0 1"], ["SWAPDB 0 1"]),
        (["SWAPDB 1 1"], []),
        (["SELECT 1", "FLUSHDB"], ["SELECT 1", "FLUSHDB", "SELECT 0"]),
        (["FLUSHALL"], ["FLUSHDB", "SELECT 1", "FLUSHDB", "SELECT 2", "FLUSHDB", "SELECT 0"]),
        (
            ["SELECT 1", "PERSIST b", "SWAPDB 2 1", "DEL a"],
            ["SELECT 1", "PERSIST b", "SWAPDB 2 1", "DEL a", "SELECT 0"],
        ),
    ],
)
def test_commands_on_several_databases_are_recorded(lines: list[str], records: list[str]) -> None:
    server = filled()
    feed(server, server.connect(), *lines)
    assert batches(server)[1:] == [records] * bool(records)
    assert server.restart().all_items() == server.all_items() == items_after_sending(server.disk)


def test_a_snapshot_has_the_keys_of_all_databases_and_each_batch_of_it_can_be_read_alone() -> None:
    server = filled()
    server.rewrite()
    assert batches(server, "00000002.base") == [
        ["SET a 0"],
        ["SELECT 1", "SET a 1", "SET b 1 PXAT 4102444800000", "SELECT 0"],
        ["SELECT 2", "SET a 2", "SELECT 0"],
    ]
    assert server.restart().all_items() == server.all_items() == items_after_sending(server.disk)


@pytest.mark.parametrize("at", range(5))
def test_databases_that_are_swapped_during_a_rewrite_are_swapped_once(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    monkeypatch.setattr("server.engines.log.rewrite.SLICE_KEYS", 1)
    server = filled()
    session = server.connect()
    feed(server, session, "SELECT 1", "SET c 1", "SELECT 0")
    steps = rewrite(server.log)
    for step in range(6):
        if step == at:
            feed(server, session, "SWAPDB 0 1", "SET new 0", "SELECT 1", "APPEND a x", "SWAPDB 1 3", "SELECT 0")
        next(steps, None)
    assert list(steps) is not None
    assert "00000002.base" in server.disk.files
    assert server.restart().all_items() == server.all_items() == items_after_sending(server.disk)


def test_a_log_from_before_databases_is_read() -> None:
    server = LoggedServer()
    feed(server, server.connect(), "SET a 1", "FLUSHALL", "SET b 2")
    data = server.file(LOG)
    assert b"FLUSHDB" in data
    batch = data[data.index(b"SET a 1") :].rpartition(b"# ")[0]
    old = LoggedServer()
    old.log.files.writer.append([batch.replace(b"FLUSHDB", b"FLUSHALL")])
    assert old.restart().all_items() == {0: [(b"b", b"2", None)]}


@pytest.mark.parametrize("line", ["GET a", "SWAPDB 0 3"])
def test_a_server_with_fewer_databases_than_the_log_does_not_start(line: str) -> None:
    server = filled() if line == "GET a" else LoggedServer()
    feed(server, server.connect(), line)
    files = {name: bytes(inode.data) for name, inode in server.disk.files.items()}
    engine = DurableEngine(Store(), LogSettings("data", lambda: server.disk), databases=2)
    with pytest.raises(EngineStartError, match="the log has more than 2 databases: give more with --databases"):
        engine.open()
    assert {name: bytes(inode.data) for name, inode in server.disk.files.items()} == files


def test_a_swap_that_cannot_be_recorded_is_undone() -> None:
    server = filled()
    before = server.all_items()
    session = server.connect()
    session.feed(b"SET a x\nSWAPDB 0 1\nSET a y\nSELECT 5\nSET b z\nSWAPDB 5 1\nFLUSHALL\n")
    server.disk.on_call = fail_once("append")
    with pytest.raises(ConnectionAbortedError):
        server.log.commit()
    assert server.all_items() == before
    assert server.restart().all_items() == before


def test_keys_that_expire_while_the_log_is_failing_are_recorded_in_their_databases() -> None:
    clock = Clock()
    server = LoggedServer(clock=clock)
    feed(server, server.connect(), "SET a 0", "SELECT 1", "SET a 1 PX 100", "SET b 1", "SELECT 2", "SET a 2 PX 100")
    server.log.refuse("for the test")
    clock.forward(5000)
    assert send_lines(server.connect(), "SELECT 1", "GET a", "SELECT 2", "DBSIZE") == ["OK", "(nil)", "OK", "0"]
    server.service.tick()
    assert batches(server)[-1] == ["SELECT 1", "DEL a", "SELECT 2", "DEL a", "SELECT 0"]
    assert server.restart().all_items() == {0: [(b"a", b"0", None)], 1: [(b"b", b"1", None)]}


def test_a_repair_keeps_what_is_undamaged_of_every_database() -> None:
    server = filled()
    feed(server, server.connect(), "SELECT 3", "SET lost 3")
    feed(server, server.connect(), "SET c 0")
    data = server.disk.files[LOG].data
    data[data.index(b"lost")] ^= 1
    with pytest.raises(EngineStartError):
        server.restart()
    repaired = server.restart(repair=True)
    expected = {index: items for index, items in server.all_items().items() if index in (1, 2)}
    assert repaired.all_items() == {0: [(b"a", b"0", None)], **expected}
    assert repaired.restart().all_items() == repaired.all_items()


def test_much_that_is_pending_in_another_database_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.engines.log.recorder.MAX_PENDING", 100)
    monkeypatch.setattr("server.engines.log.log.MAX_PENDING", 100)
    server = LoggedServer()
    session = server.connect()
    session.feed(b"SELECT 1\nSET a %b\n" % (b"x" * 200))
    assert isinstance(server.log, DurableLog)
    assert server.log.pending_bytes > 100
    session.feed(b"GET a\n")
    assert server.log.pending_bytes == 0
    assert MAX_PENDING > 100
