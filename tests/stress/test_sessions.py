"""Many sessions in threads over one engine, while the interpreter switches threads as often as it can."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator
from functools import partial
from itertools import chain

import pytest

from server.commands import COMMANDS
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.session.context import ServerContext
from tests.harness.sessions import ClientSession
from tests.harness.waiting import all_at_once

pytestmark = pytest.mark.stress

ACCOUNTS = [b"account%d" % number for number in range(5)]
OPENING = 1000


@pytest.fixture(autouse=True)
def switch_threads_often() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def transaction(session: ClientSession, *commands: bytes) -> list[int]:
    """Run the commands inside MULTI and EXEC; return the integers that EXEC replies."""
    output = session.feed(b"".join(line + b"\n" for line in (b"MULTI", *commands, b"EXEC")))
    lines = output.splitlines()
    assert lines[: 1 + len(commands)] == [b"OK"] + [b"QUEUED"] * len(commands)
    return [int(line.split()[1]) for line in lines[1 + len(commands) :]]


def test_no_increment_is_lost(engine: EmbeddedEngine, store: Store) -> None:
    def count() -> list[int]:
        session = ClientSession(ServerContext(engine, COMMANDS))
        return [int(session.feed(b"INCR counter\n")) for _ in range(500)]

    seen = all_at_once([count] * 20)
    assert store.get(b"counter") == b"10000"
    assert sorted(chain.from_iterable(seen)) == list(range(1, 10_001))


def test_money_stays_the_same_in_sum_and_both_protocols_see_it(engine: EmbeddedEngine, store: Store) -> None:
    for account in ACCOUNTS:
        store.set(account, b"%d" % OPENING)
    done = threading.Event()

    def move(seed: int) -> None:
        session, chance = ClientSession(ServerContext(engine, COMMANDS)), random.Random(seed)
        for _ in range(200):
            giver, taker = chance.sample(ACCOUNTS, 2)
            amount = chance.randint(1, 100)
            transaction(session, b"DECRBY %b %d" % (giver, amount), b"INCRBY %b %d" % (taker, amount))

    def move_all() -> None:
        try:
            all_at_once([partial(move, seed) for seed in range(6)])
        finally:
            done.set()

    def audit() -> int:
        session, times = ClientSession(ServerContext(engine, COMMANDS)), 0
        while not (times and done.is_set()):
            assert sum(transaction(session, *(b"GET " + account for account in ACCOUNTS))) == OPENING * len(ACCOUNTS)
            times += 1
        return times

    def audit_by_compact() -> int:
        session, times = ClientSession(ServerContext(engine, COMMANDS)), 0
        while not (times and done.is_set()):
            lines = session.feed(b"*1\r\n$7\r\nCOMPACT\r\n").splitlines()[1:]
            assert sum(int(line.split()[2]) for line in lines) == OPENING * len(ACCOUNTS)
            times += 1
        return times

    all_at_once([move_all, audit, audit, audit_by_compact])


def test_keys_that_come_and_go_leave_the_store_consistent(engine: EmbeddedEngine, store: Store) -> None:
    def churn(number: int) -> None:
        session, chance = ClientSession(ServerContext(engine, COMMANDS)), random.Random(number)
        for _ in range(300):
            key = b"key%d" % chance.randrange(4)
            line = chance.choice([b"SET %b 1", b"DEL %b", b"INCR %b", b"EXISTS %b", b"GET %b"]) % key
            assert not session.feed(line + b"\n").startswith(b"(error)")
            if chance.random() < 0.05:
                assert session.feed(b"FLUSHALL\n") == b"OK\n"
            assert all(line.startswith(b"SET key") for line in session.feed(b"COMPACT\n").splitlines() if line)

    all_at_once([partial(churn, number) for number in range(10)])
    assert len(store) <= 4
