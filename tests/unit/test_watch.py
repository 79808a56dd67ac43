"""WATCH: an EXEC runs if, and only if, no watched key has changed."""

from __future__ import annotations

import pytest

from common.errors import EXEC_ABORTED, WATCH_INSIDE_MULTI
from common.replies import NULL_ARRAY, OK
from server.keyspace.contents import ClearedContents
from server.keyspace.expiration import ExpirationIndex
from server.keyspace.scan import ScanSnapshots
from server.keyspace.store import Store
from server.keyspace.watches import Watch, Watches
from tests.harness.clock import Clock
from tests.harness.sessions import ClientSession, connect, execute_line, send_line, send_lines

RAN = "1) PONG"
DID_NOT_RUN = "(nil)"


def watched_keys(session: ClientSession) -> int:
    """Return the number of watched keys that CLIENT INFO shows."""
    return int(send_line(session, "CLIENT INFO").partition(" watch=")[2].split()[0])


def transact(session: ClientSession) -> str:
    """Run a transaction that changes nothing; return what EXEC replies."""
    return send_lines(session, "MULTI", "PING", "EXEC")[-1]


CHANGES = [
    "SET a 2", "SET a 1", "SET a 1 KEEPTTL", "SET a 1 XX GET", "APPEND a x", "SETRANGE a 0 9", "INCR a", "DECRBY a 0",
    "INCRBYFLOAT a 0.5", "DEL a", "UNLINK a", "GETDEL a", "GETSET a 1", "MSET b 1 a 1", "RENAME a c", "RENAME b a",
    "RENAMENX a c", "COPY b a REPLACE", "EXPIRE a 10", "EXPIRE a -1", "GETEX a EX 10", "SETEX a 10 1",
    "FLUSHALL", "FLUSHDB",
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_watched_key_that_another_session_changes_stops_exec(
    session: ClientSession, other: ClientSession, store: Store, change: str
) -> None:
    send_lines(session, "MSET a 1 b 2", "WATCH a")
    assert not send_line(other, change).startswith("(error)")
    after = store.items()
    assert send_lines(session, "MULTI", "SET ran 1", "EXEC")[-1] == DID_NOT_RUN
    assert store.items() == after
    assert transact(session) == RAN, "the watch is over"


@pytest.mark.parametrize("change", CHANGES)
def test_a_sessions_own_change_stops_its_exec_too(session: ClientSession, change: str) -> None:
    send_lines(session, "MSET a 1 b 2", "WATCH a", change)
    assert transact(session) == DID_NOT_RUN


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_within_the_transaction_does_not_stop_it(session: ClientSession, change: str) -> None:
    send_lines(session, "MSET a 1 b 2", "WATCH a", "MULTI", change)
    assert send_line(session, "EXEC").startswith("1) ")


@pytest.mark.parametrize(
    "line",
    [
        "GET a", "EXISTS a", "TTL a", "GETRANGE a 0 -1", "GETEX a", "TOUCH a", "TYPE a", "KEYS *", "SCAN 0", "COMPACT",
        "SET b 1", "DEL b", "INCR b", "RENAME b c", "COPY a c", "COPY b a", "RENAMENX b a", "SETNX a 1",
        "MSETNX a 1 c 2",
        "SET a 2 NX", "DEL none", "PERSIST a", "RENAME a a", "SETRANGE a 0 ''", "EXPIRE a 10 XX", "INCRBY a x", "SET a",
        "EXPIRE none 10",
    ],
)  # fmt: skip
def test_what_leaves_the_watched_key_as_it_is_does_not_stop_exec(
    session: ClientSession, other: ClientSession, line: str
) -> None:
    send_lines(session, "MSET a 1 b 2", "WATCH a")
    send_line(other, line)
    assert transact(session) == RAN


@pytest.mark.parametrize(
    "change", ["SET a 1", "SETNX a 1", "INCR a", "RENAME b a", "COPY b a", "MSETNX a 1 c 2", "APPEND a 1"]
)
def test_a_watched_key_that_comes_to_be_stops_exec(session: ClientSession, other: ClientSession, change: str) -> None:
    send_lines(session, "SET b 2", "WATCH a")
    send_line(other, change)
    assert transact(session) == DID_NOT_RUN


def test_a_watched_key_that_comes_and_goes_stops_exec(session: ClientSession, other: ClientSession) -> None:
    send_line(session, "WATCH a")
    send_lines(other, "SET a 1", "DEL a")
    assert transact(session) == DID_NOT_RUN


@pytest.mark.parametrize("line", ["FLUSHALL", "DEL a", "GETDEL a", "SET a 1 XX"])
def test_a_watched_key_that_was_not_there_and_still_is_not_does_not_stop_exec(
    session: ClientSession, other: ClientSession, line: str
) -> None:
    send_line(session, "WATCH a")
    send_line(other, line)
    assert transact(session) == RAN


def test_any_of_several_keys_stops_exec_and_so_does_any_of_several_watches(
    session: ClientSession, other: ClientSession
) -> None:
    for changed in ("a", "b", "c"):
        send_lines(session, "WATCH a b", "WATCH c a")
        send_line(other, f"SET {changed} 1")
        assert transact(session) == DID_NOT_RUN
    send_lines(session, "WATCH a b", "WATCH c a")
    send_line(other, "SET d 1")
    assert transact(session) == RAN


def test_sessions_watch_by_themselves(session: ClientSession, other: ClientSession) -> None:
    send_lines(session, "WATCH a")
    send_lines(other, "WATCH a", "SET a 1")
    assert (transact(session), transact(other)) == (DID_NOT_RUN, DID_NOT_RUN)
    send_lines(session, "WATCH a")
    send_lines(other, "WATCH a")
    send_lines(other, "UNWATCH", "SET a 2")
    assert (transact(other), transact(session)) == (RAN, DID_NOT_RUN)


def test_two_sessions_that_count_by_watching_lose_no_step(session: ClientSession, other: ClientSession) -> None:
    """Both read, both try to write what they read plus one; the one that comes second reads again."""
    send_line(session, "SET n 0")
    for _ in range(10):
        for each in (session, other):
            send_lines(each, "WATCH n")
        values = [execute_line(each, "GET n") for each in (session, other)]
        results = [
            send_lines(each, "MULTI", f"SET n {int(bytes(value or b'')) + 1}", "EXEC")[-1]
            for each, value in zip((session, other), values, strict=True)
        ]
        assert results == ["1) OK", DID_NOT_RUN]
    assert send_line(session, "GET n") == "10"


# ---------------------------------------------------------------- expiry


@pytest.mark.parametrize("touch", ["PING", "GET a", "DBSIZE", "DEL a", "SET b 1"])
def test_a_watched_key_that_expires_stops_exec_whether_it_is_accessed_or_not(
    session: ClientSession, other: ClientSession, clock: Clock, touch: str
) -> None:
    send_lines(session, "SET a 1 PX 1000", "WATCH a")
    clock.forward(999)
    assert transact(session) == RAN
    send_lines(session, "WATCH a")
    clock.forward(1)
    send_line(other, touch)
    assert transact(session) == DID_NOT_RUN


def test_a_key_that_had_expired_when_it_came_to_be_watched_does_not_stop_exec(
    session: ClientSession, clock: Clock
) -> None:
    send_line(session, "SET a 1 PX 1000")
    clock.forward(1000)
    send_line(session, "WATCH a")
    clock.forward(1000)
    assert transact(session) == RAN


@pytest.mark.parametrize("line", ["PERSIST a", "EXPIRE a 5"])
def test_an_expiry_that_changes_stops_exec(session: ClientSession, other: ClientSession, line: str) -> None:
    send_lines(session, "SET a 1 EX 10", "WATCH a")
    send_line(other, line)
    assert transact(session) == DID_NOT_RUN


# ---------------------------------------------------------------- the end of a watch


@pytest.mark.parametrize(
    "ending",
    [["UNWATCH"], ["MULTI", "DISCARD"], ["MULTI", "EXEC"], ["MULTI", "FLY", "EXEC"], ["RESET"]],
    ids=" ".join,
)
@pytest.mark.parametrize("changed", ["before", "after"])
def test_a_watch_ends_and_is_no_longer_dirty(
    session: ClientSession, other: ClientSession, store: Store, ending: list[str], changed: str
) -> None:
    send_lines(session, "WATCH a b")
    if changed == "before":
        send_line(other, "SET a 1")
    send_lines(session, *ending)
    assert watched_keys(session) == 0
    store.check()
    if changed == "after":
        send_line(other, "SET a 1")
    assert transact(session) == RAN


def test_a_session_that_closes_leaves_no_watch(session: ClientSession, other: ClientSession, store: Store) -> None:
    send_lines(session, "WATCH a b")
    send_lines(other, "WATCH b c")
    session.close()
    store.check()
    third = connect(other.context)
    send_line(third, "SET b 1")
    assert transact(other) == DID_NOT_RUN
    other.close()
    store.check()


def test_a_session_that_closes_within_a_transaction_leaves_nothing(session: ClientSession, store: Store) -> None:
    send_lines(session, "WATCH a", "MULTI", "SET a 1")
    session.close()
    assert store.items() == []
    assert session.context.clients.all() == []


def test_watch_inside_multi_is_refused_and_changes_nothing(session: ClientSession, other: ClientSession) -> None:
    send_lines(session, "WATCH a", "MULTI", "PING")
    assert execute_line(session, "WATCH b") == WATCH_INSIDE_MULTI
    send_line(other, "SET b 1")
    assert send_line(session, "EXEC") == RAN


def test_unwatch_inside_multi_comes_too_late(session: ClientSession, other: ClientSession) -> None:
    send_lines(session, "WATCH a", "MULTI", "UNWATCH")
    send_line(other, "SET a 1")
    assert send_line(session, "EXEC") == DID_NOT_RUN


def test_a_dirty_transaction_is_refused_before_its_watch_is_looked_at(
    session: ClientSession, other: ClientSession
) -> None:
    send_lines(session, "WATCH a", "MULTI", "FLY")
    send_line(other, "SET a 1")
    assert execute_line(session, "EXEC") == EXEC_ABORTED


def test_a_transaction_that_did_not_run_is_no_error_and_no_empty_array(
    session: ClientSession, other: ClientSession
) -> None:
    execute_line(session, "HELLO 3")
    send_lines(session, "WATCH a")
    send_line(other, "SET a 1")
    assert [execute_line(session, line) for line in ("MULTI", "EXEC")] == [OK, None]
    assert NULL_ARRAY is not None


# ---------------------------------------------------------------- the watches alone


def watched(*watches: tuple[Watch, bytes]) -> Watches:
    all_ = Watches()
    for watch, key in watches:
        all_.add(watch, key)
    return all_


def test_watches_count_the_watched_keys_and_are_empty_when_the_last_watch_ends() -> None:
    first, second = Watch(), Watch()
    watches = watched((first, b"a"), (first, b"b"), (second, b"b"))
    assert len(watches) == 2
    watches.remove(first)
    watches.check()
    assert (len(watches), first.keys, second.keys) == (1, set(), {b"b"})
    watches.remove(second)
    assert len(watches) == 0


def test_a_change_makes_only_the_watches_on_its_key_dirty() -> None:
    first, second, third = Watch(), Watch(), Watch()
    watches = watched((first, b"a"), (second, b"b"), (third, b"a"), (third, b"b"))
    watches.on_set(b"a", b"1", None, None)
    assert [each.dirty for each in (first, second, third)] == [True, False, True]


def test_clearing_makes_the_watches_on_existing_keys_dirty() -> None:
    first, second = Watch(), Watch()
    cleared = ClearedContents({b"a": b"1"}, ExpirationIndex(), ScanSnapshots())
    watched((first, b"a"), (second, b"missing")).on_clear(cleared)
    assert (first.dirty, second.dirty) == (True, False)


def test_the_check_finds_a_watch_that_its_session_does_not_know() -> None:
    watch = Watch()
    watches = watched((watch, b"a"))
    watches.check()
    watch.keys.clear()
    with pytest.raises(AssertionError, match="watches"):
        watches.check()
