"""Many connections to a real server: no update is lost, and no client sees half a transaction."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from functools import partial
from itertools import chain

import pytest

from tests.harness.processes import Peer, ServerProcess
from tests.harness.waiting import all_at_once

pytestmark = [pytest.mark.stress, pytest.mark.every_scheduler]

ACCOUNTS = [b"account%d" % number for number in range(8)]
OPENING = 1000


def transaction(peer: Peer, *commands: bytes) -> list[int]:
    """Run the commands inside MULTI and EXEC, sent at once; return the integers that EXEC replies."""
    peer.send(b"".join(line + b"\n" for line in (b"MULTI", *commands, b"EXEC")))
    assert peer.line() == b"OK\n"
    for _ in commands:
        assert peer.line() == b"QUEUED\n"
    lines = [peer.line().split() for _ in commands]
    assert [label for label, _ in lines] == [b"%d)" % number for number in range(1, 1 + len(commands))]
    return [int(number) for _, number in lines]


def until_done(done: threading.Event, step: Callable[[], None]) -> None:
    """Repeat a step until the others are done, and once more."""
    while not done.is_set():
        step()
    step()


def then_set(done: threading.Event, functions: list[Callable[[], None]]) -> list[Callable[[], None]]:
    """Make the last of the functions to return, or the first to fail, say that they are done."""
    left = threading.Semaphore(len(functions) - 1)

    def run(function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException:
            done.set()
            raise
        if not left.acquire(blocking=False):
            done.set()

    return [partial(run, function) for function in functions]


def test_fifty_connections_that_count_to_a_thousand_each_count_to_fifty_thousand(server: ServerProcess) -> None:
    peers = [server.connect() for _ in range(50)]

    def count(peer: Peer) -> list[int]:
        seen: list[int] = []
        for _ in range(200):
            peer.send(b"INCR counter\n" * 5)
            seen += [int(peer.line()) for _ in range(5)]
        return seen

    seen = all_at_once([partial(count, peer) for peer in peers])
    assert peers[0].ask(b"GET counter") == b"50000"
    assert all(numbers == sorted(numbers) for numbers in seen), "each connection's own order is kept"
    assert sorted(chain.from_iterable(seen)) == list(range(1, 50_001)), "no number is given twice, and none left out"


def test_money_that_is_moved_between_accounts_stays_the_same_in_sum(server: ServerProcess) -> None:
    for account in ACCOUNTS:
        assert server.connect().ask(b"SET %b %d" % (account, OPENING)) == b"OK"
    done = threading.Event()

    def move(peer: Peer, seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(1000):
            giver, taker = chance.sample(ACCOUNTS, 2)
            amount = chance.randint(1, 100)
            transaction(peer, b"DECRBY %b %d" % (giver, amount), b"INCRBY %b %d" % (taker, amount))

    def audit(peer: Peer) -> None:
        balances = transaction(peer, *(b"GET " + account for account in ACCOUNTS))
        assert sum(balances) == OPENING * len(ACCOUNTS), balances

    everybody = then_set(done, [partial(move, server.connect(), seed) for seed in range(8)])
    everybody += [partial(until_done, done, partial(audit, server.connect())) for _ in range(4)]
    all_at_once(everybody)
    audit(server.connect())


def test_no_reader_sees_half_of_a_transaction(server: ServerProcess) -> None:
    assert [server.connect().ask(b"SET %b 0" % key) for key in (b"left", b"right")] == [b"OK"] * 2
    done = threading.Event()

    def write(peer: Peer) -> None:
        for _ in range(1000):
            left, right = transaction(peer, b"INCR left", b"INCR right")
            assert left == right

    def read(peer: Peer) -> None:
        left, right = transaction(peer, b"GET left", b"GET right")
        assert left == right

    def read_one_after_the_other(peer: Peer) -> None:
        peer.send(b"GET left\nGET right\nGET left\n")
        first, between, last = (int(peer.line()) for _ in range(3))
        assert first <= between <= last, "both grow together, so a later read returns no smaller number"

    def compact(peer: Peer) -> None:
        peer.send(b"COMPACT\n")
        left, right = peer.line().split(), peer.line().split()
        assert (left[1], right[1]) == (b"left", b"right")
        assert left[2] == right[2]

    readers = [read, read_one_after_the_other, compact] * 2
    everybody = then_set(done, [partial(write, server.connect()) for _ in range(6)])
    everybody += [partial(until_done, done, partial(each, server.connect())) for each in readers]
    all_at_once(everybody)
    assert server.connect().ask(b"GET left") == b"6000"


def test_deleting_and_counting_at_once_loses_no_deletion(server: ServerProcess) -> None:
    peers = [server.connect() for _ in range(10)]

    def count_and_delete(peer: Peer) -> int:
        peer.send(b"INCR shared\nDEL shared\n" * 500)
        replies = [int(peer.line()) for _ in range(1000)]
        assert set(replies[1::2]) <= {0, 1}
        assert min(replies[::2]) == 1
        assert max(replies[::2]) <= len(peers)
        return sum(replies[1::2])

    deletions = sum(all_at_once([partial(count_and_delete, peer) for peer in peers]))
    assert peers[0].ask(b"EXISTS shared") == b"0", "each INCR was followed by a DEL"
    assert 500 <= deletions <= 5000
