"""Expiry: which commands set, keep and remove it, and that no command sees an expired key."""

from __future__ import annotations

import pytest

from common.errors import GT_AND_LT, NO_SUCH_KEY, NOT_AN_INTEGER, NX_AND_OTHERS, SYNTAX_ERROR, invalid_expire_time
from common.replies import OK, Reply, SimpleString
from server.args.integers import MAX_INTEGER, MIN_INTEGER
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from tests.harness.clock import Clock
from tests.harness.sessions import ClientSession, execute, execute_line, send_line, send_lines
from tests.harness.stores import pairs

# ---------------------------------------------------------------- giving an expiry

IN_TEN_SECONDS = 2_000_000_010_000
"""By the clock of the tests."""


@pytest.mark.parametrize(
    "line",
    [
        "EXPIRE k 10",
        "PEXPIRE k 10000",
        "EXPIREAT k 2000000010",
        "PEXPIREAT k 2000000010000",
        "SET k v EX 10",
        "SET k v px 10000",
        "SET k v EXAT 2000000010",
        "SET k v PXAT 2000000010000",
        "SETEX k 10 v",
        "PSETEX k 10000 v",
        "GETEX k EX 10",
        "GETEX k PX 10000",
        "GETEX k EXAT 2000000010",
        "GETEX k PXAT 2000000010000",
    ],
)
def test_a_key_expires_at_its_millisecond_and_not_before(
    session: ClientSession, store: Store, clock: Clock, line: str
) -> None:
    store.set(b"k", b"v")
    assert not send_line(session, line).startswith("(error)")
    assert send_lines(session, "PEXPIRETIME k", "EXPIRETIME k") == [str(IN_TEN_SECONDS), "2000000010"]
    assert send_lines(session, "PTTL k", "TTL k") == ["10000", "10"]
    clock.forward(9_999)
    assert send_lines(session, "PTTL k", "GET k") == ["1", "v"]
    clock.forward(1)
    assert send_lines(session, "PTTL k", "TTL k", "EXPIRETIME k", "PEXPIRETIME k") == ["-2"] * 4
    assert send_line(session, "GET k") == "(nil)"


@pytest.mark.parametrize(
    "line", ["EXPIRE k 0", "EXPIRE k -1", "PEXPIRE k -5", "EXPIREAT k 1", "PEXPIREAT k 2000000000000", "PEXPIREAT k 0"]
)
def test_an_expiry_in_the_past_removes_the_key_at_once(session: ClientSession, store: Store, line: str) -> None:
    store.set(b"k", b"v")
    assert send_line(session, line) == "1"
    assert store.items() == []


@pytest.mark.parametrize("line", ["SET k v PXAT 1", "SET k v EXAT 2000000000", "GETEX k PXAT 1"])
def test_a_time_in_the_past_removes_the_key_that_it_is_given_to(
    session: ClientSession, store: Store, line: str
) -> None:
    store.set(b"k", b"old")
    assert send_line(session, line) in ("OK", "old")
    assert store.items() == []


@pytest.mark.parametrize("left", [1, 499, 500, 1499, 1500])
def test_ttl_rounds_to_the_nearest_second(session: ClientSession, store: Store, left: int) -> None:
    store.set(b"k", b"v")
    execute(session, b"PEXPIRE", b"k", b"%d" % left)
    assert execute(session, b"TTL", b"k") == (left + 500) // 1000


def test_a_key_that_never_expires_says_so(session: ClientSession, store: Store) -> None:
    store.set(b"k", b"v")
    assert send_lines(session, "TTL k", "PTTL k", "EXPIRETIME k", "PEXPIRETIME k") == ["-1"] * 4


@pytest.mark.parametrize("name", ["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"])
def test_expire_of_a_missing_key_does_nothing(session: ClientSession, store: Store, name: str) -> None:
    assert send_line(session, f"{name} k 4000000000") == "0"
    assert store.items() == []


