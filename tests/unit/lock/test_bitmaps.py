"""Bitmaps and DUMP under the keyspace lock: what takes time in proportion to a value happens without it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from common.errors import SYNTAX_ERROR
from common.replies import DEFERRED, OK
from common.resp_client import encode_request
from server.commands import bitmaps
from server.commands.bitmaps import MAX_ATTEMPTS, MAX_BYTES_UNDER_LOCK, PIECE_SIZE
from server.commands.dump import MAX_QUICK_SIZE
from server.keyspace.store import Store
from server.rdb.payload import dump
from server.registry import NO_KEYS, CommandGroup, CommandTable, Stages
from tests.harness.locks import WatchedLock, counted_work
from tests.harness.sessions import ClientSession, execute, execute_line, new_session, send_lines

A_FEW = 100
LARGE = 200 * PIECE_SIZE
"""More pieces than `A_FEW`, each of which is processed by a call."""


@pytest.mark.uncompiled
@pytest.mark.parametrize(
    "line",
    ["BITCOUNT k", "BITCOUNT k 1 -1 BIT", "BITPOS k 1", "BITPOS k 1 5", "BITOP NOT d k", "BITOP OR d k l", "DUMP k"],
)
def test_a_large_value_is_processed_without_the_lock(
    session: ClientSession, store: Store, lock: WatchedLock, line: str
) -> None:
    store.set(b"k", bytes(LARGE))
    store.set(b"l", bytes(LARGE))
    with counted_work(lock) as work:
        execute_line(session, line)
    assert 0 < work.calls_under_lock < A_FEW < work.calls


@pytest.mark.uncompiled
@pytest.mark.parametrize("in_transaction", [False, True], ids=["alone", "in a transaction"])
def test_a_payload_is_decoded_without_the_lock(
    session: ClientSession, store: Store, lock: WatchedLock, in_transaction: bool
) -> None:
    payload = dump(bytes(LARGE))
    if in_transaction:
        execute_line(session, "MULTI")
        execute(session, b"RESTORE", b"k", b"0", payload)
    with counted_work(lock) as work:
        execute_line(session, "EXEC") if in_transaction else execute(session, b"RESTORE", b"k", b"0", payload)
    assert 0 < work.calls_under_lock < A_FEW < work.calls
    assert store.get(b"k") == bytes(LARGE)


@pytest.fixture
def on_combining(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Return a function that sets what happens while BITOP OR combines values."""

    def set_up(action: Callable[[], None]) -> None:
        combine = bitmaps.OPERATIONS[b"OR"]

        def combine_and_act(values: object) -> bytes:
            result = combine(values)  # type: ignore[arg-type]
            action()
            return result

        monkeypatch.setitem(bitmaps.OPERATIONS, b"OR", combine_and_act)

    return set_up


@pytest.mark.uncompiled
def test_bitop_begins_again_if_a_source_changes_meanwhile(
    session: ClientSession, store: Store, lock: WatchedLock, on_combining: Callable[[Callable[[], None]], None]
) -> None:
    store.set(b"k", bytes(LARGE))
    changes = iter([b"\x01", b"\x02"])

    def change() -> None:
        assert lock.depth == 0
        for part in changes:
            store.begin_step()
            store.write_range(b"k", 0, part)
            return

    on_combining(change)
    assert execute_line(session, "BITOP OR d k") == LARGE
    value = store.get(b"d")
    assert value is not None
    assert value[:1] == b"\x02"
    assert lock.taken == 4, "three times to read, of which the last two found a change, and once to store"


@pytest.mark.uncompiled
def test_bitop_ends_although_its_sources_change_all_the_time(
    session: ClientSession, store: Store, lock: WatchedLock, on_combining: Callable[[Callable[[], None]], None]
) -> None:
    store.set(b"k", bytes(LARGE))
    depths: list[int] = []

    def change() -> None:
        depths.append(lock.depth)
        if not lock.depth:
            store.begin_step()
            store.write_range(b"k", 0, b"%d" % len(depths))

    on_combining(change)
    assert execute_line(session, "BITOP OR d k") == LARGE
    assert depths == [0] * MAX_ATTEMPTS + [1]
    assert store.get(b"d") == store.get(b"k")


@pytest.mark.uncompiled
def test_bitop_of_short_values_takes_the_lock_once(session: ClientSession, store: Store, lock: WatchedLock) -> None:
    store.set(b"k", b"abc")
    assert execute_line(session, "BITOP NOT d k") == 3
    assert lock.taken == 1


def test_a_key_that_is_repeated_often_is_combined_once(session: ClientSession, store: Store) -> None:
    store.set(b"k", b"\x0f" * LARGE)
    for operation in (b"AND", b"OR", b"XOR"):
        with counted_work() as work:
            execute(session, b"BITOP", operation, b"d", *[b"k"] * 1001)
        assert work.calls < 20 * 1001 + 20 * LARGE // PIECE_SIZE
        assert store.get(b"d") == b"\x0f" * LARGE


def test_many_short_values_beside_a_long_one_are_read_once(session: ClientSession, store: Store) -> None:
    keys = [b"short:%d" % number for number in range(1000)]
    for key in keys:
        store.set(key, key[-2:] + b"x")  # objects of their own
    store.set(b"long", bytes(LARGE))
    with counted_work() as work:
        execute(session, b"BITOP", b"OR", b"d", b"long", *keys)
    assert work.calls < 30 * 1000 + 20 * LARGE // PIECE_SIZE


