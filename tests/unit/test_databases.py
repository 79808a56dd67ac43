"""Databases: SELECT and what each session sees, commands on several of them, and what they share."""

from __future__ import annotations

import pytest

from common.errors import (
    DATABASE_OUT_OF_RANGE,
    INT_OUT_OF_RANGE,
    INVALID_FIRST_DATABASE,
    INVALID_SECOND_DATABASE,
    NOT_AN_INTEGER,
    OUT_OF_MEMORY,
    SAME_OBJECT,
)
from common.limits import Limits
from common.replies import OK, ErrorReply, Reply
from common.resp_client import encode_request
from server.commands import COMMANDS
from server.engines import embedded
from server.engines.base import WOULD_BLOCK, DatabaseCounts
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.session.context import ServerContext
from tests.harness.clock import Clock
from tests.harness.frame_client import answers_in, frame
from tests.harness.sessions import ClientSession, connect, execute, execute_line, feed, new_session, send_lines
from tests.harness.stores import new_store, pairs

NINE = [b"%d" % number for number in range(9)]


def used(store: Store) -> list[int]:
    """Return the numbers of the databases that have a store."""
    return [each.index for each in store.databases]


# ---------------------------------------------------------------- SELECT


def test_each_session_has_a_database_of_its_own_choice(session: ClientSession, other: ClientSession) -> None:
    assert send_lines(session, "SET a 0", "SELECT 1", "GET a", "SET a 1") == ["OK", "OK", "(nil)", "OK"]
    assert send_lines(other, "GET a", "SELECT 1", "GET a", "SELECT 0", "GET a") == ["0", "OK", "1", "OK", "0"]
    assert send_lines(session, "GET a", "DBSIZE", "KEYS *") == ["1", "1", "1) a"]


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (b"16", DATABASE_OUT_OF_RANGE),
        (b"-1", DATABASE_OUT_OF_RANGE),
        (b"zero", NOT_AN_INTEGER),
        (b"2147483648", INT_OUT_OF_RANGE),
    ],
)
def test_a_database_that_does_not_exist_cannot_be_selected(
    session: ClientSession, store: Store, index: bytes, error: ErrorReply
) -> None:
    execute(session, b"SELECT", b"2")
    assert execute(session, b"SELECT", index) == error
    execute(session, b"SET", b"a", b"1")
    assert pairs(store.databases[2]) == [(b"a", b"1")], "the selected database stays the same"


def test_the_number_of_databases_is_a_setting(store: Store) -> None:
    session = new_session(EmbeddedEngine(store, databases=2))
    assert execute(session, b"SELECT", b"1") == OK
    for line in ("SELECT 2", "MOVE a 2", "COPY a b DB 2", "SWAPDB 0 2"):
        assert execute_line(session, line) == DATABASE_OUT_OF_RANGE


def test_reset_selects_database_0(session: ClientSession) -> None:
    send_lines(session, "SET a 0", "SELECT 1")
    assert session.client.database == 1
    assert send_lines(session, "RESET", "GET a") == ["RESET", "0"]
    assert session.client.database == 0


def test_pipelined_requests_after_select_are_for_the_selected_database(session: ClientSession, store: Store) -> None:
    requests = [[b"SET", b"k", b"0"], [b"SELECT", b"1"], *([b"SET", key, b"1"] for key in NINE), [b"DBSIZE"]]
    assert feed(session, b"".join(map(encode_request, requests))) == b"+OK\r\n" * 11 + b":9\r\n"
    assert pairs(store) == [(b"k", b"0")]
    assert pairs(store.databases[1]) == [(key, b"1") for key in NINE]


def test_all_protocols_of_a_connection_share_its_database(session: ClientSession, store: Store) -> None:
    (selected, stored) = answers_in(
        feed(session, frame({"command": "SELECT", "args": ["3"]}) + frame({"command": "SET", "key": "k", "value": 1}))
    )
    assert (selected["status_code"], stored["status_code"]) == (200, 200)
    assert (feed(session, b"GET k\n"), execute(session, b"GET", b"k")) == (b"1\n", b"1")
    assert used(store) == [0, 3]


def test_a_database_that_is_not_used_takes_no_memory(session: ClientSession, store: Store) -> None:
    send_lines(session, "SET a 1", "FLUSHALL", "COMPACT", "INFO keyspace", "SELECT 16", "MULTI", "SELECT 99", "EXEC")
    assert used(store) == [0]