@pytest.mark.parametrize(
    ("condition", "without", "earlier", "same", "later"),
    [
        ("NX", 1, 0, 0, 0),
        ("XX", 0, 1, 1, 1),
        ("GT", 0, 0, 0, 1),
        ("LT", 1, 1, 0, 0),
        ("XX LT", 0, 1, 0, 0),
        ("xx gt", 0, 0, 0, 1),
    ],
)
def test_a_condition_compares_with_the_present_expiry(
    session: ClientSession, condition: str, without: int, earlier: int, same: int, later: int
) -> None:
    """No expiry is later than any."""
    assert send_lines(session, "SET k v", f"EXPIRE k 100 {condition}") == ["OK", str(without)]
    for seconds, done in ((50, earlier), (100, same), (200, later)):
        assert send_lines(session, "SET k v EX 100", f"EXPIRE k {seconds} {condition}") == ["OK", str(done)]
        assert execute_line(session, "TTL k") == (seconds if done else 100)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("EXPIRE k 1 NX XX", NX_AND_OTHERS.text.decode()),
        ("EXPIRE k 1 LT NX", NX_AND_OTHERS.text.decode()),
        ("EXPIRE k 1 GT LT", GT_AND_LT.text.decode()),
        ("EXPIRE k 1 OFTEN", "ERR Unsupported option OFTEN"),
        ("EXPIRE k soon", NOT_AN_INTEGER.text.decode()),
        ("SET k v EX", SYNTAX_ERROR.text.decode()),
        ("SET k v EX 1 PX 1", SYNTAX_ERROR.text.decode()),
        ("SET k v EX 1 KEEPTTL", SYNTAX_ERROR.text.decode()),
        ("SET k v NX XX", SYNTAX_ERROR.text.decode()),
        ("SET k v EX soon", NOT_AN_INTEGER.text.decode()),
        ("GETEX k PERSIST EX 1", SYNTAX_ERROR.text.decode()),
        ("GETEX k KEEPTTL", SYNTAX_ERROR.text.decode()),
    ],
)
def test_a_refused_expiry_changes_nothing(session: ClientSession, store: Store, line: str, error: str) -> None:
    store.set(b"k", b"old")
    assert send_line(session, line) == f"(error) {error}"
    assert store.items() == [(b"k", b"old", None)]


@pytest.mark.parametrize("time", [MAX_INTEGER, MIN_INTEGER, MAX_INTEGER // 1000 + 1])
@pytest.mark.parametrize("line", ["EXPIRE k {}", "EXPIREAT k {}", "SET k v EX {}", "SETEX k {} v", "GETEX k EXAT {}"])
def test_an_expiry_beyond_64_bits_is_refused(session: ClientSession, store: Store, line: str, time: int) -> None:
    store.set(b"k", b"old")
    name = line.split(maxsplit=1)[0].lower().encode()
    assert execute_line(session, line.format(time)) == invalid_expire_time(name)
    assert store.items() == [(b"k", b"old", None)]


@pytest.mark.parametrize("line", ["SET k v EX 0", "SET k v PXAT -1", "SETEX k 0 v", "PSETEX k -1 v", "GETEX k PX 0"])
def test_a_time_below_one_is_refused_where_it_comes_with_a_value(
    session: ClientSession, store: Store, line: str
) -> None:
    store.set(b"k", b"old")
    assert execute_line(session, line) == invalid_expire_time(line.split(maxsplit=1)[0].lower().encode())
    assert store.items() == [(b"k", b"old", None)]


# ---------------------------------------------------------------- keeping it, moving it, taking it away


@pytest.mark.parametrize(
    "line",
    [
        "INCR k", "DECRBY k 2", "INCRBYFLOAT k 0.5", "APPEND k 5", "SETRANGE k 1 5", "SET k 5 KEEPTTL",
        "GETEX k", "GET k",
        "SETNX k 5", "MSETNX k 5", "SET k 5 NX", "TOUCH k", "RENAME k k",
    ],
)  # fmt: skip
def test_an_expiry_stays_where_a_value_changes_in_place_or_not_at_all(session: ClientSession, line: str) -> None:
    assert send_lines(session, "SET k 1 EX 10", line, "PTTL k")[2] == "10000"


@pytest.mark.parametrize("line", ["SET k 5", "SET k 5 GET", "GETSET k 5", "MSET k 5", "PERSIST k", "GETEX k PERSIST"])
def test_commands_that_replace_a_value_remove_its_expiry(session: ClientSession, line: str) -> None:
    assert send_lines(session, "SET k 1 EX 10", line, "PTTL k")[2] == "-1"


def test_persist_reports_whether_there_was_an_expiry(session: ClientSession, clock: Clock) -> None:
    assert send_lines(session, "SET k v EX 10", "PERSIST k", "PERSIST k", "PERSIST none") == ["OK", "1", "0", "0"]
    clock.forward(20_000)
    assert send_line(session, "GET k") == "v"
    send_lines(session, "EXPIRE k 1")
    clock.forward(1000)
    assert send_line(session, "PERSIST k") == "0"


@pytest.mark.parametrize("line", ["RENAME a b", "RENAMENX a c", "COPY a c", "COPY a b REPLACE"])
def test_rename_and_copy_take_the_expiry_along(session: ClientSession, line: str) -> None:
    send_lines(session, "SET a 1 EX 10", "SET b 2 EX 20", line)
    assert execute_line(session, f"PTTL {line.split()[2]}") == 10_000


@pytest.mark.parametrize("line", ["RENAME a b", "COPY a b REPLACE"])
def test_a_key_that_is_overwritten_by_one_without_an_expiry_has_none(session: ClientSession, line: str) -> None:
    assert send_lines(session, "SET a 1", "SET b 2 EX 20", line, "PTTL b")[3] == "-1"


def test_a_key_that_is_deleted_or_flushed_loses_its_expiry(session: ClientSession, store: Store) -> None:
    assert send_lines(session, "SET a 1 EX 10", "DEL a", "SET a 1", "PTTL a")[3] == "-1"
    assert send_lines(session, "SET a 1 EX 10", "FLUSHALL", "SET a 1", "PTTL a")[3] == "-1"
    assert store.expiring_keys == 0


# ---------------------------------------------------------------- an expired key does not exist


@pytest.fixture
def expired(session: ClientSession, clock: Clock) -> ClientSession:
    """A session on a store where `old` has expired and was not accessed since, and `here` has not."""
    send_lines(session, "SET old 5 PX 100", "SET here 1")
    clock.forward(100)
    return session


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("GET old", None), ("EXISTS old old here", 1), ("TTL old", -2), ("PTTL old", -2), ("EXPIRETIME old", -2),
        ("KEYS *", [b"here"]), ("SCAN 0", [b"0", [b"here"]]), ("DBSIZE", 1), ("RANDOMKEY", b"here"),
        ("RENAME old new", NO_SUCH_KEY), ("RENAMENX old new", NO_SUCH_KEY), ("RENAMENX here old", 1),
        ("COPY old new", 0), ("COPY here old", 1), ("INCR old", 1), ("DECRBY old 2", -2),
        ("INCRBYFLOAT old 2", b"2"),
        ("APPEND old x", 1), ("SETRANGE old 1 x", 2), ("STRLEN old", 0), ("GETRANGE old 0 -1", b""),
        ("COMPACT", b"SET here 1"), ("DEL old", 0), ("UNLINK old here", 1), ("TOUCH old", 0),
        ("TYPE old", SimpleString(b"none")),
        ("SET old 1 NX", OK), ("SET old 1 XX", None), ("SET old 1 GET", None), ("SET old 1 KEEPTTL", OK),
        ("SETNX old 1", 1), ("MSETNX old 1 new 2", 1), ("GETSET old 1", None), ("GETDEL old", None),
        ("GETEX old PERSIST", None), ("MGET old here", [None, b"1"]), ("EXPIRE old 10", 0), ("PERSIST old", 0),
        ("OBJECT ENCODING old", None), ("OBJECT FREQ old", None), ("MEMORY USAGE old", None),
        ("LCS old here LEN", 0),
        ("FLUSHALL", OK),
    ],
)  # fmt: skip
def test_no_command_sees_an_expired_key(expired: ClientSession, store: Store, line: str, reply: Reply) -> None:
    assert execute_line(expired, line) == reply
    assert store.expires_at(b"old") is None, "a new value does not inherit the expiry"


