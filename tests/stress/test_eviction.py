"""Eviction while 50 clients write: keys without an expiry keep every guarantee, and others are whole or missing."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from functools import partial

import pytest

from common.limits import MIB
from common.resp_client import encode_request
from tests.harness.processes import Peer, ServerProcess, StartServer
from tests.harness.waiting import all_at_once, wait_until
from tests.stress.test_sockets import then_set, transaction, until_done

pytestmark = pytest.mark.stress

LIMIT = 2 * MIB
WRITERS = 50
ACCOUNTS = [b"account%d" % number for number in range(8)]
OPENING = 1000
DATABASES = 4

CHANGES = [
    b"SET %(key)b 12 PX 20",
    b"SET %(key)b 12 EX 1000",
    b"SET %(key)b 12 KEEPTTL",
    b"MSET %(key)b 1 %(other)b 123",
    b"APPEND %(key)b 7",
    b"SETRANGE %(key)b 3 77",
    b"PEXPIRE %(key)b 20",
    b"EXPIRE %(key)b 1000",
    b"PERSIST %(key)b",
    b"RENAME %(key)b %(other)b",
    b"COPY %(key)b %(other)b REPLACE",
    b"GETDEL %(key)b",
    b"DEL %(key)b %(other)b",
    b"MOVE %(key)b 1",
    b"COPY %(key)b %(other)b DB 2 REPLACE",
    b"SWAPDB 1 2",
    b"SWAPDB 2 3",
    b"FLUSHDB",
]
"""What changes keys, besides SET and INCR in a batch."""


POLICIES = {"volatile-lru": "0", "volatile-lfu": "1", "volatile-random": "2", "volatile-ttl": "1"}
"""The eviction policies, each with one of the schedulers (``--io-threads``)."""


@pytest.fixture(params=POLICIES)
def limited(request: pytest.FixtureRequest, start_server: StartServer) -> ServerProcess:
    limit = ["--max-memory", str(LIMIT), "--eviction", request.param]
    return start_server("--port", "0", "--io-threads", POLICIES[request.param], *limit)


def value_of(key: bytes) -> bytes:
    """Return the only value that a key ever has."""
    return key * (1 + int(key) % 50)


def write(peer: Peer, seed: int) -> None:
    """Write more than the limit allows, and read some of it."""
    chance = random.Random(seed)
    for _ in range(20):
        keys = [b"%d" % chance.randrange(100_000) for _ in range(20)]
        peer.send(b"".join(b"SET %b %b EX %d\n" % (key, value_of(key), chance.randint(100, 1000)) for key in keys))
        assert [peer.line() for _ in keys] == [b"OK\n"] * len(keys)
        keys += [b"%d" % chance.randrange(100_000) for _ in range(20)]
        peer.send(b"".join(b"GET %b\n" % key for key in keys))
        for key in keys:
            assert peer.line() in (value_of(key) + b"\n", b"(nil)\n")


def change(peer: Peer, seed: int) -> None:
    """Change a few keys of the databases besides 0 in every way."""
    chance = random.Random(seed)
    for _ in range(40):
        assert peer.ask(b"SELECT %d" % chance.randrange(1, DATABASES)) == b"OK"
        keys = [b"k%d" % chance.randrange(20) for _ in range(10)]
        batches = [[b"SET", key, b"%d" % chance.randrange(10**6)] for key in keys]
        batches += [[b"INCR", key] for key in keys]
        peer.send(b"".join(map(encode_request, batches)))
        for _ in batches:
            line = peer.line()
            # Another client may have used SETRANGE or APPEND between SET and INCR.
            assert line[:1] in b"+:" or line.startswith(b"-ERR value is not an integer"), line
        lines = [chance.choice(CHANGES) for _ in range(20)]
        peer.send(
            b"".join(line % {b"key": chance.choice(keys), b"other": chance.choice(keys)} + b"\n" for line in lines)
        )
        for _ in lines:
            assert b"OOM" not in peer.line()


def total_usage(peer: Peer) -> int:
    """Return the sum of MEMORY USAGE of all keys."""
    total = 0
    for number in range(DATABASES):
        peer.send(b"SELECT %d\nKEYS *\nECHO end\n" % number)
        assert peer.line() == b"OK\n"
        keys = []
        while (line := peer.line()) != b"end\n":
            keys.append(line.split()[-1].strip(b'"'))
        if keys == [b"(empty"]:
            continue
        peer.send(b"".join(b"MEMORY USAGE %b\n" % key for key in keys))
        usages = [peer.line().strip() for _ in keys]
        total += sum(int(usage) for usage in usages if usage != b"(nil)")  # it has expired
    return total


def test_fifty_writers_and_transactions_at_the_limit(limited: ServerProcess) -> None:
    for account in ACCOUNTS:
        assert limited.connect().ask(b"SET %b %d" % (account, OPENING)) == b"OK"
    done = threading.Event()

    def move(peer: Peer, seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(100):
            giver, taker = chance.sample(ACCOUNTS, 2)
            amount = chance.randint(1, 100)
            transaction(peer, b"DECRBY %b %d" % (giver, amount), b"INCRBY %b %d" % (taker, amount), b"INCR moves")

    def audit(peer: Peer) -> None:
        balances = transaction(peer, *(b"GET " + account for account in ACCOUNTS))
        assert sum(balances) == OPENING * len(ACCOUNTS), balances

    def scan(peer: Peer) -> None:
        found: set[bytes] = set()
        cursor = b"0"
        while True:
            peer.send(b"SCAN %b COUNT 500\n" % cursor)
            cursor = peer.line().split()[1].strip(b'"')
            peer.send(b"ECHO end\n")
            while (line := peer.line()) != b"end\n":
                found.add(line.split()[-1].strip(b'"'))
            if cursor == b"0":
                break
        assert set(ACCOUNTS) <= found, "what exists all the time is found"

    work: list[Callable[[], None]] = [partial(write, limited.connect(), seed) for seed in range(WRITERS)]
    work += [partial(move, limited.connect(), seed) for seed in range(6)]
    work += [partial(change, limited.connect(), seed) for seed in range(4)]
    everybody = then_set(done, work)
    everybody += [partial(until_done, done, partial(audit, limited.connect())) for _ in range(2)]
    everybody.append(partial(until_done, done, partial(scan, limited.connect())))
    all_at_once(everybody)
    peer = limited.connect()
    audit(peer)
    assert peer.ask(b"GET moves") == b"600"
    wait_until(lambda: figure(peer, b"used_memory") <= LIMIT, "what is beyond the limit is evicted")
    assert figure(peer, b"used_memory") > LIMIT // 2, "no more than that is evicted"
    assert figure(peer, b"evicted_keys") > 1000
    # Again and again, because keys expire meanwhile. No eviction is left to do.
    wait_until(lambda: figure(peer, b"used_memory") == total_usage(peer), "what is counted is what the keys take")
    for number in range(DATABASES):
        assert peer.ask(b"SELECT %d" % number) == b"OK"
        assert peer.ask(b"FLUSHDB") == b"OK"
    assert figure(peer, b"used_memory") == 0


def figure(peer: Peer, name: bytes) -> int:
    """Return a number of INFO."""
    peer.send(b"INFO memory stats\nECHO end\n")
    found = -1
    while (line := peer.line()) != b"end\n":
        if line.startswith(name + b":"):
            found = int(line.partition(b":")[2])
    return found
