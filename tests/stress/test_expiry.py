"""Keys that expire while many connections set, read, count and list keys."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from functools import partial

import pytest

from common.replies import OK, QUEUED, Reply
from tests.harness.processes import ServerProcess, StartServer
from tests.harness.waiting import all_at_once, wait_until
from tests.stress.test_sockets import then_set, until_done
from tests.stress.test_watch import Client, milliseconds

pytestmark = pytest.mark.stress

MAX_TTL = 40
"""Milliseconds."""

KEYS = [f"key{number}" for number in range(8)]

Read = Callable[[Client, str], None]


def number_in(value: Reply) -> int:
    assert isinstance(value, bytes)
    return int(value)


def read_value(client: Client, key: str) -> None:
    """Read a key whose value is its expiry; time passes between the commands, because each is a step."""
    before, value, after, again = client.send_line("TIME", f"GET {key}", "TIME", f"GET {key}")
    if value is not None:
        assert milliseconds(before) < number_in(value), "the value was read after its expiry"
    if value is not None and again is not None:
        assert milliseconds(after) < number_in(again), "the value was read after its expiry"


def read_in_a_transaction(client: Client, key: str) -> None:
    before = client.milliseconds()
    *queued, outcome = client.send_line("MULTI", f"GET {key}", f"PEXPIRETIME {key}", "EXEC")
    assert queued == [OK, QUEUED, QUEUED]
    assert isinstance(outcome, list)
    value, expires_at = outcome
    if value is not None:
        assert before < number_in(value), "the value was read after its expiry"
        assert expires_at in (number_in(value), -2), "value and expiry were set in one step"


def read_many_at_once(client: Client, key: str) -> None:
    before, values = client.send_line("TIME", f"MGET {' '.join(KEYS)} {key}")
    assert isinstance(values, list)
    assert all(milliseconds(before) < number_in(value) for value in values if value is not None)


def expired_keys(client: Client) -> int:
    """Return how many expired keys the server has removed."""
    (text,) = client.send_line("INFO stats")
    assert isinstance(text, bytes)
    return int(dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)["expired_keys"])


@pytest.mark.every_scheduler
def test_no_reader_sees_a_value_at_or_after_its_expiry(server: ServerProcess) -> None:
    done = threading.Event()

    def write(client: Client, seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(200):
            expires_at = client.milliseconds() + chance.randint(1, MAX_TTL)
            client.send_line(f"SET {chance.choice(KEYS)} {expires_at} PXAT {expires_at}")

    def read(client: Client, chance: random.Random, way: Read) -> None:
        way(client, chance.choice(KEYS))

    everybody = then_set(done, [partial(write, Client(server.connect()), seed) for seed in range(10)])
    for seed, way in enumerate([read_value, read_in_a_transaction, read_many_at_once] * 4):
        step = partial(read, Client(server.connect()), random.Random(seed), way)
        everybody.append(partial(until_done, done, step))
    all_at_once(everybody)
    wait_until(lambda: Client(server.connect()).send_line("DBSIZE") == [0], "every key has expired")


@pytest.mark.every_scheduler
def test_no_key_expires_early(server: ServerProcess) -> None:
    def live(client: Client, name: int) -> None:
        chance = random.Random(name)
        for turn in range(15):
            key, expires_at = f"own{name}-{turn}", client.milliseconds() + chance.randint(1, MAX_TTL)
            client.send_line(f"SET {key} x PXAT {expires_at}")
            value: Reply = b"x"
            while value is not None:
                *_, outcome = client.send_line("MULTI", f"GET {key}", "TIME", "EXEC")
                assert isinstance(outcome, list)
                value, after = outcome
            assert milliseconds(after) >= expires_at, "the key expired too early"

    all_at_once([partial(live, Client(server.connect()), name) for name in range(20)])


@pytest.mark.every_scheduler
def test_scan_returns_every_key_that_exists_all_the_time(server: ServerProcess) -> None:
    writers, turns = 6, 100
    staying = {b"stay%d" % number for number in range(writers * turns)}
    filler = Client(server.connect())
    for number in range(writers * turns):  # the keys to delete alternate with those that stay
        filler.send_line(f"SET go{number} x", f"SET stay{number} x")
    done = threading.Event()

    def write(client: Client, name: int) -> None:
        """Create, delete, expire and rename keys, and change the values of those that stay."""
        for turn in range(turns):
            key, other = f"come{name}-{turn}", f"stay{turn}"
            client.send_line(f"SET {key} x PX {1 + turn % 5}", f"SET {key}-more x", f"RENAME {key}-more {key}-new")
            client.send_line(
                f"APPEND {other} x", f"DEL come{name}-{turn - 20}-new", f"SET {other} x", f"DEL go{name * turns + turn}"
            )

    def scan(client: Client, count: int) -> None:
        found: set[Reply] = set()
        cursor, going = b"0", True
        while going:
            ((cursor, keys),) = client.send_line(f"SCAN {cursor.decode()} COUNT {count}")
            found.update(keys)
            going = cursor != b"0"
        assert staying <= found, "a key that existed all the time is missing"
        unexpected = [key for key in found if not key.startswith((b"stay", b"go", b"come"))]
        assert not unexpected

    everybody = then_set(done, [partial(write, Client(server.connect()), name) for name in range(writers)])
    for count in (1, 7, 10, 10, 50, 1000):
        everybody.append(partial(until_done, done, partial(scan, Client(server.connect()), count)))
    all_at_once(everybody)


def test_expired_keys_are_counted_exactly_and_removed(server: ServerProcess) -> None:
    connections, each = 20, 500
    reporter = Client(server.connect())

    def fill(client: Client, name: int) -> None:
        for start in range(0, each, 50):
            client.send_line(
                *(f"SET key{name}-{number} {'x' * 1000} PX {50 + number}" for number in range(start, start + 50))
            )

    expired_before = expired_keys(reporter)
    all_at_once([partial(fill, Client(server.connect()), name) for name in range(connections)])
    expected = expired_before + connections * each
    wait_until(lambda: expired_keys(reporter) >= expected, "every expired key is removed")
    assert expired_keys(reporter) == expected
    assert reporter.send_line("DBSIZE") == [0]
    assert reporter.send_line("INFO keyspace") == [b"# Keyspace\r\n"]
    assert reporter.send_line("SCAN 0") == [[b"0", []]]


def test_the_memory_of_expired_keys_is_freed(start_server: StartServer) -> None:
    # A server of its own: in one that other tests have used, the first round fits memory that they left.
    server = start_server()
    rounds, each = 5, 5000
    clients = [Client(server.connect()) for _ in range(4)]

    def fill(client: Client, name: str) -> None:
        for start in range(0, each, 1000):
            client.send_line(*(f"SET {name}-{number} {'x' * 1000}" for number in range(start, start + 1000)))

    def expire(client: Client, name: str) -> None:
        for start in range(0, each, 1000):
            client.send_line(*(f"PEXPIRE {name}-{number} 1" for number in range(start, start + 1000)))

    def everybody(work: Callable[[Client, str], None], turn: int) -> None:
        all_at_once([partial(work, client, f"{turn}-{number}") for number, client in enumerate(clients)])

    empty = server.resident_bytes()
    taken: list[int] = []
    for turn in range(rounds):
        everybody(fill, turn)
        taken.append(server.resident_bytes() - empty)
        everybody(expire, turn)
        removed = (turn + 1) * len(clients) * each
        # Not DBSIZE, which skips expired keys that are not removed yet.
        wait_until(lambda: expired_keys(clients[0]) == removed, "every expired key is removed")  # noqa: B023
    assert taken[-1] < 2 * taken[0], f"bytes taken by one round after the other: {taken}"