@pytest.mark.parametrize("line", ["KEYS *", "SCAN 0", "COMPACT", "LCS a b", "FLUSHALL", "FLUSHDB"])
def test_commands_that_may_take_long_are_deferred_in_every_database(engine: EmbeddedEngine, line: str) -> None:
    context = ServerContext(engine, COMMANDS)
    session = connect(context).session
    session.select(1)
    assert session.execute_waiting([b"SET", b"a", b"1"]) == OK
    args = line.encode().split()
    assert engine.database(1).try_execute(COMMANDS.resolve(args), args, session.client.call) is WOULD_BLOCK
    assert not isinstance(session.execute_waiting(args), ErrorReply)


# ---------------------------------------------------------------- transactions


def test_select_in_a_transaction_concerns_the_commands_after_it(session: ClientSession, store: Store) -> None:
    lines = ["MULTI", "SET a 0", "SELECT 1", "SET a 1", "SELECT 16", "GET a", "SELECT 2", "COMPACT", "EXEC"]
    assert send_lines(session, *lines)[-1].split("\n") == [
        "1) OK",
        "2) OK",
        "3) OK",
        "4) (error) ERR DB index is out of range",
        "5) 1",
        "6) OK",
        "7) SET a 0",
        "   SELECT 1",
        "   SET a 1",
        "   SELECT 0",
    ]
    assert session.client.database == 2
    assert execute_line(session, "DBSIZE") == 0


def test_select_in_a_transaction_that_is_not_executed_has_no_effect(
    session: ClientSession, other: ClientSession
) -> None:
    send_lines(session, "MULTI", "SELECT 1", "DISCARD")
    assert session.client.database == 0
    send_lines(session, "WATCH a")
    send_lines(other, "SET a 1")
    assert send_lines(session, "MULTI", "SELECT 1", "SET b 1", "EXEC")[-1] == "(nil)"
    assert session.client.database == 0
    assert send_lines(session, "GET a", "GET b") == ["1", "(nil)"]


