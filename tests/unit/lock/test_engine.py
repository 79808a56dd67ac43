"""The lock is held during every command and each transaction as a whole, and never longer."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import CommandError
from common.replies import OK, Lines, Reply
from server.commands import COMMANDS
from server.engines.base import WOULD_BLOCK, CallContext, QueuedCommand
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.keyspace.watches import Watch
from server.registry import MAX_QUICK_ARGS
from tests.harness.clock import Clock
from tests.harness.locks import WatchedLock, engine_on
from tests.harness.sessions import ClientSession, execute_line, feed, new_session, send_line, send_lines
from tests.harness.stores import new_engine, pairs


class GuardedStore(Store):
    """A store that refuses every access to any of its attributes without the lock."""

    def __init__(self, lock: WatchedLock, clock: Clock) -> None:
        object.__setattr__(self, "lock", lock)
        object.__setattr__(self, "accesses", 0)
        with lock:
            super().__init__(clock)

    def __getattribute__(self, name: str) -> object:
        if not name.startswith("__") and name not in ("lock", "accesses"):
            object.__setattr__(self, "accesses", self.accesses + 1)
            if not self.lock.depth:
                raise AssertionError(f"{name} was read without the lock")
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: object) -> None:
        if not self.lock.depth:
            raise AssertionError(f"{name} was set without the lock")
        super().__setattr__(name, value)


def execute(engine: EmbeddedEngine, line: str) -> Reply:
    return engine.database(0).execute(*as_call(line), CallContext())


def as_call(line: str) -> QueuedCommand:
    args = line.encode().split()
    command = COMMANDS.find(args[0])
    assert command is not None
    return command, args


LINES = [
    "SET a 1",
    "SET a 1 NX GET PX 1000",
    "GET a",
    "DEL a",
    "EXISTS a",
    "INCR a",
    "DECR a",
    "INCRBY a 2",
    "DECRBY a 2",
    "INCRBYFLOAT a 0.5",
    "COMPACT",
    "FLUSHALL",
    "EXPIRE a 10",
    "PERSIST a",
    "TTL a",
    "SCAN 0",
    "KEYS *",
    "DBSIZE",
    "RANDOMKEY",
    "RENAME a b",
    "COPY b a",
    "MSET a 1 b 2",
    "MGET a b",
    "LCS a b",
    "OBJECT ENCODING a",
    "MEMORY USAGE a",
    "WATCH a",
    "INFO keyspace",
]


@pytest.mark.uncompiled
@pytest.mark.parametrize("line", LINES)
def test_keyspace_commands_take_the_lock_once_and_release_it(
    session: ClientSession, lock: WatchedLock, line: str
) -> None:
    send_line(session, line)
    assert (lock.taken, lock.depth) == (1, 0)


@pytest.mark.parametrize(
    "line",
    [
        "PING",
        "ECHO a",
        "HELLO",
        "HELP",
        "COMMAND",
        "MULTI",
        "QUIT",
        "FLY",
        "GET",
        "'",
        "UNWATCH",
        "CLIENT LIST",
        "CONFIG GET *",
        "CONFIG SET slowlog-max-len 5",
        "SLOWLOG GET",
        "MONITOR",
        "RESET",
        "TIME",
        "INFO server",
    ],
)
def test_control_commands_take_no_lock(session: ClientSession, lock: WatchedLock, line: str) -> None:
    send_line(session, line)
    assert lock.taken == 0


@pytest.mark.parametrize("line", LINES)
def test_a_call_is_recorded_and_listed_by_slowlog_after_the_lock_is_released(
    session: ClientSession, lock: WatchedLock, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    depths: list[int] = []
    slowlog = session.context.slowlog
    slowlog.threshold = -1
    push = slowlog.push

    def record(*arguments: Any) -> None:
        depths.append(lock.depth)
        push(*arguments)

    monkeypatch.setattr(slowlog, "push", record)
    send_line(session, line)
    assert depths == [0]


@pytest.mark.uncompiled
def test_a_transaction_takes_the_lock_once_for_all_its_commands(session: ClientSession, lock: WatchedLock) -> None:
    assert feed(session, b"MULTI\nSET a 1\nINCR a\nGET a\n") == b"OK\nQUEUED\nQUEUED\nQUEUED\n"
    assert lock.taken == 0
    assert send_line(session, "EXEC") == "1) OK\n2) 2\n3) 2"
    assert (lock.taken, lock.depth) == (1, 0)


@pytest.mark.uncompiled
def test_the_lock_is_released_when_a_command_fails(session: ClientSession, lock: WatchedLock) -> None:
    send_line(session, "SET a x")
    assert send_line(session, "INCR a").startswith("(error)")
    assert (lock.taken, lock.depth) == (2, 0)


def test_lines_are_formatted_after_the_lock_is_released(engine: EmbeddedEngine, lock: WatchedLock) -> None:
    execute(engine, "SET a 1")
    reply = execute(engine, "COMPACT")
    assert lock.depth == 0
    execute(engine, "SET b 2")
    assert isinstance(reply, Lines)
    assert not isinstance(reply.lines, list), "a list would have been made under the lock"
    assert list(reply.lines) == [b"SET a 1"]


def test_the_engine_raises_what_a_command_raises(engine: EmbeddedEngine) -> None:
    with pytest.raises(CommandError, match="not an integer"):
        execute(engine, "INCRBY a ten")


def test_an_exception_of_a_command_takes_the_place_of_its_reply_in_a_transaction(engine: EmbeddedEngine) -> None:
    queue = [as_call(f"INCRBY a {by}") for by in ("1", "ten", "2")]
    call = CallContext()
    outcomes = engine.execute_all([(0, queue)], {}, call)
    assert outcomes is not None
    first, second, third = outcomes
    assert (first, third) == (1, 3)
    assert isinstance(second, CommandError)
    assert len(call.durations) == 3


def test_a_transaction_with_a_dirty_watch_executes_nothing_and_the_watch_ends_either_way(
    engine: EmbeddedEngine, store: Store
) -> None:
    watch = Watch()
    engine.database(0).watch(watch, [b"a", b"b"])
    execute(engine, "SET a 1")
    assert engine.execute_all([(0, [as_call("SET b 2")])], {0: watch}, CallContext()) is None
    assert pairs(store) == [(b"a", b"1")]
    assert watch.keys == set()
    again = Watch()
    engine.database(0).watch(again, [b"a", b"b"])
    assert engine.execute_all([(0, [as_call("SET b 2")])], {0: again}, CallContext()) == [OK]
    assert again.keys == set()


def test_short_commands_do_not_block(engine: EmbeddedEngine) -> None:
    command, args = as_call("SET a 1")
    assert not engine.database(0).may_block(command, args)
    assert engine.database(0).try_execute(command, args, CallContext()) == OK
    assert WOULD_BLOCK not in (None, OK)


@pytest.mark.parametrize(
    "line", ["KEYS *", "SCAN 0", "COMPACT", "LCS a b", "FLUSHALL", "MGET" + " key" * MAX_QUICK_ARGS]
)
def test_commands_that_may_take_long_are_not_tried(engine: EmbeddedEngine, line: str) -> None:
    command, args = as_call(line)
    assert engine.database(0).may_block(command, args)
    assert engine.database(0).try_execute(command, args, CallContext()) is WOULD_BLOCK


@pytest.mark.uncompiled
def test_a_call_begins_when_the_lock_is_held(engine: EmbeddedEngine, lock: WatchedLock) -> None:
    """The wait for the lock is not part of the time that SLOWLOG and INFO report."""
    started: list[int] = []
    call = CallContext()

    lock.on_acquire = lambda: started.append(call.started)
    engine.database(0).execute(*as_call("GET a"), call)
    assert started == [0]
    assert call.started > 0


class RunningClock:
    """A clock that advances by 1 ms each time it is read."""

    def __init__(self) -> None:
        self.time = 1_000_000

    def __call__(self) -> int:
        self.time += 1
        return self.time


def test_time_does_not_advance_while_a_command_runs() -> None:
    session = new_session(new_engine(RunningClock()))
    assert send_line(session, "SET k v PX 2") == "OK"
    assert execute_line(session, "MGET k k k") == [b"v", b"v", b"v"]
    assert execute_line(session, "MGET k k k") == [None, None, None]


def test_time_does_not_advance_while_a_transaction_runs_and_continues_after_it() -> None:
    session = new_session(new_engine(RunningClock()))
    send_lines(session, "MULTI", "SET k v PX 2", *["GET k"] * 10, "PTTL k")
    assert execute_line(session, "EXEC") == [OK, *[b"v"] * 10, 2]
    assert [execute_line(session, "GET k") for _ in range(3)] == [b"v", None, None]


def test_control_commands_of_a_transaction_run_after_its_keyspace_commands(session: ClientSession) -> None:
    send_lines(session, "MULTI", "FLUSHALL", "INFO keyspace", "SET a 1", "INFO keyspace")
    replies = execute_line(session, "EXEC")
    assert isinstance(replies, list)
    assert [b"keys=1" in reply for reply in replies if isinstance(reply, bytes)] == [True, True]
    assert replies[0] == replies[2] == OK, "each reply is in the place of its command"


@pytest.mark.uncompiled
def test_no_control_command_of_a_transaction_runs_under_the_lock(
    session: ClientSession, lock: WatchedLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INFO reads files under /proc."""
    depths: list[int] = []

    def measure() -> int:
        depths.append(lock.depth)
        return 1

    monkeypatch.setattr("server.commands.info.resident_bytes", measure)
    send_lines(session, "MULTI", "SET a 1", "INFO memory", "GET a", "EXEC")
    assert depths == [0]
    assert (lock.taken, lock.depth) == (1, 0)


@pytest.mark.uncompiled
def test_every_access_to_the_store_is_made_under_the_lock(
    lock: WatchedLock, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = GuardedStore(lock, clock)
    engine = engine_on(store, lock, monkeypatch)
    session = new_session(engine)
    lines = [*LINES, "MULTI", *LINES, "EXEC", "WATCH a", "UNWATCH", "WATCH a", "RESET", "INFO all", "FLUSHALL"]
    replies = feed(session, "".join(f"{line}\n" for line in lines).encode()).decode()
    engine.expire_slice()
    session.close()
    assert "internal error" not in replies
    assert replies.startswith("OK\n1\n1\n"), "the commands really ran"
    assert store.accesses > 2 * len(LINES)
    with lock:
        store.check()
    with pytest.raises(AssertionError, match="without the lock"):
        store.get(b"a")
