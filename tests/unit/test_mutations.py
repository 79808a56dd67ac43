"""The mutation path: observers of a store see every change, with its cause, when it has been made."""

from __future__ import annotations

import pytest

from server.engines.embedded import EmbeddedEngine
from server.keyspace.observers import Entry, Removal
from server.keyspace.store import Store
from tests.harness.clock import Clock
from tests.harness.sessions import ClientSession, new_session, send_lines
from tests.harness.stores import Recorder, new_store


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def store(clock: Clock, recorder: Recorder) -> Store:
    return new_store(clock, [recorder])


@pytest.fixture
def session(store: Store) -> ClientSession:
    return new_session(EmbeddedEngine(store))


NOW = 2_000_000_000_000
"""The time of the tests' clock."""


@pytest.mark.parametrize(
    ("lines", "changes"),
    [
        (["SET a 2"], [("set", b"a", b"2", None)]),
        (["SET new 1 PX 100"], [("set", b"new", b"1", NOW + 100)]),
        (["SET e 2"], [("set", b"e", b"2", None)]),
        (["SET e 2 KEEPTTL"], [("set", b"e", b"2", NOW + 1000)]),
        (["SET a 2 NX"], []),
        (["GET a", "STRLEN a", "TTL a", "EXISTS a"], []),
        (["INCR a"], [("set", b"a", b"2", None)]),
        (["INCR e"], [("set", b"e", b"2", NOW + 1000)]),
        (["APPEND a x"], [("range", b"a", 1, b"x")]),
        (["APPEND new x"], [("set", b"new", b"x", None)]),
        (["SETRANGE a 0 9"], [("range", b"a", 0, b"9")]),
        (["SETRANGE e 3 9"], [("range", b"e", 3, b"9")]),
        (["SETRANGE new 2 9"], [("range", b"new", 2, b"9")]),
        (["GETSET a 2"], [("set", b"a", b"2", None)]),
        (["MSET a 2 b 3"], [("set", b"a", b"2", None), ("set", b"b", b"3", None)]),
        (["DEL a none"], [("remove", b"a", Removal.DELETED)]),
        (["UNLINK a"], [("remove", b"a", Removal.DELETED)]),
        (["GETDEL a"], [("remove", b"a", Removal.DELETED)]),
        (["RENAME a c"], [("remove", b"a", Removal.DELETED), ("set", b"c", b"1", None)]),
        (["RENAME e a"], [("remove", b"e", Removal.DELETED), ("set", b"a", b"1", NOW + 1000)]),
        (["RENAME a a"], []),
        (["COPY e c"], [("set", b"c", b"1", NOW + 1000)]),
        (["COPY a e REPLACE"], [("set", b"e", b"1", None)]),
        (["EXPIRE a 1"], [("expiry", b"a", NOW + 1000)]),
        (["EXPIRE a -1"], [("remove", b"a", Removal.DELETED)]),
        (["GETEX a PX 5"], [("expiry", b"a", NOW + 5)]),
        (["PERSIST e"], [("expiry", b"e", None)]),
        (["PERSIST a"], []),
        (["SET a 2 PXAT 1"], [("set", b"a", b"2", 1), ("remove", b"a", Removal.DELETED)]),
        (["FLUSHALL"], [("clear", {b"a", b"e"})]),
        (["MULTI", "SET a 2", "DEL e", "EXEC"], [("set", b"a", b"2", None), ("remove", b"e", Removal.DELETED)]),
    ],
    ids=lambda value: "; ".join(value) if value and isinstance(value[0], str) else "",
)
def test_an_observer_sees_every_change_and_its_cause(
    session: ClientSession, store: Store, recorder: Recorder, lines: list[str], changes: list[tuple[object, ...]]
) -> None:
    send_lines(session, "SET a 1", "SET e 1 PX 1000")
    recorder.changes.clear()
    send_lines(session, *lines)
    assert recorder.changes == changes
    assert recorder.items() == store.items()


