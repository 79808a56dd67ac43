"""What commands do under the keyspace lock is bounded, and so is what hostile arguments cost. Calls are counted."""

from __future__ import annotations

import gc
import random
from collections.abc import Iterator
from typing import Any

import pytest

from common.errors import LCS_TOO_LARGE, NOT_AN_INTEGER
from common.replies import OK, Lines
from common.resp_client import encode_request
from server.args.glob import MAX_COMPILED_LENGTH, matcher, translate
from server.engines.base import CallContext
from server.engines.embedded import EmbeddedEngine
from server.keyspace.random_keys import MAX_WALK, POOL_SIZE, RandomKeys
from server.keyspace.store import MAX_EXPIRED_PER_STEP, Store
from server.registry import NO_KEYS, CommandGroup, CommandTable, Stages
from tests.harness.clock import Clock
from tests.harness.locks import WatchedLock, counted_work
from tests.harness.memory import traced_memory
from tests.harness.sessions import ClientSession, answers, execute, execute_line, new_session, send_lines

MANY = 10_000
A_FEW = 200
"""More calls than a command on a few keys makes under the lock, and far fewer than one per key of `MANY`."""


def fill(store: Store, count: int = MANY, expires_at: int | None = None, prefix: bytes = b"key") -> list[bytes]:
    keys = [b"%b:%d" % (prefix, number) for number in range(count)]
    for key in keys:
        store.set(key, b"v", expires_at)
    return keys


# ---------------------------------------------------------------- under the lock


@pytest.mark.uncompiled
@pytest.mark.parametrize("line", ["KEYS *", "KEYS [jk]ey:?", "SCAN 0 MATCH *9", "COMPACT", "FLUSHALL", "DBSIZE"])
@pytest.mark.parametrize("in_transaction", [False, True], ids=["alone", "in a transaction"])
def test_a_command_on_all_keys_makes_no_call_per_key_under_the_lock(
    session: ClientSession, store: Store, lock: WatchedLock, clock: Clock, line: str, in_transaction: bool
) -> None:
    fill(store, expires_at=clock.now + 60_000)
    if in_transaction:
        send_lines(session, "MULTI", line)
    with counted_work(lock) as work:
        execute_line(session, "EXEC" if in_transaction else line)
    assert 0 < work.calls_under_lock < A_FEW


@pytest.mark.uncompiled
@pytest.mark.parametrize("line", ["KEYS %", "SCAN 0 MATCH %"])
def test_a_pattern_is_compiled_before_the_lock_is_taken(session: ClientSession, lock: WatchedLock, line: str) -> None:
    args = line.encode().replace(b"%", b"[!-~]?*" * 2000).split()
    with counted_work(lock) as work:
        execute(session, *args)
    assert 0 < work.calls_under_lock < A_FEW < work.calls


@pytest.mark.uncompiled
@pytest.mark.parametrize("options", ["", "LEN", "IDX"])
def test_lcs_only_looks_its_values_up_under_the_lock(
    session: ClientSession, store: Store, lock: WatchedLock, options: str
) -> None:
    store.set(b"a", b"abc" * 200)
    store.set(b"b", b"cba" * 200)
    with counted_work(lock) as work:
        execute_line(session, f"LCS a b {options}")
    assert 0 < work.calls_under_lock < A_FEW < work.calls


class TracedValue(bytes):
    """A value that reports when it is freed."""

    lock: WatchedLock
    freed_at_depth: list[int]

    def __del__(self) -> None:
        self.freed_at_depth.append(self.lock.depth)