class RunningClock:
    """A clock that advances by 1 ms each time it is read."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        self.now += 1
        return self.now


def test_a_transaction_has_one_time_in_all_its_databases() -> None:
    session = new_session(EmbeddedEngine(new_store(RunningClock())))
    for index in (b"0", b"1", b"2"):
        execute(session, b"SELECT", index)
        execute(session, b"SET", b"a", b"1", b"PXAT", b"1000")
    send_lines(session, "MULTI", "SELECT 1", "PTTL a", "SELECT 0", "PTTL a")
    replies = execute(session, b"EXEC")
    assert isinstance(replies, list)
    assert replies[1] == replies[3]


@pytest.mark.parametrize("watched", [0, 1])
@pytest.mark.parametrize("changed", [0, 1])
def test_a_watch_is_on_a_key_of_one_database(
    session: ClientSession, other: ClientSession, watched: int, changed: int
) -> None:
    send_lines(session, f"SELECT {watched}", "WATCH a", f"SELECT {1 - watched}", "WATCH b")
    assert session.client.watched_keys == 2
    send_lines(other, f"SELECT {changed}", "SET a 1")
    reply = execute_line(session, "MULTI"), execute_line(session, "EXEC")
    assert reply == (OK, None if watched == changed else [])
    assert session.client.watched_keys == 0


@pytest.mark.parametrize(
    ("swap", "is_dirty"), [("0 1", True), ("1 0", True), ("1 2", False), ("0 0", False), ("0 2", True)]
)
def test_swapdb_makes_watches_dirty_if_the_key_exists_in_one_of_both(
    session: ClientSession, other: ClientSession, swap: str, is_dirty: bool
) -> None:
    send_lines(other, "SET a 1", "WATCH none")
    send_lines(session, "WATCH a")
    send_lines(other, f"SWAPDB {swap}")
    assert send_lines(session, "MULTI", "EXEC")[-1] == ("(nil)" if is_dirty else "(empty)")
    assert send_lines(other, "MULTI", "EXEC")[-1] == "(empty)", "a key that is missing before and after"


# ---------------------------------------------------------------- commands on several databases


@pytest.mark.parametrize(
    ("line", "reply", "first", "second"),
    [
        ("MOVE a 1", 1, [b"b"], [b"b", b"a"]),
        ("MOVE b 1", 0, [b"a", b"b"], [b"b"]),
        ("MOVE none 1", 0, [b"a", b"b"], [b"b"]),
        ("MOVE a 0", SAME_OBJECT, [b"a", b"b"], [b"b"]),
        ("MOVE a x", NOT_AN_INTEGER, [b"a", b"b"], [b"b"]),
        ("COPY a a DB 1", 1, [b"a", b"b"], [b"b", b"a"]),
        ("COPY a b DB 1", 0, [b"a", b"b"], [b"b"]),
        ("COPY a b DB 1 REPLACE", 1, [b"a", b"b"], [b"b"]),
        ("SWAPDB 0 1", OK, [b"b"], [b"a", b"b"]),
        ("SWAPDB 1 1", OK, [b"a", b"b"], [b"b"]),
        ("SWAPDB x y", INVALID_FIRST_DATABASE, [b"a", b"b"], [b"b"]),
        ("SWAPDB 16 y", INVALID_SECOND_DATABASE, [b"a", b"b"], [b"b"]),
        ("FLUSHDB", OK, [], [b"b"]),
        ("FLUSHALL", OK, [], []),
    ],
)
def test_commands_on_two_databases(
    session: ClientSession, store: Store, line: str, reply: Reply, first: list[bytes], second: list[bytes]
) -> None:
    send_lines(session, "SET a 1 EX 100", "SET b 2", "SELECT 1", "SET b 3", "SELECT 0")
    assert execute_line(session, line) == reply
    assert (store.all_keys(), store.databases[1].all_keys()) == (first, second)


def test_a_key_keeps_its_expiry_in_another_database(session: ClientSession, clock: Clock) -> None:
    send_lines(session, "SET a 1 PX 1000", "COPY a b DB 1", "MOVE a 1", "SELECT 1")
    assert send_lines(session, "PTTL a", "PTTL b") == ["1000", "1000"]
    clock.forward(1000)
    assert send_lines(session, "DBSIZE", "SELECT 0", "COPY a a DB 1", "MOVE a 1") == ["0", "OK", "0", "0"]


def test_compact_prints_all_databases_and_ends_in_database_0(session: ClientSession) -> None:
    send_lines(session, "SELECT 2", "SET a 2", "SELECT 1", "SELECT 0", "SET b 0")
    lines = send_lines(session, "SELECT 2", "COMPACT")[1]
    assert lines.split("\n") == ["SET b 0", "SELECT 2", "SET a 2", "SELECT 0"]
    rebuilt = new_session()
    feed(rebuilt, f"{lines}\nSET c 0\n".encode())
    assert send_lines(rebuilt, "COMPACT") == ["SET b 0\nSET c 0\nSELECT 2\nSET a 2\nSELECT 0"]


def test_a_key_that_has_expired_in_the_other_database_is_missing_there(session: ClientSession, clock: Clock) -> None:
    """Its last step was at an earlier time."""
    send_lines(session, "SELECT 1", "SET a 1 PX 1000", "TTL a", "SELECT 0", "SET a 2")
    clock.forward(2000)
    assert send_lines(session, "MOVE a 1", "SELECT 1", "GET a", "TTL a") == ["1", "OK", "2", "-1"]


def test_a_value_has_the_same_limit_in_every_database(store: Store) -> None:
    session = new_session(EmbeddedEngine(store, Limits(max_bulk=10)))
    error = send_lines(session, "SETRANGE a 10 x")
    assert send_lines(session, "SELECT 1", "SETRANGE a 10 x")[1:] == error
    assert "exceeds maximum" in error[0]


def test_a_scan_goes_on_after_the_databases_were_swapped(session: ClientSession, store: Store) -> None:
    send_lines(session, "SELECT 1", "MSET a 1 b 2 c 3", "SCAN 0 COUNT 1", "SELECT 0")
    execute(session, b"MSET", *(arg for key in NINE for arg in (key, b"v")))
    cursor, page = execute_line(session, "SCAN 0 COUNT 4")  # type: ignore[misc]
    send_lines(session, "SWAPDB 0 1", "SELECT 1")
    last, rest = execute(session, b"SCAN", cursor, b"COUNT", b"9")  # type: ignore[misc]
    assert (last, [*page, *rest]) == (b"0", NINE)


# ---------------------------------------------------------------- expiry, counters and figures


def test_the_active_expire_cycle_removes_keys_of_all_databases(
    session: ClientSession, store: Store, engine: EmbeddedEngine, clock: Clock
) -> None:
    for index in (0, 5):
        send_lines(session, f"SELECT {index}", "SET a 1 PX 100", "SET b 1")
    clock.forward(2000)
    while not engine.expire_slice():  # a slice may end early on a busy machine
        pass
    assert [each.expired_keys for each in store.databases] == [1, 1]
    counts = engine.key_counts()
    assert (counts.databases, counts.expired) == ({0: DatabaseCounts(1, 0), 5: DatabaseCounts(1, 0)}, 2)


@pytest.mark.uncompiled
def test_an_unfinished_active_expire_cycle_goes_on_with_another_database(
    session: ClientSession, store: Store, engine: EmbeddedEngine, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in (0, 1):
        send_lines(session, f"SELECT {index}", "SET a 1 PX 100", "SET b 1 PX 100")
    clock.forward(2000)
    monkeypatch.setattr(embedded, "stop_after", lambda _: lambda: True)
    assert not engine.expire_slice()
    first = [each.expired_keys for each in store.databases]
    assert not engine.expire_slice()
    assert (sorted(first), [each.expired_keys for each in store.databases]) == ([0, 1], [1, 1])


def test_info_has_a_line_for_each_database_with_keys(session: ClientSession) -> None:
    send_lines(session, "SET a 1", "SELECT 2", "SELECT 3", "SET a 1 EX 100", "SET b 1", "GET a", "STRLEN none", "GET x")
    keyspace, stats = send_lines(session, "INFO keyspace", "INFO stats")
    assert "db0:keys=1,expires=0,avg_ttl=0" in keyspace
    assert "db3:keys=2,expires=1,avg_ttl=0" in keyspace
    assert "db2" not in keyspace
    assert "keyspace_misses:2" in stats


def test_client_list_shows_the_selected_database(session: ClientSession) -> None:
    assert " db=0 " in send_lines(session, "CLIENT INFO")[0]
    assert " db=7 " in send_lines(session, "SELECT 7", "CLIENT INFO")[1]


# ---------------------------------------------------------------- the memory limit


def evict(engine: EmbeddedEngine) -> None:
    """Evict what the limit demands. A slice may end early on a busy machine."""
    while not engine.evict_slice():
        pass


def sized(session: ClientSession, index: int, *keys: str) -> None:
    send_lines(session, f"SELECT {index}", *(f"SET {key} {'x' * 1000}" for key in keys))


def test_one_limit_is_for_all_databases(session: ClientSession, store: Store, engine: EmbeddedEngine) -> None:
    sized(session, 1, "a")
    engine.limit_memory(5000, "noeviction")
    sized(session, 1, "b")
    sized(session, 2, "a", "b", "c")
    send_lines(session, "SELECT 1")
    assert execute_line(session, "SET d 1") == OUT_OF_MEMORY
    assert store.databases.memory is not None
    store.databases.memory.check()
    assert engine.used_memory() == sum(
        each.memory_usage(key) or 0 for each in store.databases for key in each.all_keys()
    )
    assert execute_line(session, "SELECT 3") == OK
    assert execute_line(session, "SET d 1") == OUT_OF_MEMORY
    send_lines(session, "SELECT 1", "FLUSHDB", "SWAPDB 1 2", "SELECT 3")
    store.databases.memory.check()
    assert execute_line(session, "SET d 1") == OK


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize(
    ("policy", "evicted"), [("allkeys-lru", "old"), ("allkeys-lfu", "old"), ("volatile-ttl", "soon")]
)
def test_the_key_that_a_policy_chooses_is_that_of_all_databases(
    session: ClientSession,
    store: Store,
    engine: EmbeddedEngine,
    clock: Clock,
    policy: str,
    evicted: str,
    swap: bool,
) -> None:
    engine.limit_memory(10**9, policy)
    sized(session, 2, "old")
    clock.forward(10 * 60_000)
    evict(engine)  # the policy notes the time
    sized(session, 0, "new")
    sized(session, 1, "soon", "late")
    send_lines(session, "EXPIRE soon 5", "EXPIRE late 100")
    for _ in range(20):
        send_lines(session, "GET soon", "GET late", "SELECT 0", "GET new", "SELECT 1")
    if swap:
        send_lines(session, "SWAPDB 1 2", "SWAPDB 0 1")
    engine.limit_memory((engine.used_memory() or 0) - 1, policy)
    evict(engine)
    left = {key.decode() for each in store.databases for key in each.all_keys()}
    assert left == {"old", "new", "soon", "late"} - {evicted}
    for each in store.databases:
        each.check()


def test_a_random_policy_evicts_from_each_database(
    session: ClientSession, store: Store, engine: EmbeddedEngine
) -> None:
    for index in range(3):
        sized(session, index, *"abcdefghij")
    engine.limit_memory(1, "allkeys-random")
    evict(engine)
    assert [len(each) for each in store.databases] == [0, 0, 0]
    assert [each.evicted_keys for each in store.databases] == [10, 10, 10]


def test_a_write_in_one_database_evicts_in_another(
    session: ClientSession, store: Store, engine: EmbeddedEngine
) -> None:
    sized(session, 0, "a")
    execute_line(session, "EXPIRE a 100")
    engine.limit_memory(1500, "volatile-lru")
    sized(session, 1, "b")
    assert execute_line(session, "SET c 1") == OK
    assert (len(store), len(store.databases[1])) == (0, 2)