@pytest.mark.uncompiled
@pytest.mark.parametrize("line", ["SETBIT k 5 1", "BITFIELD k SET u8 0 1"])
def test_pipelined_changes_of_bits_release_the_lock_between_them(
    session: ClientSession, store: Store, lock: WatchedLock, line: str
) -> None:
    store.set(b"k", bytes(100))
    session.feed(encode_request(line.encode().split()) * 10)
    assert lock.taken == 10


@pytest.mark.parametrize("line", ["SETBIT k 5 0", "BITFIELD k GET u8 0 SET u8 0 0", "BITFIELD k INCRBY i8 8 0"])
def test_what_changes_no_bit_copies_no_value(session: ClientSession, store: Store, line: str) -> None:
    value = bytes(LARGE)
    store.set(b"k", value)
    execute_line(session, line)
    assert store.get(b"k") is value


SHORT_OR_LONG = [
    ([b"BITCOUNT", b"k"], MAX_BYTES_UNDER_LOCK),
    ([b"BITPOS", b"k", b"1"], MAX_BYTES_UNDER_LOCK),
    ([b"BITOP", b"NOT", b"d", b"k"], MAX_BYTES_UNDER_LOCK),
    ([b"BITOP", b"OR", b"d", b"k", b"missing"], MAX_BYTES_UNDER_LOCK),
    ([b"DUMP", b"k"], MAX_QUICK_SIZE),
]


@pytest.mark.parametrize(("args", "limit"), SHORT_OR_LONG, ids=repr)
def test_a_request_is_deferred_if_its_values_are_large(
    session: ClientSession, store: Store, args: list[bytes], limit: int
) -> None:
    store.set(b"k", bytes(limit))
    assert session.session.try_execute(args) is not DEFERRED
    store.set(b"k", bytes(limit + 1))
    assert session.session.try_execute(args) is DEFERRED
    assert session.session.execute_deferred() is not DEFERRED


def test_a_restore_is_deferred_if_its_payload_is_large(session: ClientSession) -> None:
    assert session.session.try_execute([b"RESTORE", b"k", b"0", dump(b"v")]) == OK
    assert session.session.try_execute([b"RESTORE", b"k", b"0", bytes(MAX_QUICK_SIZE + 1)]) is DEFERRED


def test_an_error_of_a_short_request_is_replied_at_once(session: ClientSession, store: Store) -> None:
    store.set(b"k", b"v")
    assert session.session.try_execute([b"BITCOUNT", b"k", b"0"]) == SYNTAX_ERROR


def test_migrate_and_a_transaction_with_commands_in_stages_are_always_deferred(
    session: ClientSession, store: Store
) -> None:
    """The values may be large when EXEC is executed."""
    assert session.session.try_execute([b"MIGRATE", b"h", b"1", b"missing", b"0", b"1"]) is DEFERRED
    execute(session, b"MULTI")
    execute(session, b"BITCOUNT", b"k")
    assert session.session.try_execute([b"EXEC"]) is DEFERRED


# ---------------------------------------------------------------- commands with several steps

depths: list[tuple[str, int]] = []
group = CommandGroup("test")


@group.writes_in_several_steps("STEPS count", "Take several steps.", keys=NO_KEYS)
def steps(count: int) -> Stages[Store, int]:
    found = 0
    for number in range(count):
        depths.append(("between", the_lock.depth))
        found = yield lambda store, number=number: step(store, number)  # type: ignore[misc]
    return found


def step(store: Store, number: int) -> int:
    depths.append(("step", the_lock.depth))
    store.set(b"%d" % number, b"v")
    return len(store)


the_lock = WatchedLock()


@pytest.fixture
def stepping(lock: WatchedLock, session: ClientSession, monkeypatch: pytest.MonkeyPatch) -> ClientSession:
    monkeypatch.setattr("tests.unit.lock.test_bitmaps.the_lock", lock)
    depths.clear()
    from server.commands import transactions

    return new_session(session.context.engine, CommandTable([group, transactions.group]))


@pytest.mark.uncompiled
def test_each_step_takes_the_lock_and_nothing_between_them_does(stepping: ClientSession, lock: WatchedLock) -> None:
    assert execute_line(stepping, "STEPS 3") == 3
    assert depths == [("between", 0), ("step", 1)] * 3
    assert lock.taken == 3


@pytest.mark.uncompiled
def test_a_transaction_runs_all_steps_under_its_lock(stepping: ClientSession, lock: WatchedLock) -> None:
    send_lines(stepping, "MULTI", "STEPS 2", "STEPS 1")
    assert execute_line(stepping, "EXEC") == [2, 2]
    assert lock.taken == 1
    assert {depth for kind, depth in depths if kind == "step"} == {1}


def test_a_dump_in_a_transaction_is_that_of_its_moment(session: ClientSession) -> None:
    send_lines(session, "SET k 1", "MULTI", "DUMP k", "SET k 2", "DUMP k", "BITOP NOT d k", "DUMP d")
    assert execute_line(session, "EXEC") == [dump(b"1"), OK, dump(b"2"), 1, dump(b"\xcd")]