def test_exec_sees_no_expired_key(session: ClientSession, clock: Clock) -> None:
    send_lines(session, "SET old 5 PX 100", "MULTI", "GET old", "INCR old")
    clock.forward(100)
    assert send_line(session, "EXEC") == "1) (nil)\n2) 1"


@pytest.mark.parametrize("line", ["SET old 6", "MSET old 6", "GETSET old 6", "SET old 6 KEEPTTL", "INCRBY old 6"])
def test_a_key_that_is_set_after_it_expired_is_the_newest(expired: ClientSession, store: Store, line: str) -> None:
    send_line(expired, line)
    assert pairs(store) == [(b"here", b"1"), (b"old", b"6")]


def test_a_key_renamed_onto_an_expired_one_is_the_newest(expired: ClientSession, store: Store) -> None:
    send_lines(expired, "SET last 2", "RENAME here old")
    assert pairs(store) == [(b"last", b"2"), (b"old", b"1")]


# ---------------------------------------------------------------- COMPACT


def test_compact_writes_the_time_at_which_a_key_expires(session: ClientSession) -> None:
    send_lines(session, "SET a 1", "SET b 'x y' EX 10")
    assert send_line(session, "COMPACT") == f'SET a 1\nSET b "x y" PXAT {IN_TEN_SECONDS}'


def test_a_line_of_compact_that_is_executed_after_the_expiry_sets_nothing(
    session: ClientSession, store: Store, clock: Clock
) -> None:
    send_line(session, "SET a 1 EX 10")
    line = send_line(session, "COMPACT")
    clock.forward(10_000)
    assert send_lines(session, line, "EXISTS a") == ["OK", "0"]
    assert store.items() == []


def test_the_active_expire_cycle_removes_a_key_in_the_second_after_its_expiry(
    engine: EmbeddedEngine, store: Store, clock: Clock
) -> None:
    next_second = (clock.now // 1000 + 1) * 1000
    store.set(b"key", b"value", next_second - 1)
    clock.now = next_second
    assert engine.expire_slice()
    assert list(store.keys_in_order()) == []
