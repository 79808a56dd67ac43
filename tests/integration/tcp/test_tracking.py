"""CLIENT TRACKING over sockets, with each kind of scheduler."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from common.resp_client import encode_request
from tests.harness.processes import Peer, ServerProcess, StartServer
from tests.harness.resp_wire import Aggregate, Reply, payload, read_reply
from tests.harness.waiting import all_at_once

pytestmark = pytest.mark.every_scheduler

KEYS = [b"key%d" % number for number in range(8)]
CACHES = 3
WRITERS = 2
ROUNDS = 300


@pytest.fixture
def peers(server: ServerProcess) -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(peers: ExitStack, server: ServerProcess, *requests: bytes) -> Peer:
    """Connect, and send requests, whose arguments are separated by blanks."""
    peer = Peer(server.port)
    peers.callback(peer.close)
    for request in requests:
        ask(peer, *request.split())
    return peer


def ask(peer: Peer, *args: bytes) -> Reply:
    peer.send(encode_request(args))
    return read_reply(peer)


def is_push(reply: Reply) -> bool:
    return isinstance(reply, Aggregate) and reply.header.startswith(b">")


class Cache:
    """A client that caches what it reads until it is invalidated."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.values: dict[bytes, Reply] = {}

    def read(self, key: bytes) -> None:
        self.values[key] = self.ask(b"GET", key)

    def ask(self, *args: bytes) -> Reply:
        """Return the reply to a request, after the invalidations that are sent before it."""
        self._peer.send(encode_request(args))
        while is_push(reply := read_reply(self._peer)):
            assert isinstance(reply, Aggregate)
            (keys,) = reply.items[1:]
            assert isinstance(keys, Aggregate)
            for key in keys.items:
                self.values.pop(payload(key), None)
        return reply


@pytest.mark.parametrize("options", [b"", b"BCAST", b"NOLOOP"], ids=["default", "BCAST", "NOLOOP"])
def test_stress_caches_of_clients_are_not_stale_after_the_last_change(
    server: ServerProcess, peers: ExitStack, options: bytes
) -> None:
    caches = [Cache(connect(peers, server, b"HELLO 3", b"CLIENT TRACKING ON " + options)) for _ in range(CACHES)]

    def read(cache: Cache, seed: int) -> None:
        source = random.Random(seed)
        for _ in range(ROUNDS):
            cache.read(source.choice(KEYS))

    def write(seed: int) -> None:
        source = random.Random(seed)
        writer = connect(peers, server)
        for _ in range(ROUNDS // 10):
            keys = source.choices(KEYS, k=10)
            writer.send(b"".join(encode_request([b"INCR", key]) for key in keys))
            for _ in keys:
                read_reply(writer)

    all_at_once(
        [partial(read, cache, seed) for seed, cache in enumerate(caches)]
        + [partial(write, 100 + number) for number in range(WRITERS)]
    )
    other = connect(peers, server)
    for cache in caches:
        # The writers have got their replies, so all invalidations come before the reply to a request from now on.
        assert cache.ask(b"PING") == b"+PONG\r\n"
        assert all(ask(other, b"GET", key) == value for key, value in cache.values.items())


def test_an_invalidation_arrives_at_a_client_that_sends_nothing(server: ServerProcess, peers: ExitStack) -> None:
    tracker, writer = connect(peers, server, b"HELLO 3", b"CLIENT TRACKING ON", b"GET k"), connect(peers, server)
    assert writer.ask(b"SET k 1") == b"OK"
    assert read_reply(tracker) == Aggregate(
        b">2\r\n", [b"$10\r\ninvalidate\r\n", Aggregate(b"*1\r\n", [b"$1\r\nk\r\n"])]
    )
    assert ask(tracker, b"GET", b"k") == b"$1\r\n1\r\n"
    assert writer.ask(b"SET k 1 PX 1") == b"OK"
    assert is_push(read_reply(tracker))


def test_invalidations_are_redirected_to_an_idle_client_with_resp3(
    server: ServerProcess, peers: ExitStack, scheduler: dict[str, str]
) -> None:
    target = connect(peers, server, b"HELLO 3")
    client_id = ask(target, b"CLIENT", b"ID")
    assert isinstance(client_id, bytes)
    tracker = connect(peers, server)
    redirect = b"CLIENT", b"TRACKING", b"ON", b"REDIRECT", client_id[1:-2]
    if scheduler["KVLINE_IO_THREADS"] == "0":  # the thread of the target waits for input, and could not be woken
        refused = ask(tracker, *redirect)
        assert isinstance(refused, bytes)
        assert refused.startswith(b"-ERR The client ID you want redirect to has to subscribe")
        ask(target, b"SUBSCRIBE", b"x")
    assert ask(tracker, *redirect) == b"+OK\r\n"
    for key in (b"a", b"b"):
        ask(tracker, b"GET", key)
        ask(tracker, b"SET", key, b"1")
        push = read_reply(target)
        assert isinstance(push, Aggregate)
        assert push.items[1] == Aggregate(b"*1\r\n", [b"$1\r\n%b\r\n" % key])
    assert ask(target, b"PING") == b"+PONG\r\n"


def test_backpressure_a_tracking_client_that_never_reads_is_closed(start_server: StartServer) -> None:
    server = start_server("--port", "0", "--client-output-buffer-limit", "pubsub 2mb 0 0")
    with ExitStack() as peers:
        connect(peers, server, b"HELLO 3", b"CLIENT TRACKING ON BCAST")
        quick = Cache(connect(peers, server, b"HELLO 3", b"CLIENT TRACKING ON BCAST"))
        writer = connect(peers, server)
        name = b"x" * 100_000
        clients = b"\r\ntracking_clients:2\r\n"
        # The kernel's buffers take some megabytes first.
        while clients in (info := quick.ask(b"INFO", b"clients")):
            assert ask(writer, b"SET", name, b"1") == b"+OK\r\n"
        assert b"\r\ntracking_clients:1\r\n" in info
