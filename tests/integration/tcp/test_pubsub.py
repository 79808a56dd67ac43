"""Publish/subscribe over sockets, with each kind of scheduler."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from common.resp_client import encode_request
from tests.harness.processes import Peer, ServerProcess, StartServer
from tests.harness.resp_wire import Aggregate, payload, read_reply
from tests.harness.waiting import all_at_once, wait_until

pytestmark = pytest.mark.every_scheduler

PUBLISHERS = 4
SUBSCRIBERS = 6
MESSAGES = 400


@pytest.fixture
def peers(server: ServerProcess) -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(peers: ExitStack, server: ServerProcess) -> Peer:
    peer = Peer(server.port)
    peers.callback(peer.close)
    return peer


def subscribe(peer: Peer, *args: bytes) -> None:
    peer.send(encode_request(args))
    for _ in args[1:]:
        assert isinstance(read_reply(peer), Aggregate)


def publish(peer: Peer, message: bytes) -> bytes:
    """Publish a message in RESP, and return the reply."""
    peer.send(encode_request([b"PUBLISH", b"a", message]))
    reply = read_reply(peer)
    assert isinstance(reply, bytes)
    return reply


def items(peer: Peer) -> list[bytes]:
    """Return the items of the next push."""
    push = read_reply(peer)
    assert isinstance(push, Aggregate), push
    return [payload(item) for item in push.items]


def test_a_message_arrives_at_a_subscriber_that_sends_nothing(server: ServerProcess, peers: ExitStack) -> None:
    subscriber, publisher = connect(peers, server), connect(peers, server)
    subscribe(subscriber, b"SUBSCRIBE", b"news")
    for number in range(3):
        assert publisher.ask(b"PUBLISH news %d" % number) == b"1"
        assert items(subscriber) == [b"message", b"news", b"%d" % number]
    subscriber.send(encode_request([b"UNSUBSCRIBE"]) + encode_request([b"PING"]))
    read_reply(subscriber)
    assert read_reply(subscriber) == b"+PONG\r\n"


def test_stress_no_message_is_lost_and_all_subscribers_have_one_order(server: ServerProcess, peers: ExitStack) -> None:
    """Half of the subscribers use a pattern. Other clients come and go meanwhile, and one never reads."""
    subscribers = [connect(peers, server) for _ in range(SUBSCRIBERS)]
    for place, peer in enumerate(subscribers):
        subscribe(peer, *((b"SUBSCRIBE", b"work") if place % 2 else (b"PSUBSCRIBE", b"w*k")))
    received: list[list[bytes]] = [[] for _ in subscribers]
    has_ended = threading.Event()

    def publish_all(number: int) -> None:
        publisher = connect(peers, server)
        for start in range(0, MESSAGES, 50):
            batch = [encode_request([b"PUBLISH", b"work", b"%d %d" % (number, n)]) for n in range(start, start + 50)]
            publisher.send(b"".join(batch))
            for _ in batch:
                assert int(read_reply(publisher)[1:]) >= SUBSCRIBERS  # type: ignore[arg-type]

    def receive(place: int) -> None:
        for _ in range(PUBLISHERS * MESSAGES):
            received[place].append(items(subscribers[place])[-1])

    def come_and_go() -> None:
        while not has_ended.is_set():
            with socket.create_connection(("127.0.0.1", server.port)) as other:
                other.sendall(encode_request([b"SUBSCRIBE", b"work"]) + encode_request([b"PSUBSCRIBE", b"*"]))
                other.recv(100)

    coming = threading.Thread(target=come_and_go)
    coming.start()
    try:
        all_at_once(
            [lambda number=number: publish_all(number) for number in range(PUBLISHERS)]  # type: ignore[misc]
            + [lambda place=place: receive(place) for place in range(SUBSCRIBERS)]  # type: ignore[misc]
        )
    finally:
        has_ended.set()
        coming.join()
    assert all(messages == received[0] for messages in received), "all subscribers have the same order"
    for number in range(PUBLISHERS):
        own = [int(each.split()[1]) for each in received[0] if each.startswith(b"%d " % number)]
        assert own == list(range(MESSAGES)), "the messages of one publisher are in order"


def test_backpressure_a_subscriber_that_never_reads_delays_no_publisher_and_is_closed(
    start_server: StartServer,
) -> None:
    server = start_server("--port", "0", "--client-output-buffer-limit", "pubsub 2mb 0 0", "--log-level", "debug")
    with ExitStack() as peers:
        slow, quick, publisher = (connect(peers, server) for _ in range(3))
        subscribe(slow, b"SUBSCRIBE", b"a")
        subscribe(quick, b"SUBSCRIBE", b"a")
        message = b"x" * 100_000
        # The kernel's buffers take some megabytes first.
        while (receivers := publish(publisher, message)) == b":2\r\n":
            assert items(quick)[-1] == message
        assert receivers == b":1\r\n"
        assert items(quick)[-1] == message


def test_the_bytes_that_wait_for_a_slow_subscriber_are_sent_when_it_reads(
    server: ServerProcess, peers: ExitStack
) -> None:
    slow, publisher = connect(peers, server), connect(peers, server)
    subscribe(slow, b"SUBSCRIBE", b"a")
    message = b"x" * 100_000
    for number in range(60):
        assert publish(publisher, b"%d-%b" % (number, message)) == b":1\r\n"
    for number in range(60):
        assert items(slow)[-1] == b"%d-%b" % (number, message)


def test_10000_channels_of_one_client(server: ServerProcess, peers: ExitStack) -> None:
    subscriber, publisher = connect(peers, server), connect(peers, server)
    names = [b"channel-%d" % number for number in range(10_000)]
    subscribe(subscriber, b"SUBSCRIBE", *names)
    assert publisher.ask(b"PUBLISH channel-9999 x") == b"1"
    assert items(subscriber)[1] == b"channel-9999"
    subscriber.send(encode_request([b"UNSUBSCRIBE"]))
    for _ in names:
        assert isinstance(read_reply(subscriber), Aggregate)
    assert publisher.ask(b"PUBSUB NUMSUB channel-0") == b"1) channel-0"


def test_a_subscriber_that_is_killed_while_messages_are_published(server: ServerProcess, peers: ExitStack) -> None:
    publisher, killer = connect(peers, server), connect(peers, server)
    for _ in range(20):
        victim = connect(peers, server)
        subscribe(victim, b"SUBSCRIBE", b"a")
        publisher.send(b"PUBLISH a x\n" * 100)
        assert int(killer.ask(b"CLIENT KILL TYPE pubsub")) >= 1
        for _ in range(100):
            assert publisher.line().strip().isdigit()
    wait_until(lambda: publisher.ask(b"PUBLISH a x") == b"0", "no subscription is left")


@pytest.mark.parametrize("end", [b"QUIT\n", encode_request([b"QUIT"])])
def test_quit_ends_the_subscriptions(server: ServerProcess, peers: ExitStack, end: bytes) -> None:
    subscriber, publisher = connect(peers, server), connect(peers, server)
    subscribe(subscriber, b"SUBSCRIBE", b"a")
    subscriber.send(end)
    assert subscriber.rest() in (b"OK\n", b"+OK\r\n")
    wait_until(lambda: publisher.ask(b"PUBLISH a x") == b"0", "the subscription has ended")


def test_expired_keys_are_published_without_an_access(server: ServerProcess, peers: ExitStack) -> None:
    subscriber, client = connect(peers, server), connect(peers, server)
    assert client.ask(b"CONFIG SET notify-keyspace-events Ex") == b"OK"
    subscribe(subscriber, b"SUBSCRIBE", b"__keyevent@0__:expired")
    client.ask(b"SET k v PX 10")
    assert items(subscriber) == [b"message", b"__keyevent@0__:expired", b"k"]
    assert client.ask(b"CONFIG SET notify-keyspace-events ''") == b"OK"


def test_subscribers_are_disconnected_when_the_server_stops(start_server: StartServer) -> None:
    server = start_server()
    with ExitStack() as peers:
        subscriber = connect(peers, server)
        subscribe(subscriber, b"SUBSCRIBE", b"a")
        server.signal(signal.SIGTERM)
        assert subscriber.rest() == b""
    assert server.exit_status() == 0


def test_a_client_with_subscriptions_is_exempt_from_the_idle_timeout(start_server: StartServer) -> None:
    server = start_server("--port", "0", "--idle-timeout", "1")
    with ExitStack() as peers:
        subscriber, idle = connect(peers, server), connect(peers, server)
        subscribe(subscriber, b"SUBSCRIBE", b"a")
        assert idle.rest() == b"", "the other connection is closed"
        assert connect(peers, server).ask(b"PUBLISH a x") == b"1"
        assert items(subscriber) == [b"message", b"a", b"x"]
