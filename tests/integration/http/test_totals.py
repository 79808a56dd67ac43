"""Many clients of both listeners at once: no update is lost, and no client sees half a transaction."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from tests.harness.http_wire import Wire
from tests.harness.processes import Peer, ServerProcess
from tests.harness.waiting import all_at_once

pytestmark = pytest.mark.stress


@pytest.fixture
def wires(server: ServerProcess) -> Iterator[list[Wire]]:
    """Eight HTTP connections."""
    with ExitStack() as stack:
        yield [stack.enter_context(Wire(server.http_url)) for _ in range(8)]


def until(done: threading.Event, step: Callable[[], None]) -> None:
    """Repeat a step until the event is set, and then once more."""
    while not done.is_set():
        step()
    step()


def then_set(done: threading.Event, function: Callable[[], None]) -> None:
    """Call the function, and set the event when it returns or raises."""
    try:
        function()
    finally:
        done.set()


def test_counting_over_both_listeners_and_in_every_way_is_exact(server: ServerProcess, wires: list[Wire]) -> None:
    def by_resource(wire: Wire) -> list[int]:
        return [int(wire.ask(b"POST", b"/keys/n/incr").body) for _ in range(200)]

    def by_command(wire: Wire) -> list[int]:
        return [json.loads(wire.ask(b"POST", b"/", b'["INCR", "n"]').body)["result"] for _ in range(200)]

    def by_pipeline(wire: Wire) -> list[int]:
        body = json.dumps([["INCR", "n"]] * 20).encode()
        outcomes = [json.loads(wire.ask(b"POST", b"/pipeline", body).body) for _ in range(10)]
        return [each["result"] for answer in outcomes for each in answer]

    def by_transaction(wire: Wire) -> list[int]:
        body = json.dumps([["INCR", "n"]] * 20).encode()
        outcomes = [json.loads(wire.ask(b"POST", b"/multi-exec", body).body) for _ in range(10)]
        for answer in outcomes:
            numbers = [each["result"] for each in answer]
            assert numbers == list(range(numbers[0], numbers[0] + 20)), "no other client counts during a transaction"
        return [each["result"] for answer in outcomes for each in answer]

    def by_tcp(peer: Peer) -> list[int]:
        peer.send(b"INCR n\n" * 200)
        return [int(peer.line()) for _ in range(200)]

    ways = [by_resource, by_command, by_pipeline, by_transaction]
    tasks = [partial(ways[number % 4], wire) for number, wire in enumerate(wires)]
    tasks += [partial(by_tcp, server.connect()) for _ in range(4)]
    seen = all_at_once(tasks)
    assert sorted(number for numbers in seen for number in numbers) == list(range(1, 12 * 200 + 1))
    assert all(numbers == sorted(numbers) for numbers in seen), "each client's own order is kept"


def test_no_http_reader_sees_half_of_an_exec(server: ServerProcess, wires: list[Wire]) -> None:
    done = threading.Event()
    peer = server.connect()
    assert peer.ask(b"MSET left 0 right 0") == b"OK"

    def write() -> None:
        for number in range(500):
            peer.send(b"MULTI\nSET left %d\nSET right %d\nEXEC\n" % (number, number))
            assert [peer.line() for _ in range(5)][-1] == b"2) OK\n"

    def read(wire: Wire, path: bytes, body: bytes, pair: Callable[[object], list[str]]) -> None:
        left, right = pair(json.loads(wire.ask(b"POST", path, body).body))
        assert left == right

    transaction = b'[["GET", "left"], ["GET", "right"]]', lambda reply: [each["result"] for each in reply]
    command = b'["MGET", "left", "right"]', lambda reply: reply["result"]
    readers = [partial(read, wire, b"/multi-exec", *transaction) for wire in wires[:2]]
    readers += [partial(read, wire, b"/", *command) for wire in wires[2:4]]
    all_at_once([partial(then_set, done, write), *(partial(until, done, each) for each in readers)])


def test_no_tcp_reader_sees_half_of_a_multi_exec(server: ServerProcess, wires: list[Wire]) -> None:
    done = threading.Event()
    peers = [server.connect() for _ in range(2)]
    assert peers[0].ask(b"MSET left 0 right 0") == b"OK"

    def write() -> None:
        for number in range(300):
            body = json.dumps([["SET", "left", number], ["SET", "right", number]]).encode()
            assert wires[0].ask(b"POST", b"/multi-exec", body).status == 200

    def read(peer: Peer) -> None:
        peer.send(b"MGET left right\n")
        left, right = peer.line().split(), peer.line().split()
        assert left[1] == right[1]

    all_at_once([partial(then_set, done, write), *(partial(until, done, partial(read, peer)) for peer in peers)])


def test_counting_with_if_match_loses_no_update_and_stale_writes_get_412(wires: list[Wire]) -> None:
    assert wires[0].ask(b"PUT", b"/keys/n", b"0").status == 201

    def count(wire: Wire) -> list[int]:
        statuses: list[int] = []
        while statuses.count(200) < 25:
            got = wire.ask(b"GET", b"/keys/n")
            new = b"%d" % (int(got.body) + 1)
            statuses.append(wire.ask(b"PUT", b"/keys/n", new, b"If-Match: %b\r\n" % got.headers[b"etag"]).status)
        return statuses

    statuses = [status for each in all_at_once([partial(count, wire) for wire in wires]) for status in each]
    assert wires[0].ask(b"GET", b"/keys/n").body == b"200"
    assert set(statuses) == {200, 412}


def test_only_one_of_many_clients_creates_a_key(wires: list[Wire]) -> None:
    for number in range(20):
        path = b"/keys/k%d" % number
        headers = b"If-None-Match: *\r\n" if number % 2 else b""
        query = b"" if number % 2 else b"?nx"
        asked = [partial(wire.ask, b"PUT", path + query, b"v", headers) for wire in wires]
        assert sorted(answer.status for answer in all_at_once(asked)) == [201] + [412] * 7