def test_an_observer_sees_that_a_key_expired_when_it_is_accessed(
    session: ClientSession, recorder: Recorder, clock: Clock
) -> None:
    send_lines(session, "SET a 1 PX 100")
    clock.forward(100)
    recorder.changes.clear()
    send_lines(session, "GET a", "GET a")
    assert recorder.changes == [("remove", b"a", Removal.EXPIRED)]


def test_an_observer_sees_that_a_key_expired_before_it_is_set_again(
    session: ClientSession, recorder: Recorder, clock: Clock
) -> None:
    send_lines(session, "SET a 1 PX 100")
    clock.forward(100)
    recorder.changes.clear()
    send_lines(session, "SET a 2")
    assert recorder.changes == [("remove", b"a", Removal.EXPIRED), ("set", b"a", b"2", None)]


def test_an_observer_sees_what_the_active_expire_cycle_removes(
    session: ClientSession, store: Store, recorder: Recorder, clock: Clock
) -> None:
    send_lines(session, "SET a 1 PX 100", "SET b 1", "SET c 1 PX 200")
    clock.forward(2000)
    recorder.changes.clear()
    assert EmbeddedEngine(store).expire_slice()
    assert sorted(map(str, recorder.changes)) == [
        str(("remove", b"a", Removal.EXPIRED)),
        str(("remove", b"c", Removal.EXPIRED)),
    ]


def test_an_observer_sees_expired_keys_when_the_keys_are_counted(
    session: ClientSession, recorder: Recorder, clock: Clock
) -> None:
    send_lines(session, "SET a 1 PX 100")
    clock.forward(100)
    recorder.changes.clear()
    send_lines(session, "DBSIZE")
    assert recorder.changes == [("remove", b"a", Removal.EXPIRED)]


class Looking(Recorder):
    """An observer that looks at the store while it is notified."""

    store: Store

    def on_set(self, key: bytes, value: bytes, expires_at: int | None, before: Entry | None) -> None:
        assert (self.store.get(key), self.store.expires_at(key)) == (value, expires_at)
        super().on_set(key, value, expires_at, before)

    def on_remove(self, key: bytes, cause: Removal, before: Entry) -> None:
        assert self.store.get(key) is None
        assert self.store.expires_at(key) is None
        super().on_remove(key, cause, before)

    def on_expiry_change(self, key: bytes, expires_at: int | None, before: int | None) -> None:
        assert self.store.expires_at(key) == expires_at
        super().on_expiry_change(key, expires_at, before)


def test_an_observer_is_called_after_the_change(clock: Clock) -> None:
    observer = Looking()
    observer.store = store = new_store(clock, [observer])
    session = new_session(EmbeddedEngine(store))
    replies = send_lines(session, "SET a 1 EX 1", "INCR a", "PERSIST a", "RENAME a b", "EXPIRE b 5", "DEL b")
    assert replies == ["OK", "2", "1", "OK", "1", "1"]
    assert len(observer.changes) == 7


def test_every_observer_is_called_beside_the_watches(clock: Clock) -> None:
    recorders = [Recorder(), Recorder()]
    engine = EmbeddedEngine(new_store(clock, recorders))
    ours, theirs = new_session(engine), new_session(engine)
    send_lines(ours, "WATCH a")
    send_lines(theirs, "SET a 1")
    assert send_lines(ours, "MULTI", "EXEC")[-1] == "(nil)"
    send_lines(theirs, "SET a 2")
    assert [each.changes for each in recorders] == [[("set", b"a", b"1", None), ("set", b"a", b"2", None)]] * 2


def test_deletions_are_counted_for_scan_whatever_their_cause(
    session: ClientSession, store: Store, clock: Clock
) -> None:
    send_lines(session, "MSET a 1 b 1 c 1 d 1", "PEXPIRE b 5", "DEL a")
    assert store.deletion_count == 1
    clock.forward(5)
    send_lines(session, "GET b")
    assert store.deletion_count == 2
    send_lines(session, "RENAME c e")
    assert store.deletion_count == 3
    send_lines(session, "FLUSHALL")
    assert store.deletion_count == 5