@pytest.mark.parametrize("in_transaction", [False, True], ids=["alone", "in a transaction"])
@pytest.mark.parametrize("name", ["FLUSHALL", "FLUSHDB"])
def test_flushing_frees_the_values_after_the_lock_is_released(
    session: ClientSession, store: Store, lock: WatchedLock, clock: Clock, name: str, in_transaction: bool
) -> None:
    TracedValue.lock = lock
    TracedValue.freed_at_depth = []
    for number in range(MANY):
        store.set(b"%d" % number, TracedValue(b"v"), clock.now + 60_000 if number % 2 else None)
    execute_line(session, "SCAN 0")
    if in_transaction:
        send_lines(session, "MULTI", name)
    execute_line(session, "EXEC" if in_transaction else name)
    assert TracedValue.freed_at_depth == [0] * MANY
    assert len(store) == 0
    store.check()


def test_flushing_frees_key_by_key_so_that_other_threads_run_meanwhile(session: ClientSession, store: Store) -> None:
    fill(store)
    with counted_work() as work:
        execute_line(session, "FLUSHALL")
    assert work.calls > MANY


def test_compact_copies_no_tuple_per_key_under_the_lock(engine: EmbeddedEngine, store: Store) -> None:
    fill(store)
    command = new_session(engine).context.commands.find(b"COMPACT")
    assert command is not None
    with traced_memory() as memory:
        reply = engine.database(0).execute(command, [b"COMPACT"], CallContext())
    assert memory.in_use < MANY * 56, "less than an empty tuple per key"
    assert isinstance(reply, Lines)
    assert len(list(reply.lines)) == len(list(reply.lines)) == MANY


@pytest.mark.uncompiled
@pytest.mark.parametrize("line", ["GETRANGE big 0 -2", "SUBSTR big 1 -1", "APPEND big x", "SETRANGE big 0 x"])
def test_pipelined_commands_that_copy_a_value_release_the_lock_between_them(
    session: ClientSession, store: Store, lock: WatchedLock, line: str
) -> None:
    store.set(b"big", b"v" * MEGABYTE)
    requests = encode_request(line.encode().split()) * 100
    with traced_memory() as memory:
        for _ in answers(session, requests):
            pass
    assert lock.taken == 100
    assert memory.peak < 5 * MEGABYTE


# ---------------------------------------------------------------- expired keys


@pytest.fixture
def expired(session: ClientSession, store: Store, clock: Clock) -> Iterator[list[bytes]]:
    """Make many keys that expire in the same second and in others, and some that stay. Yield the latter."""
    fill(store, MANY, clock.now + 10, b"soon")
    fill(store, MANY, clock.now + 1500, b"later")
    for number in range(MAX_EXPIRED_PER_STEP):
        store.set(b"spread:%d" % number, b"v", clock.now + 2000 + 10 * number)
    fixed = fill(store, 3, prefix=b"fixed")
    clock.forward(30_000)
    yield fixed
    store.check()


def test_dbsize_removes_a_bounded_number_of_expired_keys(
    session: ClientSession, lock: WatchedLock, store: Store, expired: list[bytes]
) -> None:
    with counted_work(lock) as work:
        assert execute_line(session, "DBSIZE") == len(expired)
    assert work.calls_under_lock < 20 * MAX_EXPIRED_PER_STEP
    assert store.expired_keys == MAX_EXPIRED_PER_STEP


def test_commands_on_all_keys_ignore_expired_keys_that_are_not_removed_yet(
    session: ClientSession, store: Store, expired: list[bytes]
) -> None:
    assert execute_line(session, "KEYS *") == expired
    assert execute_line(session, "COMPACT") == b"\n".join(b"SET %b v" % key for key in expired)
    assert execute_line(session, "DBSIZE") == 3
    assert store.expired_keys < 2 * MANY
    assert execute_line(session, "SCAN 0") == [b"0", expired]
    assert execute_line(session, "RANDOMKEY") in expired


def test_keys_that_expire_in_the_present_second_are_ignored_from_their_millisecond_on(
    session: ClientSession, store: Store, clock: Clock
) -> None:
    clock.now -= clock.now % 1000
    fill(store, 2 * MAX_EXPIRED_PER_STEP, clock.now + 500, b"first")
    second = fill(store, 10, clock.now + 501, b"second")
    clock.forward(500)
    assert execute_line(session, "KEYS *") == second
    assert store.expired_keys == MAX_EXPIRED_PER_STEP
    assert execute_line(session, "KEYS *") == second
    clock.forward(1)
    assert execute_line(session, "RANDOMKEY") is None
    assert execute_line(session, "DBSIZE") == 0


