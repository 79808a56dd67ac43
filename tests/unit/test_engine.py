"""The lock: held around every command and around each transaction as a whole, and never longer."""

from __future__ import annotations

import threading
from types import TracebackType

import pytest

from common.replies import Block
from server.commands import COMMANDS
from server.engine import EmbeddedEngine
from server.errors import CommandError
from server.session import Session
from server.store import Store
from tests.support import converse, new_session, say


class WatchedLock:
    """A lock that can be asked whether it is held, and how often it was taken from outside."""

    def __init__(self) -> None:
        self.depth = 0
        self.taken = 0

    def __enter__(self) -> None:
        self.taken += self.depth == 0
        self.depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.depth -= 1


class GuardedStore(Store):
    """A store that notes what was done to it without its lock."""

    def __init__(self, lock: WatchedLock) -> None:
        super().__init__()
        self.touched = 0
        self._lock = lock

    def __getattribute__(self, name: str) -> object:
        if name == "_values":
            self.touched += 1
            if not self._lock.depth:
                raise AssertionError("the store was touched without its lock")
        return super().__getattribute__(name)


@pytest.fixture
def lock() -> WatchedLock:
    return WatchedLock()


@pytest.fixture
def engine(lock: WatchedLock, monkeypatch: pytest.MonkeyPatch) -> EmbeddedEngine:
    engine = EmbeddedEngine(Store())
    monkeypatch.setattr(engine, "_lock", lock)
    return engine


def test_the_lock_is_one_that_its_holder_may_take_again() -> None:
    assert isinstance(EmbeddedEngine(Store())._lock, type(threading.RLock()))


@pytest.mark.parametrize(
    "line",
    [
        "SET a 1",
        "GET a",
        "DEL a",
        "EXISTS a",
        "INCR a",
        "DECR a",
        "INCRBY a 2",
        "DECRBY a 2",
        "COMPACT",
        "FLUSHALL",
    ],
)
def test_a_command_on_the_store_takes_the_lock_once_and_gives_it_back(
    session: Session, lock: WatchedLock, line: str
) -> None:
    say(session, line)
    assert (lock.taken, lock.depth) == (1, 0)


@pytest.mark.parametrize("line", ["PING", "ECHO a", "HELLO", "HELP", "COMMAND", "MULTI", "QUIT", "FLY", "GET", "'"])
def test_what_leaves_the_store_alone_takes_no_lock(session: Session, lock: WatchedLock, line: str) -> None:
    say(session, line)
    assert lock.taken == 0


def test_a_transaction_takes_the_lock_once_for_all_its_commands(session: Session, lock: WatchedLock) -> None:
    assert converse(session, b"MULTI\nSET a 1\nINCR a\nGET a\n") == b"OK\nQUEUED\nQUEUED\nQUEUED\n"
    assert lock.taken == 0
    assert say(session, "EXEC") == "1) OK\n2) 2\n3) 2"
    assert (lock.taken, lock.depth) == (1, 0)


def test_the_lock_is_given_back_when_a_command_fails(session: Session, lock: WatchedLock) -> None:
    say(session, "SET a x")
    assert say(session, "INCR a").startswith("(error)")
    assert (lock.taken, lock.depth) == (2, 0)


def test_a_block_is_formatted_after_the_lock_is_given_back(engine: EmbeddedEngine, lock: WatchedLock) -> None:
    compact = COMMANDS.find(b"COMPACT")
    put = COMMANDS.find(b"SET")
    assert compact is not None
    assert put is not None
    engine.execute(put, [b"SET", b"a", b"1"])
    reply = engine.execute(compact, [b"COMPACT"])
    assert lock.depth == 0
    engine.execute(put, [b"SET", b"b", b"2"])
    assert isinstance(reply, Block)
    assert not isinstance(reply.lines, list), "a list would have been made under the lock"
    assert list(reply.lines) == [b"SET a 1"]


def test_the_engine_raises_what_a_command_raises() -> None:
    engine = EmbeddedEngine(Store())
    incrby = COMMANDS.find(b"INCRBY")
    assert incrby is not None
    with pytest.raises(CommandError, match="not an integer"):
        engine.execute(incrby, [b"INCRBY", b"a", b"ten"])


def test_what_a_command_of_a_transaction_raises_stands_in_its_replys_place() -> None:
    engine = EmbeddedEngine(Store())
    incrby = COMMANDS.find(b"INCRBY")
    assert incrby is not None
    first, second, third = engine.execute_all([(incrby, [b"INCRBY", b"a", by]) for by in [b"1", b"ten", b"2"]])
    assert (first, third) == (1, 3)
    assert isinstance(second, CommandError)


def test_every_touch_of_the_store_is_made_under_the_lock(lock: WatchedLock, monkeypatch: pytest.MonkeyPatch) -> None:
    with lock:
        store = GuardedStore(lock)
    engine = EmbeddedEngine(store)
    monkeypatch.setattr(engine, "_lock", lock)
    session = new_session(engine)
    lines = [
        "SET a 1",
        "INCR a",
        "GET a",
        "EXISTS a",
        "COMPACT",
        "MULTI",
        "INCR a",
        "DEL a",
        "COMPACT",
        "EXEC",
        "FLUSHALL",
    ]
    replies = converse(session, "".join(f"{line}\n" for line in lines).encode()).decode()
    assert "internal error" not in replies
    assert store.touched > 9
    lock.depth = 1  # for the check that follows every test
