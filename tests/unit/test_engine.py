"""The lock: held around every command and around each transaction as a whole, and never longer."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

import pytest

from common.codec import Args
from common.errors import CommandError
from common.replies import OK, Lines, Reply
from server.clients.registry import Client
from server.commands import COMMANDS
from server.engines.embedded import EmbeddedEngine, QueuedCommand
from server.keyspace.store import Store, Watch
from server.registry import Command
from tests.harness.sessions import ClientSession, Clock, execute_line, feed, new_session, pairs, send_line, send_lines


class WatchedLock:
    """A lock that can be asked whether it is held, and how often it was taken from outside."""

    def __init__(self) -> None:
        self.depth = 0
        self.taken = 0

    def acquire(self) -> None:
        self.taken += self.depth == 0
        self.depth += 1

    def release(self) -> None:
        assert self.depth > 0
        self.depth -= 1

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class GuardedStore(Store):
    """A store that notes what was done to it without its lock."""

    def __init__(self, lock: WatchedLock, clock: Clock) -> None:
        self._lock = lock
        self.touched = 0
        with lock:
            super().__init__(clock)

    def __getattribute__(self, name: str) -> object:
        if name in ("_values", "_deadlines", "_expiring", "_watches", "scans", "now", "check"):
            self.touched += 1
            if not self._lock.depth and name != "check":
                raise AssertionError("the store was touched without its lock")
        return super().__getattribute__(name)

    def check(self) -> None:
        with self._lock:
            super().check()


def engine_on(store: Store, lock: WatchedLock, monkeypatch: pytest.MonkeyPatch) -> EmbeddedEngine:
    with monkeypatch.context() as patch:
        patch.setattr("server.engines.embedded.threading.RLock", lambda: lock)
        return EmbeddedEngine(store)


@pytest.fixture
def lock() -> WatchedLock:
    return WatchedLock()


@pytest.fixture
def engine(store: Store, lock: WatchedLock, monkeypatch: pytest.MonkeyPatch) -> EmbeddedEngine:
    return engine_on(store, lock, monkeypatch)


def execute(engine: EmbeddedEngine, line: str) -> Reply:
    return engine.execute(*as_call(line), Client(1))


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
    "CONFIG RESETSTAT",
    "INFO keyspace",
]


def test_the_lock_is_one_that_its_holder_may_take_again() -> None:
    assert isinstance(EmbeddedEngine(Store())._lock, type(threading.RLock()))


@pytest.mark.parametrize("line", LINES)
def test_what_touches_the_store_takes_the_lock_once_and_gives_it_back(
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
def test_what_leaves_the_store_alone_takes_no_lock(session: ClientSession, lock: WatchedLock, line: str) -> None:
    send_line(session, line)
    assert lock.taken == 0


@pytest.mark.parametrize("line", LINES)
def test_a_slow_call_is_noted_after_the_lock_is_given_back(
    session: ClientSession, lock: WatchedLock, line: str
) -> None:
    depths: list[int] = []
    session.context.engine.statistics.slower_than = 0
    note_slow = session.context.engine.statistics.note_slow

    def note(*arguments: Any) -> None:
        depths.append(lock.depth)
        note_slow(*arguments)

    session.context.engine.statistics.note_slow = note  # type: ignore[method-assign]
    send_line(session, line)
    assert depths == [0]


def test_a_transaction_takes_the_lock_once_for_all_its_commands(session: ClientSession, lock: WatchedLock) -> None:
    assert feed(session, b"MULTI\nSET a 1\nINCR a\nGET a\n") == b"OK\nQUEUED\nQUEUED\nQUEUED\n"
    assert lock.taken == 0
    assert send_line(session, "EXEC") == "1) OK\n2) 2\n3) 2"
    assert (lock.taken, lock.depth) == (1, 0)


def test_the_lock_is_given_back_when_a_command_fails(session: ClientSession, lock: WatchedLock) -> None:
    send_line(session, "SET a x")
    assert send_line(session, "INCR a").startswith("(error)")
    assert (lock.taken, lock.depth) == (2, 0)


def test_a_block_is_formatted_after_the_lock_is_given_back(engine: EmbeddedEngine, lock: WatchedLock) -> None:
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


def nothing_else(command: Command, args: Args) -> Reply:
    raise AssertionError(f"{command.name!r} works on the store")


def test_what_a_command_of_a_transaction_raises_stands_in_its_replys_place(engine: EmbeddedEngine) -> None:
    calls = [as_call(f"INCRBY a {by}") for by in ("1", "ten", "2")]
    outcomes = engine.execute_all(calls, Watch(), Client(1), nothing_else)
    assert outcomes is not None
    first, second, third = outcomes
    assert (first, third) == (1, 3)
    assert isinstance(second, CommandError)


def test_none_of_the_commands_runs_where_the_watch_is_broken_and_the_watch_is_over_either_way(
    engine: EmbeddedEngine, store: Store
) -> None:
    watch = Watch()
    engine.watch(watch, [b"a", b"b"])
    execute(engine, "SET a 1")
    assert engine.execute_all([as_call("SET b 2")], watch, Client(1), nothing_else) is None
    assert pairs(store) == [(b"a", b"1")]
    assert watch.keys == set()
    again = Watch()
    engine.watch(again, [b"a", b"b"])
    assert engine.execute_all([as_call("SET b 2")], again, Client(1), nothing_else) == [OK]
    assert again.keys == set()


class RunningClock:
    """A clock that goes on whenever somebody looks at it."""

    def __init__(self) -> None:
        self.time = 1_000_000

    def __call__(self) -> int:
        self.time += 1
        return self.time


def test_time_stands_still_while_a_command_runs() -> None:
    session = new_session(EmbeddedEngine(Store(RunningClock())))
    assert send_line(session, "SET k v PX 2") == "OK"
    assert execute_line(session, "MGET k k k") == [b"v", b"v", b"v"]
    assert execute_line(session, "MGET k k k") == [None, None, None]


def test_time_stands_still_while_a_transaction_runs_and_goes_on_behind_it() -> None:
    session = new_session(EmbeddedEngine(Store(RunningClock())))
    send_lines(session, "MULTI", "SET k v PX 2", *["GET k"] * 10, "PTTL k")
    assert execute_line(session, "EXEC") == [OK, *[b"v"] * 10, 2]
    assert [execute_line(session, "GET k") for _ in range(3)] == [b"v", None, None]


def test_the_commands_of_a_transaction_run_in_their_order_whatever_they_work_on(session: ClientSession) -> None:
    send_lines(session, "MULTI", "FLUSHALL", "SET a 1", "INFO keyspace", "FLUSHALL", "INFO keyspace")
    replies = execute_line(session, "EXEC")
    assert isinstance(replies, list)
    assert [b"keys=1" in reply for reply in replies if isinstance(reply, bytes)] == [True, False]


def test_every_touch_of_the_store_is_made_under_the_lock(
    lock: WatchedLock, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = GuardedStore(lock, clock)
    engine = engine_on(store, lock, monkeypatch)
    session = new_session(engine)
    lines = [*LINES, "MULTI", *LINES, "EXEC", "WATCH a", "UNWATCH", "WATCH a", "RESET", "INFO all", "FLUSHALL"]
    replies = feed(session, "".join(f"{line}\n" for line in lines).encode()).decode()
    engine.sweep()
    session.close()
    assert "internal error" not in replies
    assert replies.startswith("OK\n1\n1\n"), "the commands really ran"
    assert store.touched > 2 * len(LINES)
    with pytest.raises(AssertionError, match="without its lock"):
        store.get(b"a")