def test_the_active_expire_cycle_removes_what_a_command_left(
    session: ClientSession, engine: EmbeddedEngine, store: Store, expired: list[bytes]
) -> None:
    execute_line(session, "DBSIZE")
    while not engine.expire_slice():
        pass
    assert store.expired_keys == 2 * MANY + MAX_EXPIRED_PER_STEP
    assert [key for key, _, _ in store.items()] == expired


# ---------------------------------------------------------------- RANDOMKEY


class CountingKeys(dict[bytes, None]):
    """Keys that count how often they were iterated over."""

    iterations = 0

    def __iter__(self) -> Iterator[bytes]:
        self.iterations += 1
        return super().__iter__()


def test_random_keys_of_a_large_keyspace_share_one_iteration() -> None:
    keys = CountingKeys.fromkeys(b"%d" % number for number in range(MAX_WALK + 1))
    random_keys = RandomKeys()
    picked = [random_keys.pick(keys) for _ in range(2 * POOL_SIZE)]
    assert keys.iterations == 2
    assert set(picked) <= keys.keys()
    assert len(set(picked)) > POOL_SIZE
    assert picked != sorted(picked, key=list(keys).index), "they are not in the order of creation"


def test_a_random_key_exists() -> None:
    keys = CountingKeys.fromkeys(b"%d" % number for number in range(2 * MAX_WALK))
    random_keys = RandomKeys()
    dice = random.Random(1)
    for _ in range(POOL_SIZE):
        assert random_keys.pick(keys) in keys
        for key in dice.sample(range(2 * MAX_WALK), 3):
            keys.pop(b"%d" % key, None)
    assert keys.iterations < 5


def test_every_key_of_a_small_keyspace_may_be_the_random_one_at_once(session: ClientSession, store: Store) -> None:
    keys = fill(store, 3)
    assert {execute_line(session, "RANDOMKEY") for _ in range(200)} == set(keys)
    store.delete(keys[0])
    store.set(b"new", b"v")
    assert {execute_line(session, "RANDOMKEY") for _ in range(200)} == {*keys[1:], b"new"}


def test_flushing_removes_the_random_keys_too(session: ClientSession, store: Store) -> None:
    fill(store, MAX_WALK + 1)
    assert execute_line(session, "RANDOMKEY") is not None
    execute_line(session, "FLUSHALL")
    assert execute_line(session, "RANDOMKEY") is None
    fill(store, MAX_WALK + 1, prefix=b"new")
    assert {bytes(str(execute_line(session, "RANDOMKEY")), "ascii")[2:5] for _ in range(20)} == {b"new"}


def test_flushing_frees_the_random_keys_that_were_chosen(session: ClientSession, store: Store) -> None:
    execute_line(session, "RANDOMKEY")
    with traced_memory() as memory:
        fill(store, MAX_WALK + 1, prefix=b"x" * 1000)
        execute_line(session, "RANDOMKEY")
        execute_line(session, "FLUSHALL")
    assert memory.in_use < POOL_SIZE * 100, "each key takes 1,000 bytes"


# ---------------------------------------------------------------- patterns

HOSTILE_PATTERNS = [
    b"[!-~]",
    b"[^!-~]",
    b"[\\[-\\]]",
    b"?",
    b"*?",
    b"*[a-z]",
    b"*a",
    b"a",
    b"\\",
    b"[a",
    b"[",
    b"[ace]",
    b"\0",
]


