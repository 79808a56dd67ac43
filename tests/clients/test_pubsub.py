"""Publish/subscribe with unchanged clients: redis-py, socket.io's adapter."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import redis
import redis.asyncio

from tests.clients.conftest import Connect
from tests.harness.npm import CheckWithNode
from tests.harness.processes import ServerProcess
from tests.harness.waiting import TIMEOUT, wait_until


def next_message(pubsub: Any) -> dict[str, Any]:
    message: dict[str, Any] | None = None
    deadline = time.monotonic() + TIMEOUT
    while message is None and time.monotonic() < deadline:
        message = pubsub.get_message(timeout=1)
    assert message is not None
    return message


def test_redis_py_receives_messages_of_channels_and_patterns(server: ServerProcess, connect_blocking: Connect) -> None:
    client = connect_blocking(server.port)
    pubsub = client.pubsub()
    pubsub.subscribe("news", b"\xff")
    pubsub.psubscribe("n*")
    assert [next_message(pubsub)["type"] for _ in range(3)] == ["subscribe", "subscribe", "psubscribe"]
    assert client.publish("news", "hello") == 2
    assert next_message(pubsub) == {"type": "message", "pattern": None, "channel": b"news", "data": b"hello"}
    assert next_message(pubsub) == {"type": "pmessage", "pattern": b"n*", "channel": b"news", "data": b"hello"}
    assert sorted(client.pubsub_channels()) == [b"news", b"\xff"]
    assert client.pubsub_numsub("news", "none") == [(b"news", 1), (b"none", 0)]
    assert client.pubsub_numpat() == 1
    pubsub.ping("are you there")
    assert next_message(pubsub)["type"] == "pong"
    pubsub.unsubscribe()
    pubsub.punsubscribe()
    assert {next_message(pubsub)["type"] for _ in range(3)} == {"unsubscribe", "punsubscribe"}
    assert client.publish("news", "gone") == 0
    pubsub.close()


def test_redis_py_runs_handlers_in_a_thread(server: ServerProcess, connect_blocking: Connect) -> None:
    client = connect_blocking(server.port)
    received: list[bytes] = []
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(work=lambda message: received.append(message["data"]))
    thread = pubsub.run_in_thread(sleep_time=0.05)
    try:
        for number in range(100):
            assert client.publish("work", number) == 1
        wait_until(lambda: len(received) == 100, "every message has arrived")
        assert received == [b"%d" % number for number in range(100)]
    finally:
        thread.stop()
        thread.join()
        pubsub.close()


def test_redis_py_asyncio_iterates_over_messages(server: ServerProcess, protocol: int) -> None:
    async def scenario() -> list[bytes]:
        options = {"port": server.port, "protocol": protocol, "socket_timeout": TIMEOUT}
        async with redis.asyncio.Redis(**options) as client, client.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.psubscribe("jobs:*")
            while not await client.pubsub_numpat():
                await pubsub.get_message(timeout=0.01)
            for number in range(10):
                await client.publish(f"jobs:{number}", number)
            received: list[bytes] = []
            async for message in pubsub.listen():
                received.append(message["data"])
                if len(received) == 10:
                    break
            return received

    assert asyncio.run(scenario()) == [b"%d" % number for number in range(10)]


def test_redis_py_receives_keyspace_events(server: ServerProcess, connect_blocking: Connect) -> None:
    client = connect_blocking(server.port)
    client.config_set("notify-keyspace-events", "KEA")
    try:
        pubsub = client.pubsub(ignore_subscribe_messages=True)
        pubsub.psubscribe("__keyspace@0__:user:*")
        pubsub.get_message(timeout=TIMEOUT)
        client.set("user:1", "a", ex=100)
        client.delete("user:1")
        assert [next_message(pubsub)["data"] for _ in range(3)] == [b"set", b"expire", b"del"]
        pubsub.close()
    finally:
        client.config_set("notify-keyspace-events", "")


def test_socket_io_sends_rooms_messages_between_two_servers(
    server: ServerProcess, check_with_node: CheckWithNode
) -> None:
    check_with_node(Path(__file__).parent / "socketio" / "check.cjs", server.port)
