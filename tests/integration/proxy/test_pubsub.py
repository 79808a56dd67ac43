"""Publish/subscribe in front of a backing Redis: publishing is forwarded, and subscribing is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from common.resp_client import encode_request
from tests.harness.backing_redis import StartRedis, backend, execute, execute_each
from tests.harness.http_wire import new_http_client
from tests.harness.processes import Peer, ServerProcess, StartServer
from tests.harness.redis_server import RedisServer
from tests.harness.resp_wire import Aggregate, payload, read_reply
from tests.harness.waiting import wait_until


@pytest.fixture
def subscriber(redis: RedisServer, direct: Peer) -> Iterator[Peer]:
    """The only subscriber of the backing Redis."""
    peer = redis.connect()
    peer.send(encode_request([b"SUBSCRIBE", b"news"]) + encode_request([b"SSUBSCRIBE", b"shard"]))
    assert [type(read_reply(peer)) for _ in range(2)] == [Aggregate, Aggregate]
    yield peer
    peer.close()
    wait_until(lambda: execute(direct, "PUBLISH news x") == b":0\r\n", "the subscription has ended")


def items(peer: Peer) -> list[bytes]:
    push = read_reply(peer)
    assert isinstance(push, Aggregate)
    return [payload(item) for item in push.items]


def test_messages_are_published_on_the_backing_server(peer: Peer, subscriber: Peer) -> None:
    assert execute(peer, "PUBLISH news hello") == b":1\r\n"
    assert items(subscriber) == [b"message", b"news", b"hello"]
    assert execute(peer, "SPUBLISH shard hello") == b":1\r\n"
    assert items(subscriber) == [b"smessage", b"shard", b"hello"]
    assert execute(peer, "PUBLISH other x") == b":0\r\n"


def test_pubsub_shows_the_subscriptions_of_the_backing_server(peer: Peer, subscriber: Peer) -> None:
    channels, numbers, patterns = execute_each(peer, "PUBSUB CHANNELS", "PUBSUB NUMSUB news", "PUBSUB NUMPAT")
    assert channels == Aggregate(b"*1\r\n", [b"$4\r\nnews\r\n"])
    assert numbers == Aggregate(b"*2\r\n", [b"$4\r\nnews\r\n", b":1\r\n"])
    assert patterns == b":0\r\n"


def test_a_message_of_a_transaction_is_published_at_exec(peer: Peer, subscriber: Peer) -> None:
    execute_each(peer, "MULTI", "PUBLISH news later", "INCR n")
    assert execute(peer, "PUBSUB NUMPAT") == b"+QUEUED\r\n"
    assert execute(peer, "EXEC") == Aggregate(b"*3\r\n", [b":1\r\n", b":1\r\n", b":0\r\n"])
    assert items(subscriber) == [b"message", b"news", b"later"]


@pytest.mark.parametrize("command", ["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "CLIENT TRACKING"])
def test_a_subscription_is_refused(peer: Peer, command: str) -> None:
    error = f"-ERR {command} needs the embedded store, and this server has a backing Redis\r\n"
    assert execute(peer, f"{command} on") == error.encode()
    assert execute(peer, "PING") == b"+PONG\r\n"


def test_keyspace_notifications_are_refused(peer: Peer) -> None:
    reply = execute(peer, "CONFIG SET notify-keyspace-events KEA")
    assert isinstance(reply, bytes)
    assert b"the backing Redis stores the data" in reply


def test_over_http_a_subscription_is_refused_and_a_message_is_forwarded(
    redis: RedisServer, subscriber: Peer, start_server: StartServer
) -> None:
    pytest.importorskip("httptools", reason="the extra http is not installed")
    server = start_server(*backend(redis, "--http-port", "0"), ports=2)
    with new_http_client(server.http_url) as http:
        got = http.get("/subscribe?channel=news")
        assert (got.status_code, got.json()["error"].split()[1]) == (400, "SUBSCRIBE")
        assert http.post("/", json=["PUBLISH", "news", "x"]).json() == {"result": 1}
        assert items(subscriber) == [b"message", b"news", b"x"]


def test_with_a_cache_messages_are_forwarded_too(
    redis: RedisServer, subscriber: Peer, start_server: StartServer
) -> None:
    proxy = start_server(*backend(redis, "--cache-keys", "10"))
    assert execute(proxy.connect(), "PUBLISH news x") == b":1\r\n"
    assert items(subscriber) == [b"message", b"news", b"x"]


def test_a_backing_server_that_is_down_is_an_error(start_redis: StartRedis, start_server: StartServer) -> None:
    redis = start_redis()
    proxy: ServerProcess = start_server(*backend(redis))
    redis.kill()
    reply = execute(proxy.connect(), "PUBLISH news x")
    assert isinstance(reply, bytes)
    assert reply.startswith(b"-ERR backend unavailable")
