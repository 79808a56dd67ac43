"""The memory limit: what is counted, what is refused and evicted, and which keys the policies choose."""

from __future__ import annotations

import random
from itertools import count

import pytest

from common.errors import (
    EXEC_ABORTED,
    FREQUENCY_NOT_TRACKED,
    IDLE_TIME_NOT_TRACKED,
    IDLE_TIME_NOT_TRACKED_BY_LFU,
    KEY_NOT_TRACKED,
    NOT_AN_INTEGER,
    OUT_OF_MEMORY,
    exec_aborted_by,
)
from common.replies import NULL_ARRAY, OK, QUEUED, ErrorKind, ErrorReply
from common.resp_client import ReplyDecoder, encode_request
from common.resp_requests import MIN_BATCH
from server.engines.embedded import EmbeddedEngine
from server.keyspace import eviction
from server.keyspace.eviction import MIN_STALE_KEYS, SAMPLES, LeastRecentlyUsed, SampledKeys
from server.keyspace.memory import ENTRY_SIZE, EXPIRY_SIZE
from server.keyspace.observers import Removal
from server.keyspace.store import Store
from server.rdb.payload import dump
from server.settings.kinds import EVICTION
from tests.harness.clock import Clock
from tests.harness.sessions import ClientSession, execute, execute_line, feed, send_line, send_lines
from tests.harness.stores import Recorder, new_store

LIMIT = 10_000
VALUE = b"x" * 1000

ALLKEYS = ["allkeys-lru", "allkeys-lfu", "allkeys-random"]
VOLATILE = ["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"]

MINUTE = 60_000


@pytest.fixture
def full(session: ClientSession, engine: EmbeddedEngine) -> ClientSession:
    """A session on a store that has exceeded its limit, with nothing that can be evicted."""
    engine.limit_memory(LIMIT, "noeviction")
    assert execute(session, b"SET", b"large", b"x" * LIMIT) == OK
    return session