@pytest.mark.parametrize("part", HOSTILE_PATTERNS, ids=repr)
def test_a_pattern_becomes_a_regular_expression_of_linear_size(part: bytes) -> None:
    pattern = part * (MAX_COMPILED_LENGTH // len(part))
    assert len(translate(pattern)) <= 8 * len(pattern)


@pytest.mark.parametrize("part", HOSTILE_PATTERNS, ids=repr)
def test_compiling_a_pattern_takes_linear_work(part: bytes) -> None:
    def work_for(size: int) -> int:
        with counted_work() as work:
            matcher(part * (size // len(part)))
        return work.calls

    short, long = work_for(MAX_COMPILED_LENGTH // 8), work_for(MAX_COMPILED_LENGTH)
    assert long < 10 * short + 100
    assert long < 60 * MAX_COMPILED_LENGTH


def test_compiled_patterns_of_hostile_size_are_not_stored() -> None:
    matcher(b"[!-~]" * 1000)
    with traced_memory() as memory:
        for number in range(10):
            matcher(b"[!-~]" * 1000 + b"%d" % number)
        gc.collect()
    assert memory.in_use < 50_000, "each of them takes 35 kB"


# ---------------------------------------------------------------- LCS

MEGABYTE = 1_000_000


@pytest.mark.parametrize("options", ["", "LEN", "IDX"])
@pytest.mark.parametrize("order", ["long short", "short long"])
@pytest.mark.parametrize("short", [b"", b"b", b"abab", b"cc"])
def test_lcs_of_a_long_and_a_tiny_value_takes_no_step_per_byte_of_the_long_one(
    session: ClientSession, store: Store, order: str, short: bytes, options: str
) -> None:
    store.set(b"long", b"a" * MEGABYTE + b"b")
    store.set(b"short", short)
    with traced_memory() as memory, counted_work() as work:
        execute_line(session, f"LCS {order} {options}")
    assert work.calls < 1000
    assert memory.peak < 3 * MEGABYTE


def test_lcs_finds_what_is_after_the_first_piece_of_a_long_value(session: ClientSession, store: Store) -> None:
    store.set(b"long", b"x" * 70_000 + b"y" + b"x" * 70_000 + b"z")
    store.set(b"short", b"zyz")
    execute_line(session, "HELLO 3")
    assert execute_line(session, "LCS long short IDX") == {
        b"matches": [[[140_001, 140_001], [2, 2]], [[70_000, 70_000], [1, 1]]],
        b"len": 2,
    }
    assert execute_line(session, "LCS short long") == b"yz"


def test_lcs_of_two_values_of_11_kb_works_as_in_redis(session: ClientSession, store: Store) -> None:
    store.set(b"a", b"a" * 11_000)
    store.set(b"b", b"ab" * 5_500)
    assert execute_line(session, "LCS a b LEN") == 5_500
    assert execute_line(session, "LCS b a") == b"a" * 5_500


@pytest.mark.parametrize(
    ("sizes", "fits"),
    [((11_584, 11_584), True), ((11_585, 11_584), False), ((2**26 - 1, 1), True), ((2**26, 1), False)],
)
def test_the_limit_of_lcs_is_that_of_redis(
    session: ClientSession, store: Store, sizes: tuple[int, int], fits: bool
) -> None:
    store.set(b"a", b"a" * sizes[0])
    store.set(b"b", b"b" * sizes[1])
    assert execute_line(session, "LCS a b LEN") == (0 if fits else LCS_TOO_LARGE)


# ---------------------------------------------------------------- commands in stages

stages_run: list[tuple[str, int]] = []
group = CommandGroup("test")


@group.writes_in_stages("STAGED number [fails-in]", "Set a key.", keys=NO_KEYS)
def staged(number: int, fails_in: bytes = b"") -> Stages[Store, int]:
    def step(store: Store) -> int:
        note("step")
        store.set(b"n", b"%d" % number)
        return len(store)

    def note(stage: str) -> None:
        stages_run.append((stage, the_lock.depth))
        if stage.encode() == fails_in:
            raise ZeroDivisionError

    note("first")
    keys = yield step
    note("last")
    return keys + number


@group.writes("SET key value", "Set a key.")
def set_(store: Store, key: bytes, value: bytes) -> Any:
    store.set(key, value)
    return OK


the_lock = WatchedLock()


@pytest.fixture
def staged_session(store: Store, lock: WatchedLock, engine: EmbeddedEngine) -> ClientSession:
    global the_lock  # noqa: PLW0603 - the command is registered once
    the_lock = lock
    stages_run.clear()
    from server.commands import transactions

    return new_session(engine, CommandTable([group, transactions.group]))


@pytest.mark.uncompiled
def test_only_the_step_of_a_staged_command_runs_under_the_lock(staged_session: ClientSession, store: Store) -> None:
    assert execute_line(staged_session, "STAGED 5") == 6
    assert stages_run == [("first", 0), ("step", 1), ("last", 0)]
    assert store.get(b"n") == b"5"


@pytest.mark.uncompiled
def test_a_transaction_runs_all_first_stages_before_and_all_last_stages_after_its_step(
    staged_session: ClientSession, lock: WatchedLock
) -> None:
    send_lines(staged_session, "MULTI", "STAGED 5", "SET k v", "STAGED 6")
    assert execute_line(staged_session, "EXEC") == [6, OK, 8]
    assert stages_run == [("first", 0)] * 2 + [("step", 1)] * 2 + [("last", 0)] * 2
    assert lock.taken == 1


@pytest.mark.parametrize(
    ("fails_in", "run"), [("first", ["first"]), ("step", ["first", "step"]), ("last", ["first", "step", "last"])]
)
@pytest.mark.parametrize("in_transaction", [False, True])
def test_the_stage_that_fails_is_the_last_one(
    staged_session: ClientSession, lock: WatchedLock, fails_in: str, run: list[str], in_transaction: bool
) -> None:
    if in_transaction:
        send_lines(staged_session, "MULTI", f"STAGED 5 {fails_in}", "SET k v")
        replies = execute_line(staged_session, "EXEC")
        assert isinstance(replies, list)
        error, reply = replies
        assert reply == OK
    else:
        error = execute_line(staged_session, f"STAGED 5 {fails_in}")
    assert b"internal error" in error.text  # type: ignore[union-attr]
    assert [stage for stage, _ in stages_run] == run
    assert lock.depth == 0


def test_an_argument_of_a_staged_command_is_converted_before_the_lock_is_taken(
    staged_session: ClientSession, lock: WatchedLock
) -> None:
    assert execute_line(staged_session, "STAGED five") == NOT_AN_INTEGER
    assert (stages_run, lock.taken) == ([], 0)


@pytest.mark.parametrize("part", [b"?", b"a", b"[ab]", b"*a", b"\\a"], ids=repr)
def test_a_long_pattern_is_read_only_as_far_as_the_longest_key_needs_it(part: bytes) -> None:
    matches = matcher(part * MAX_COMPILED_LENGTH * 10)
    with counted_work() as work:
        assert [matches(b"a" * size) for size in (1, 50, 3)] == [False] * 3
    assert work.calls < 2000


@pytest.mark.uncompiled
def test_the_wait_for_the_lock_does_not_count_as_time_of_a_staged_command(
    engine: EmbeddedEngine, lock: WatchedLock, staged_session: ClientSession
) -> None:
    started: list[int] = []
    call = CallContext()
    lock.on_acquire = lambda: started.append(call.started)
    command = staged_session.context.commands.find(b"STAGED")
    assert command is not None
    engine.database(0).execute_in_stages(command, [b"STAGED", b"5"], call)
    assert 0 < started[0] < call.started


def test_an_engine_may_run_all_stages_at_once(store: Store) -> None:
    (command, _) = group.commands
    assert command.run(store, b"5") == 6
    assert (command.min_args, command.max_args, command.arity) == (2, 3, -2)


def test_a_subcommand_cannot_run_in_stages() -> None:
    with pytest.raises(ValueError, match="subcommand"):
        CommandGroup("test").reads_in_stages("TEST SUB", "Test.")
