"""Optimistic transactions of many at once: by WATCH, GET, MULTI, SET, EXEC, nothing is lost."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from common.replies import OK, QUEUED, Reply
from common.resp_client import ReplyDecoder, encode_request
from server.commands import COMMANDS
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.session.context import ServerContext
from tests.harness.processes import Peer, ServerProcess
from tests.harness.sessions import ClientSession
from tests.harness.waiting import all_at_once, wait_until
from tests.stress.test_sockets import then_set, until_done

pytestmark = [pytest.mark.stress, pytest.mark.every_scheduler]

CONNECTIONS = 20
ROUNDS = 25


@pytest.fixture
def switch_threads_often() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


class Client:
    """Say commands, given as lines, to a server or a session, and get their replies."""

    def __init__(self, way: Peer | ClientSession) -> None:
        self._way = way
        self._decoder = ReplyDecoder()

    def send_line(self, *lines: str) -> list[Reply]:
        """Send commands in one go; return their replies."""
        requests = b"".join(encode_request([arg.encode() for arg in line.split(" ")]) for line in lines)
        if isinstance(self._way, ClientSession):
            return self._decoder.feed(self._way.feed(requests))
        self._way.send(requests)
        replies: list[Reply] = []
        while len(replies) < len(lines):
            data = self._way.socket.recv(65536)
            assert data, "the server closed the connection"
            replies += self._decoder.feed(data)
        return replies

    def milliseconds(self) -> int:
        """Return the server's time in milliseconds since the epoch."""
        return milliseconds(*self.send_line("TIME"))


def milliseconds(time: Reply) -> int:
    """Turn TIME's reply into milliseconds since the epoch."""
    assert isinstance(time, list)
    seconds, microseconds = (int(arg) for arg in time if isinstance(arg, bytes))
    return seconds * 1000 + microseconds // 1000


def increment(client: Client, key: str, *before: str) -> None:
    """Count up by WATCH until no other client changes the key meanwhile; run other commands first in the same step."""
    while True:
        watching, value = client.send_line(f"WATCH {key}", f"GET {key}")
        assert watching == OK
        assert value is None or isinstance(value, bytes)
        begun, *queued, outcome = client.send_line("MULTI", *before, f"SET {key} {int(value or 0) + 1}", "EXEC")
        assert [begun, *queued] == [OK] + [QUEUED] * (len(before) + 1)
        if outcome is not None:
            assert outcome == [OK] * (len(before) + 1)
            return


def count(client: Client, rounds: int = ROUNDS) -> None:
    for number in range(rounds):
        increment(client, f"counter{number % 2}")


def check_counters(client: Client, total: int) -> None:
    values = client.send_line("GET counter0", "GET counter1")
    assert sum(int(value) for value in values if isinstance(value, bytes)) == total


def test_counters_lose_nothing_while_others_set_expire_and_remove_other_keys(server: ServerProcess) -> None:
    done = threading.Event()

    def disturb(client: Client, key: str) -> None:
        client.send_line(
            f"SET {key} x PX 1", f"PEXPIRE {key} 1", f"SET {key} x", f"RENAME {key} new-{key}", f"DEL new-{key}"
        )

    everybody = then_set(done, [partial(count, Client(server.connect())) for _ in range(CONNECTIONS)])
    for number in range(4):
        everybody.append(partial(until_done, done, partial(disturb, Client(server.connect()), f"other{number}")))
    all_at_once(everybody)
    check_counters(Client(server.connect()), CONNECTIONS * ROUNDS)


def test_a_counter_loses_nothing_while_others_flush_the_store_and_put_it_back(server: ServerProcess) -> None:
    flushes = 10

    def flush(client: Client) -> None:
        for _ in range(flushes):
            increment(client, "counter", "SET other x PX 1", "FLUSHALL")

    def count_one(client: Client) -> None:
        for _ in range(ROUNDS):
            increment(client, "counter")

    people = [count_one] * CONNECTIONS + [flush] * 4
    all_at_once([partial(each, Client(server.connect())) for each in people])
    assert Client(server.connect()).send_line("GET counter") == [b"%d" % (CONNECTIONS * ROUNDS + 4 * flushes)]


def test_a_watched_key_that_expires_in_between_makes_every_exec_nil(server: ServerProcess) -> None:
    def lose(client: Client, key: str) -> None:
        deadline = 0

        def is_watched_alive() -> bool:
            nonlocal deadline
            deadline = client.milliseconds() + 100
            return client.send_line("UNWATCH", f"SET {key} x PXAT {deadline}", f"WATCH {key}", f"GET {key}")[-1] == b"x"

        for _ in range(3):
            wait_until(is_watched_alive, "the key is watched before it expires")
            wait_until(lambda: client.milliseconds() >= deadline, "its time has come")
            assert client.send_line("MULTI", f"SET result-{key} x", "EXEC") == [OK, QUEUED, None]
            assert client.send_line(f"EXISTS {key} result-{key}") == [0]

    all_at_once([partial(lose, Client(server.connect()), f"key{number}") for number in range(CONNECTIONS)])


def test_of_all_who_watch_one_key_exactly_one_gets_it(server: ServerProcess) -> None:
    clients = [Client(server.connect()) for _ in range(CONNECTIONS)]
    for number in range(ROUNDS):
        for client in clients:
            assert client.send_line("WATCH prize", "MULTI", f"SET prize {number}") == [OK, OK, QUEUED]
        outcomes = [outcome for (outcome,) in all_at_once([partial(client.send_line, "EXEC") for client in clients])]
        assert outcomes.count([OK]) == 1
        assert outcomes.count(None) == CONNECTIONS - 1


@pytest.mark.usefixtures("switch_threads_often")
def test_counters_lose_nothing_in_one_process_while_keys_are_swept(engine: EmbeddedEngine, store: Store) -> None:
    done = threading.Event()

    def enter() -> Client:
        return Client(ClientSession(ServerContext(engine, COMMANDS)))

    def disturb(client: Client) -> None:
        client.send_line("SET other x PX 1", "SET another x", "DEL another")

    def sweep() -> None:
        engine.expire_slice()

    everybody = then_set(done, [partial(count, enter(), 200) for _ in range(8)])
    everybody += [partial(until_done, done, partial(disturb, enter())), partial(until_done, done, sweep)]
    all_at_once(everybody)
    check_counters(enter(), 8 * 200)


@pytest.mark.usefixtures("switch_threads_often")
def test_sessions_that_close_while_they_watch_leave_no_watch(engine: EmbeddedEngine, store: Store) -> None:
    context = ServerContext(engine, COMMANDS)

    def come_and_go(number: int) -> None:
        for turn in range(100):
            session = ClientSession(context)
            client = Client(session)
            client.send_line(f"WATCH shared own{number}", f"SET shared {turn}", f"SET own{number} x PX 1", "MULTI")
            if turn % 2:
                assert client.send_line("GET shared", "EXEC") == [QUEUED, None], "own changes make a watch dirty too"
            session.close()

    all_at_once([partial(come_and_go, number) for number in range(8)])
    assert not store._watches
    assert context.clients.all() == []