@pytest.fixture
def look_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a sample of at most `SAMPLES` keys contain all of them."""
    numbers = count()
    monkeypatch.setattr(eviction, "random", lambda: next(numbers) % SAMPLES / SAMPLES)


def fill(session: ClientSession, *keys: bytes, options: tuple[bytes, ...] = ()) -> None:
    for key in keys:
        assert execute(session, b"SET", key, VALUE, *options) == OK


def keys_of(store: Store) -> list[bytes]:
    return [key for key, _, _ in store.items()]


# ---------------------------------------------------------------- counting


@pytest.mark.parametrize("policy", EVICTION.choices)
def test_what_is_used_is_the_sum_of_memory_usage_whatever_the_commands_do(
    session: ClientSession, store: Store, engine: EmbeddedEngine, clock: Clock, policy: str
) -> None:
    chance = random.Random(policy)
    names = [b"%d" % number for number in range(20)]
    requests = [
        lambda key: [b"SET", key, b"x" * chance.randrange(50)],
        lambda key: [b"SET", key, b"x", b"PX", b"%d" % chance.randint(1, 3000)],
        lambda key: [b"MSET", key, b"", chance.choice(names), b"y" * 9, chance.choice(names), b""],
        lambda key: [b"APPEND", key, b"x" * chance.randrange(5)],
        lambda key: [b"SETRANGE", key, b"%d" % chance.randrange(90), b"y" * chance.randrange(9)],
        lambda key: [b"PEXPIRE", key, b"%d" % chance.randint(-1, 3000)],
        lambda key: [b"PERSIST", key],
        lambda key: [b"RENAME", key, chance.choice(names)],
        lambda key: [b"COPY", key, chance.choice(names), b"REPLACE"],
        lambda key: [b"GETDEL", key],
        lambda key: [b"DEL", key, chance.choice(names)],
        lambda key: [b"GET", key],
    ]
    engine.limit_memory(10**9, policy)
    for number in range(2000):
        if number == 1000:
            execute(session, b"FLUSHALL")
            engine.limit_memory(10**9, "allkeys-lru" if policy == "volatile-lfu" else "volatile-lfu")
        execute(session, *chance.choice(requests)(chance.choice(names)))
        clock.forward(chance.randrange(20))
        if number % 100 == 0:
            store.check()
    store.begin_step()
    usages = [execute(session, b"MEMORY", b"USAGE", key) for key in keys_of(store)]
    assert engine.used_memory() == sum(each for each in usages if isinstance(each, int))
    engine.limit_memory(0, "noeviction")
    assert engine.used_memory() is None


def test_pipelined_requests_are_counted_as_single_ones(session: ClientSession, engine: EmbeddedEngine) -> None:
    engine.limit_memory(10**9, "allkeys-lru")
    requests = [[b"SET", b"%d" % (number % 7), b"x" * (number % 5)] for number in range(40)]
    feed(session, b"".join(map(encode_request, requests)))
    assert engine.used_memory() == 7 * (ENTRY_SIZE + eviction.SAMPLED_KEY_SIZE + 1) + sum(
        len({key: value for _, key, value in requests}[b"%d" % number]) for number in range(7)
    )


def test_pipelined_increments_are_counted_as_single_ones(session: ClientSession, engine: EmbeddedEngine) -> None:
    engine.limit_memory(10**9, "noeviction")
    send_lines(session, "SET a 8", "SET text x", "SET expiring 1 EX 100")
    keys = [b"a", b"a", b"text", b"new", b"a"]
    replies = ReplyDecoder().feed(feed(session, b"".join(encode_request([b"INCR", key]) for key in keys)))
    assert replies == [9, 10, NOT_AN_INTEGER, 1, 11]
    assert engine.used_memory() == 4 * ENTRY_SIZE + EXPIRY_SIZE + len(b"a11textxnew1expiring1")
    feed(session, encode_request([b"INCR", b"expiring"]) * 10)
    assert engine.used_memory() == 4 * ENTRY_SIZE + EXPIRY_SIZE + len(b"a11textxnew1expiring11")


def test_a_limit_counts_the_keys_that_exist_already(session: ClientSession, engine: EmbeddedEngine) -> None:
    send_lines(session, "SET ab 1234", "SET c 5 EX 100")
    engine.limit_memory(10**9, "noeviction")
    assert engine.used_memory() == 2 * ENTRY_SIZE + 6 + 2 + EXPIRY_SIZE


@pytest.mark.parametrize(
    ("policy", "is_observed"), [("noeviction", False), ("volatile-ttl", False), ("allkeys-lru", True)]
)
def test_without_a_limit_nothing_is_counted_unless_the_policy_tracks_the_use_of_keys(
    store: Store, policy: str, is_observed: bool
) -> None:
    store.databases.limit_memory(10**9, "allkeys-lru")
    store.databases.limit_memory(0, policy)
    store.begin_step()
    assert (store.memory is not None, store.needs_begin) == (is_observed, is_observed)


# ---------------------------------------------------------------- noeviction


@pytest.mark.parametrize(
    "line",
    [
        "SET k v",
        "SETNX k v",
        "MSET k v",
        "APPEND large x",
        "SETRANGE large 1 x",
        "INCR n",
        "COPY large k",
        "GETSET large x",
        "SETEX k 1 v",
    ],
)
def test_commands_that_may_use_more_memory_are_refused_at_the_limit(
    full: ClientSession, store: Store, line: str
) -> None:
    assert execute_line(full, line) == OUT_OF_MEMORY
    assert keys_of(store) == [b"large"]


@pytest.mark.parametrize(
    "line",
    [
        "STRLEN large",
        "EXISTS large",
        "EXPIRE large 100",
        "RENAME large other",
        "PING",
        "DBSIZE",
        "GETEX large",
        "DEL large",
    ],
)
def test_other_commands_are_executed_at_the_limit(full: ClientSession, line: str) -> None:
    assert not isinstance(execute_line(full, line), ErrorReply)


def test_the_error_has_the_text_and_the_kind_of_its_cause() -> None:
    assert OUT_OF_MEMORY.text == b"OOM command not allowed when used memory > 'maxmemory'."
    assert OUT_OF_MEMORY.kind is ErrorKind.OUT_OF_MEMORY


def test_after_a_deletion_writes_are_accepted(full: ClientSession) -> None:
    assert send_lines(full, "SET a 1", "DEL large", "SET a 1") == [f"(error) {OUT_OF_MEMORY.text.decode()}", "1", "OK"]


def test_a_command_may_exceed_the_limit_if_it_was_not_exceeded_before(
    session: ClientSession, engine: EmbeddedEngine
) -> None:
    engine.limit_memory(1, "noeviction")
    assert execute_line(session, "SET a 1") == OK
    assert execute_line(session, "SET b 1") == OUT_OF_MEMORY


@pytest.mark.parametrize("policy", ["noeviction", "volatile-ttl"])
def test_a_pipeline_is_refused_from_the_request_on_that_finds_the_limit_exceeded_and_nothing_to_evict(
    session: ClientSession, engine: EmbeddedEngine, policy: str
) -> None:
    engine.limit_memory(LIMIT, policy)
    requests = [encode_request([b"SET", b"%d" % number, VALUE]) for number in range(20)]
    replies = ReplyDecoder().feed(feed(session, b"".join(requests)))
    fitting = LIMIT // (ENTRY_SIZE + len(VALUE)) + 1
    assert replies == [OK] * fitting + [OUT_OF_MEMORY] * (20 - fitting)


@pytest.mark.parametrize("policy", ALLKEYS)
def test_a_pipeline_at_the_limit_evicts_what_it_adds(
    session: ClientSession, store: Store, engine: EmbeddedEngine, policy: str
) -> None:
    engine.limit_memory(LIMIT, policy)
    for number in range(20):
        requests = [encode_request([b"SET", b"%d" % (10 * number + each), VALUE]) for each in range(4)]
        assert feed(session, b"".join(requests)) == b"+OK\r\n" * 4
    assert store.memory is not None
    assert store.memory.limit.used <= LIMIT + 4 * (ENTRY_SIZE + eviction.SAMPLED_KEY_SIZE + 3 + len(VALUE))
    assert store.evicted_keys == 80 - len(store)
    assert b"193" in store


def test_at_the_limit_nothing_is_queued_and_exec_is_refused(full: ClientSession) -> None:
    assert [execute_line(full, line) for line in ("MULTI", "GET large", "PING", "EXEC")] == [
        OK,
        OUT_OF_MEMORY,
        OUT_OF_MEMORY,
        EXEC_ABORTED,
    ]


@pytest.mark.parametrize(("line", "aborted"), [("SET a 1", True), ("GET a", False)])
def test_exec_is_refused_as_a_whole_if_a_queued_command_may_use_more_memory(
    session: ClientSession, store: Store, engine: EmbeddedEngine, line: str, aborted: bool
) -> None:
    for each in ("SET large 1234567", "WATCH large", "MULTI", "DEL large", line):
        assert execute_line(session, each) in (OK, QUEUED)
    engine.limit_memory(1, "noeviction")
    reply = execute_line(session, "EXEC")
    assert reply == (exec_aborted_by(OUT_OF_MEMORY) if aborted else [1, None])
    assert (b"large" in store) is aborted
    assert session.client.watched_keys == 0


def test_the_commands_of_a_transaction_are_not_refused_after_its_beginning(
    session: ClientSession, engine: EmbeddedEngine
) -> None:
    engine.limit_memory(1, "noeviction")
    assert send_lines(session, "MULTI", "SET a 1", "SET b 1", "EXEC")[-1] == "1) OK\n2) OK"


# ---------------------------------------------------------------- eviction


@pytest.mark.parametrize("policy", ALLKEYS + VOLATILE)
def test_keys_are_evicted_until_the_limit_is_obeyed(
    session: ClientSession, store: Store, engine: EmbeddedEngine, policy: str
) -> None:
    engine.limit_memory(LIMIT, policy)
    fill(session, *(b"%d" % number for number in range(100)), options=(b"EX", b"100"))
    assert store.memory is not None
    largest = ENTRY_SIZE + EXPIRY_SIZE + eviction.SAMPLED_KEY_SIZE + 2 + len(VALUE)
    assert LIMIT - largest < store.memory.limit.used <= LIMIT + largest
    assert store.evicted_keys == 100 - len(store) > 80
    assert b"99" in store, "the last one was set after the eviction"


@pytest.mark.parametrize("policy", VOLATILE)
def test_a_volatile_policy_evicts_no_key_without_an_expiry(
    session: ClientSession, store: Store, engine: EmbeddedEngine, policy: str
) -> None:
    engine.limit_memory(LIMIT, policy)
    fill(session, *(b"stays%d" % number for number in range(5)))
    fill(session, b"persisted", options=(b"EX", b"100"))
    execute_line(session, "PERSIST persisted")
    fill(session, *(b"%d" % number for number in range(30)), options=(b"EX", b"100"))
    assert {b"stays0", b"stays4", b"persisted"} <= set(keys_of(store))
    while (reply := execute(session, b"SET", b"%d" % random.getrandbits(64), VALUE)) == OK:
        pass
    assert reply == OUT_OF_MEMORY
    assert store.expiring_keys == 0, "all others were evicted before"


@pytest.mark.usefixtures("look_at_all")
@pytest.mark.parametrize("pipelined", [False, True])
def test_lru_evicts_what_was_not_used_for_longest(
    session: ClientSession, store: Store, engine: EmbeddedEngine, clock: Clock, pipelined: bool
) -> None:
    engine.limit_memory(8 * 1250, "allkeys-lru")
    names = [b"%d" % number for number in range(8)]
    fill(session, *names)
    for key in names:
        clock.forward(1000)
        engine.evict_slice()  # which notes the time
        if key not in (b"3", b"5"):
            feed(session, encode_request([b"GET", key]) * (MIN_BATCH if pipelined else 1))
    fill(session, b"new 1", b"new 2", b"new 3")
    assert keys_of(store) == [each for each in names if each not in (b"3", b"5")] + [b"new 1", b"new 2", b"new 3"]


@pytest.mark.usefixtures("look_at_all")
def test_lfu_evicts_what_is_used_least(session: ClientSession, store: Store, engine: EmbeddedEngine) -> None:
    engine.limit_memory(8 * 1250, "allkeys-lfu")
    names = [b"%d" % number for number in range(8)]
    fill(session, *names)
    for key in names:
        if key != b"4":
            for _ in range(100):
                execute(session, b"GET", key)
    fill(session, b"new 1", b"new 2")
    assert keys_of(store) == [each for each in names if each != b"4"] + [b"new 1", b"new 2"]


def test_volatile_ttl_evicts_what_expires_first(session: ClientSession, store: Store, engine: EmbeddedEngine) -> None:
    engine.limit_memory(8 * 1350, "volatile-ttl")
    for seconds in (500, 100, 300, 200, 900, 800, 700, 600):
        fill(session, b"%d" % seconds, options=(b"EX", b"%d" % seconds))
    fill(session, b"a", b"b", b"c", b"d")
    assert set(keys_of(store)) == {b"500", b"900", b"800", b"700", b"600", b"a", b"b", b"c", b"d"}


def test_keys_that_are_used_once_are_evicted_before_those_that_are_used_again(
    session: ClientSession, engine: EmbeddedEngine, clock: Clock
) -> None:
    engine.limit_memory(100 * 1250, "allkeys-lru")
    often = [b"often %d" % number for number in range(50)]
    hits = 0
    for number in range(3000):
        clock.forward(10)
        fill(session, b"once %d" % number)
        if number % 75 == 0:  # between two uses of a key more keys are used than fit
            for key in often:
                if execute(session, b"GET", key) is None:
                    fill(session, key)
                else:
                    hits += 1
    assert hits > 40 * 50 / 2


def test_random_eviction_chooses_all_keys_alike(session: ClientSession, store: Store, engine: EmbeddedEngine) -> None:
    engine.limit_memory(200 * 1260, "allkeys-random")
    fill(session, *(b"%d" % number for number in range(400)))
    oldest = sum(key in store for key in (b"%d" % number for number in range(200)))
    assert 30 < oldest < 170, "some of the older ones were evicted, and some newer ones"


def test_an_eviction_is_a_removal_like_any_other(clock: Clock) -> None:
    recorder = Recorder()
    store = new_store(clock, [recorder])
    store.databases.limit_memory(1, "allkeys-random")
    store.set(b"a", b"1")
    store.set(b"b", b"1")
    assert store.memory is not None
    assert not store.memory.limit.tend(0, lambda: True)
    assert store.deletion_count == store.evicted_keys == 1
    assert [change[2] for change in recorder.changes if change[0] == "remove"] == [Removal.EVICTED]
    assert recorder.items() == store.items()


def test_an_eviction_makes_a_watch_dirty(session: ClientSession, other: ClientSession, engine: EmbeddedEngine) -> None:
    engine.limit_memory(1, "allkeys-random")
    assert send_lines(session, "SET a 1", "WATCH a", "MULTI", "PING") == ["OK", "OK", "OK", "QUEUED"]
    assert send_line(other, "SET b 1") == "OK"
    assert execute_line(session, "EXEC") in (None, NULL_ARRAY)


def test_scan_continues_while_keys_are_evicted(session: ClientSession, store: Store, engine: EmbeddedEngine) -> None:
    fill(session, *(b"%03d" % number for number in range(100)), options=(b"EX", b"100"))
    send_lines(session, *(f"SET stays{number} 1" for number in range(50)))
    engine.limit_memory(60_000, "volatile-lru")
    found: set[object] = set()
    cursor = b"0"
    while True:
        reply = execute(session, b"SCAN", cursor, b"COUNT", b"7")
        assert isinstance(reply, list)
        assert isinstance(reply[0], bytes)
        assert isinstance(reply[1], list)
        cursor = reply[0]
        found.update(reply[1])
        execute_line(session, "SET other 1")  # evicts one at least
        if cursor == b"0":
            break
    assert {b"stays%d" % number for number in range(50)} <= found
    assert store.evicted_keys > 10


# ---------------------------------------------------------------- bounded work


def test_a_command_evicts_until_it_is_told_to_stop_and_one_key_at_least(store: Store) -> None:
    store.databases.limit_memory(10**9, "allkeys-lru")
    for number in range(100):
        store.set(b"%d" % number, VALUE)
    store.databases.limit_memory(1, "allkeys-lru")
    assert store.memory is not None
    assert store.memory.limit.make_room(0, lambda: True)
    assert store.evicted_keys == 1


def test_after_the_limit_was_lowered_a_command_evicts_what_it_adds_and_the_rest_is_evicted_in_slices(
    session: ClientSession, store: Store, engine: EmbeddedEngine
) -> None:
    engine.limit_memory(10**9, "allkeys-lru")
    fill(session, *(b"%d" % number for number in range(1000)))
    engine.limit_memory(100 * 1250, "allkeys-lru")
    fill(session, *(b"new %d" % number for number in range(10)))
    assert 10 <= store.evicted_keys <= 20
    while not engine.evict_slice():
        pass
    assert store.memory is not None
    assert store.memory.limit.used <= 100 * 1250
    fill(session, b"a", b"b", b"c")
    assert store.memory.limit.used <= 101 * 1250


def test_a_slice_of_the_background_is_bounded(store: Store, clock: Clock) -> None:
    store.databases.limit_memory(10**9, "allkeys-random")
    for number in range(100):
        store.set(b"%d" % number, VALUE)
    store.databases.limit_memory(1, "allkeys-random")
    calls = count(1)
    assert store.memory is not None
    assert not store.memory.limit.tend(0, lambda: next(calls) == 7)
    assert store.evicted_keys == 7


def test_keys_that_existed_before_a_policy_was_chosen_are_added_in_slices(store: Store) -> None:
    for number in range(10 * eviction.FILL_SIZE):
        store.set(b"%d" % number, b"")
    store.databases.limit_memory(10**9, "allkeys-lru")
    assert store.memory is not None
    slices = 1
    while not store.memory.limit.tend(0, lambda: True):
        slices += 1
    assert slices > 9
    store.memory.policy.check()


def test_keys_can_be_evicted_before_all_of_them_were_added(store: Store) -> None:
    for number in range(1000):
        store.set(b"%d" % number, b"")
    store.databases.limit_memory(1, "allkeys-lru")
    assert store.memory is not None
    while store.memory.limit.make_room(0, lambda: True):
        pass
    assert store.evicted_keys == 1000, "none is left"


@pytest.mark.parametrize("left", [1, 100, 9_000])
def test_an_eviction_takes_a_bounded_time_although_most_tracked_keys_were_removed(
    monkeypatch: pytest.MonkeyPatch, store: Store, clock: Clock, left: int
) -> None:
    store.databases.limit_memory(10**9, "allkeys-lru")
    for number in range(10_000):
        store.set(b"%d" % number, b"")
    clock.forward(1000)
    store.begin_step()
    store.databases.limit_memory(1, "allkeys-lru")
    assert store.memory is not None
    store.memory.use([b"%d" % number for number in range(left)])  # so the removed keys have lower marks
    for number in range(left, 10_000):
        store.delete(b"%d" % number)
    calls = count()
    monkeypatch.setattr(eviction, "random", lambda: next(calls) and random.random())
    assert store.memory.limit.make_room(0, lambda: True)
    assert store.evicted_keys == 1
    assert next(calls) <= eviction.MAX_ATTEMPTS * SAMPLES
    store.memory.policy.check()


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-lfu"])
def test_keys_that_come_and_go_do_not_make_the_policy_grow(store: Store, policy: str) -> None:
    store.databases.limit_memory(10**9, policy)
    assert store.memory is not None
    policy_ = store.memory.policy
    assert isinstance(policy_, SampledKeys)
    for number in range(20 * MIN_STALE_KEYS):
        key = b"%d" % number
        store.set(key, b"", store.now() + 10**6)
        if number % 2:
            store.delete(key)
        else:
            store.persist(key)
            store.delete(key)
        if number % 100 == 0:
            while not store.memory.limit.tend(0, lambda: False):
                pass
    assert len(policy_) <= MIN_STALE_KEYS + 200
    policy_.check()


def test_the_same_key_again_and_again_is_tracked_once(store: Store) -> None:
    store.databases.limit_memory(10**9, "volatile-lru")
    assert store.memory is not None
    for _ in range(100):
        store.set(b"a", b"", store.now() + 1000)
        store.persist(b"a")
        store.delete(b"a")
    assert isinstance(store.memory.policy, SampledKeys)
    assert len(store.memory.policy) == 1


def test_flushall_leaves_nothing_in_the_policy(session: ClientSession, store: Store, engine: EmbeddedEngine) -> None:
    engine.limit_memory(10**9, "allkeys-lru")
    fill(session, b"a", b"b")
    execute_line(session, "FLUSHALL")
    assert store.memory is not None
    assert isinstance(store.memory.policy, LeastRecentlyUsed)
    assert len(store.memory.policy) == engine.used_memory() == 0


def test_the_active_expire_thread_evicts(session: ClientSession, store: Store, engine: EmbeddedEngine) -> None:
    engine.limit_memory(10**9, "allkeys-random")
    fill(session, *(b"%d" % number for number in range(50)))
    engine.limit_memory(1, "allkeys-random")
    while not engine.evict_slice():
        pass
    assert engine.used_memory() == 0
    assert engine.key_counts().evicted == 50


# ---------------------------------------------------------------- idle time and frequency


@pytest.fixture
def lru(session: ClientSession, engine: EmbeddedEngine) -> ClientSession:
    """A session on a store that tracks the use of its keys."""
    engine.limit_memory(0, "allkeys-lru")
    assert execute_line(session, "SET k 1") == OK
    return session


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("GET k", True),
        ("TOUCH k", True),
        ("STRLEN k", True),
        ("MGET none k", True),
        ("APPEND k x", True),
        ("SET k 2", True),
        ("EXPIRE k 100", True),
        ("GETRANGE k 0 1", True),
        ("LCS k none", True),
        ("EXISTS k", False),
        ("TYPE k", False),
        ("TTL k", False),
        ("PTTL k", False),
        ("PEXPIRETIME k", False),
        ("OBJECT ENCODING k", False),
        ("OBJECT IDLETIME k", False),
        ("MEMORY USAGE k", False),
        ("KEYS *", False),
        ("SCAN 0", False),
        ("COMPACT", False),
        ("RANDOMKEY", False),
    ],
)
def test_idle_time_is_the_time_since_the_last_use(
    lru: ClientSession, engine: EmbeddedEngine, clock: Clock, line: str, counts: bool
) -> None:
    clock.forward(5500)
    engine.evict_slice()
    assert execute_line(lru, "OBJECT IDLETIME k") == 5
    execute_line(lru, line)
    assert execute_line(lru, "OBJECT IDLETIME k") == (0 if counts else 5)


def test_pipelined_requests_and_transactions_count_as_uses(
    lru: ClientSession, store: Store, engine: EmbeddedEngine, clock: Clock
) -> None:
    execute(lru, b"SET", b"empty", b"")
    assert store.memory is not None
    for requests in (
        [[b"GET", b"k"]] * 5,
        [[b"GET", b"k"], [b"GET", b"missing"], [b"GET", b"empty"]] * 5,
        [[b"SET", b"k", b"1"]] * 5,
        [[b"INCR", b"k"]] * 5,
        [[b"SET", b"new", b"1"], *[[b"SET", b"k", b"1"]] * 5],
        [[b"MULTI"], [b"GET", b"k"], [b"EXEC"]],
    ):
        clock.forward(5500)
        engine.evict_slice()
        assert execute_line(lru, "OBJECT IDLETIME k") == 5
        feed(lru, b"".join(map(encode_request, requests)))
        assert execute_line(lru, "OBJECT IDLETIME k") == 0
        store.memory.policy.check()
    assert isinstance(store.memory.policy, LeastRecentlyUsed)
    assert len(store.memory.policy) == len(store) == 3, "a key that is missing is not tracked"


def test_reads_of_keys_without_expiry_are_not_tracked_by_a_volatile_policy(
    session: ClientSession, store: Store, engine: EmbeddedEngine
) -> None:
    engine.limit_memory(0, "volatile-lru")
    execute(session, b"SET", b"k", b"1")
    feed(session, encode_request([b"GET", b"k"]) * MIN_BATCH)
    assert store.memory is not None
    assert isinstance(store.memory.policy, LeastRecentlyUsed)
    assert len(store.memory.policy) == 0


def test_a_change_counts_as_a_use_before_the_policy_knows_the_key(store: Store, engine: EmbeddedEngine) -> None:
    keys = [b"%d" % number for number in range(10)]
    store.set_many(keys, keys)
    engine.limit_memory(10**9, "allkeys-lru")
    store.set_many(keys[:5], keys[:5])
    assert store.memory is not None
    store.memory.policy.check()
    while not engine.evict_slice():
        pass
    assert isinstance(store.memory.policy, LeastRecentlyUsed)
    assert len(store.memory.policy) == 10


@pytest.mark.parametrize("command", [[b"GET", b"k"], [b"SET", b"k", b"1"], [b"INCR", b"k"]])
@pytest.mark.parametrize("count", [1, 10])
def test_each_request_counts_as_one_use_pipelined_or_not(
    monkeypatch: pytest.MonkeyPatch, session: ClientSession, engine: EmbeddedEngine, command: list[bytes], count: int
) -> None:
    monkeypatch.setattr(eviction, "random", lambda: 0.0)
    engine.limit_memory(0, "allkeys-lfu")
    execute_line(session, "SET k 1")
    feed(session, encode_request(command) * count)
    assert execute_line(session, "OBJECT FREQ k") == eviction.FIRST_COUNT + count


def test_with_client_no_touch_only_touch_counts_as_a_use(
    lru: ClientSession, engine: EmbeddedEngine, clock: Clock
) -> None:
    execute_line(lru, "CLIENT NO-TOUCH ON")
    clock.forward(5000)
    engine.evict_slice()
    feed(lru, encode_request([b"GET", b"k"]) * MIN_BATCH + b"MULTI\nGET k\nEXEC\nGET k\n")
    assert execute_line(lru, "OBJECT IDLETIME k") == 5
    assert execute_line(lru, "TOUCH k") == 1
    assert execute_line(lru, "OBJECT IDLETIME k") == 0
    clock.forward(5000)
    engine.evict_slice()
    execute_line(lru, "RESET")
    execute_line(lru, "GET k")
    assert execute_line(lru, "OBJECT IDLETIME k") == 0


@pytest.mark.parametrize("count", [1, 5])
def test_with_client_no_touch_a_new_value_counts_as_a_use_pipelined_or_not(
    lru: ClientSession, engine: EmbeddedEngine, clock: Clock, count: int
) -> None:
    execute_line(lru, "CLIENT NO-TOUCH ON")
    clock.forward(5000)
    engine.evict_slice()
    feed(lru, encode_request([b"SET", b"k", b"1"]) * count)
    assert execute_line(lru, "OBJECT IDLETIME k") == 0


def test_frequency_grows_with_uses_and_falls_with_time(
    session: ClientSession, engine: EmbeddedEngine, clock: Clock
) -> None:
    engine.limit_memory(0, "volatile-lfu")
    assert execute_line(session, "SET k 1 EX 100000") == OK
    assert execute_line(session, "OBJECT FREQ k") == 5
    for _ in range(2000):
        execute_line(session, "GET k")
    grown = execute_line(session, "OBJECT FREQ k")
    assert isinstance(grown, int)
    assert 10 < grown < 60
    clock.forward(3 * MINUTE)
    engine.evict_slice()
    assert execute_line(session, "OBJECT FREQ k") == grown - 3
    clock.forward(500 * MINUTE)
    engine.evict_slice()
    assert execute_line(session, "OBJECT FREQ k") == 0
    execute_line(session, "GET k")
    assert execute_line(session, "OBJECT FREQ k") == 1


def test_a_frequency_does_not_exceed_its_maximum(monkeypatch: pytest.MonkeyPatch, store: Store, clock: Clock) -> None:
    monkeypatch.setattr(eviction, "random", lambda: 0.0)
    store.databases.limit_memory(0, "allkeys-lfu")
    store.set(b"k", b"")
    assert store.memory is not None
    store.memory.use([b"k", b"none"] * 1000)
    assert isinstance(store.memory.policy, eviction.LeastFrequentlyUsed)
    assert store.memory.policy.frequency(b"k") == 255
    clock.forward(-10 * MINUTE)
    store.begin_step()
    store.memory.limit.tend(0, lambda: False)
    store.memory.use([b"k"])
    assert store.memory.policy.frequency(b"k") == 255


@pytest.mark.parametrize("ttl", [0, 100_000])
@pytest.mark.parametrize(
    ("policy", "option", "listing", "figure"),
    [
        ("allkeys-lru", "IDLETIME 1000", "IDLETIME", 1000),
        ("allkeys-lru", "FREQ 200", "IDLETIME", 0),
        ("allkeys-lfu", "FREQ 200", "FREQ", 200),
        ("allkeys-lfu", "FREQ 0", "FREQ", 0),
        ("noeviction", "IDLETIME 1000", "IDLETIME", IDLE_TIME_NOT_TRACKED),
    ],
)
def test_restore_sets_what_the_policy_tracks(
    session: ClientSession, engine: EmbeddedEngine, ttl: int, policy: str, option: str, listing: str, figure: object
) -> None:
    engine.limit_memory(0, policy)
    payload = dump(b"value")
    for more in ([], [b"REPLACE"]):
        args = [b"RESTORE", b"k", b"%d" % ttl, payload, *option.encode().split(), *more]
        assert execute(session, *args) == OK
        assert execute_line(session, f"OBJECT {listing} k") == figure


def test_an_idle_time_of_restore_begins_no_earlier_than_the_epoch(lru: ClientSession, clock: Clock) -> None:
    assert execute(lru, b"RESTORE", b"old", b"0", dump(b"v"), b"IDLETIME", b"%d" % (2**63 - 1)) == OK
    assert execute_line(lru, "OBJECT IDLETIME old") == clock.now // 1000


@pytest.mark.parametrize(
    ("policy", "idle_time", "frequency"),
    [
        ("noeviction", IDLE_TIME_NOT_TRACKED, FREQUENCY_NOT_TRACKED),
        ("allkeys-random", IDLE_TIME_NOT_TRACKED, FREQUENCY_NOT_TRACKED),
        ("volatile-ttl", IDLE_TIME_NOT_TRACKED, FREQUENCY_NOT_TRACKED),
        ("allkeys-lru", 0, FREQUENCY_NOT_TRACKED),
        ("volatile-lru", KEY_NOT_TRACKED, FREQUENCY_NOT_TRACKED),
        ("allkeys-lfu", IDLE_TIME_NOT_TRACKED_BY_LFU, 5),
        ("volatile-lfu", IDLE_TIME_NOT_TRACKED_BY_LFU, KEY_NOT_TRACKED),
    ],
)
def test_idle_time_and_frequency_of_a_key_without_an_expiry(
    session: ClientSession, engine: EmbeddedEngine, policy: str, idle_time: object, frequency: object
) -> None:
    engine.limit_memory(LIMIT, policy)
    execute_line(session, "SET k 1")
    assert execute_line(session, "OBJECT IDLETIME k") == idle_time
    assert execute_line(session, "OBJECT FREQ k") == frequency
    assert execute_line(session, "OBJECT IDLETIME none") is execute_line(session, "OBJECT FREQ none") is None


# ---------------------------------------------------------------- CONFIG and INFO


def test_config_set_changes_the_limit_and_the_policy(session: ClientSession, engine: EmbeddedEngine) -> None:
    assert send_line(session, "CONFIG SET maxmemory 1b maxmemory-policy AllKeys-Random") == "OK"
    assert send_lines(session, "SET a 1", "SET b 1", "DBSIZE") == ["OK", "OK", "1"]
    assert send_line(session, "CONFIG SET maxmemory-policy noeviction") == "OK"
    assert execute_line(session, "SET c 1") == OUT_OF_MEMORY
    assert send_lines(session, "CONFIG SET maxmemory 0", "SET c 1") == ["OK", "OK"]


def test_info_has_the_limit_and_what_is_used_of_it(session: ClientSession, engine: EmbeddedEngine) -> None:
    send_lines(session, "CONFIG SET maxmemory 1mb", "CONFIG SET maxmemory-policy allkeys-lru", "SET a 1")
    text = send_line(session, "INFO memory stats")
    size = ENTRY_SIZE + eviction.SAMPLED_KEY_SIZE + 2
    for line in (
        f"used_memory:{size}",
        f"used_memory_human:{size}B",
        "maxmemory:1048576",
        "maxmemory_human:1.00M",
        "maxmemory_policy:allkeys-lru",
        "evicted_keys:0",
    ):
        assert line in text.replace("\r", "").split("\n")
