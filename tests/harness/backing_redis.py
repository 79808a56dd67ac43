"""A server in front of a backing Redis, and requests to both."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from common.resp_client import encode_request
from common.text_args import split_args
from tests.harness.processes import Peer
from tests.harness.redis_server import HOST, RedisServer, find_redis
from tests.harness.resp_wire import Reply, read_reply
from tests.harness.waiting import TIMEOUT, wait_until

SHORT = "1"
"""``--backend-timeout`` of servers whose backing Redis fails in the test."""

UNAVAILABLE = b"-ERR backend unavailable: "
TIMED_OUT = UNAVAILABLE + b"timed out "

StartRedis = Callable[..., RedisServer]


def new_redis(**settings: str) -> RedisServer:
    """Start a real Redis. Skip the test if none is installed."""
    found = find_redis()
    if found is None:
        pytest.skip("redis-server is not installed")
    return RedisServer(*found, **settings)


def backend(redis: RedisServer, *options: str) -> list[str]:
    """Return the options of a server in front of this Redis."""
    return ["--port", "0", "--backend", f"redis://{HOST}:{redis.port}/0", *options]


def request(line: str) -> bytes:
    """Encode a line as a RESP request."""
    return encode_request(split_args(line.encode()))


def execute(peer: Peer, line: str) -> Reply:
    """Send a line as a RESP request. Return the bytes of the reply."""
    peer.send(request(line))
    return read_reply(peer)


def execute_each(peer: Peer, *lines: str) -> list[Reply]:
    """Send lines one after the other. Return the bytes of the replies."""
    return [execute(peer, line) for line in lines]


def is_unavailable(reply: Reply) -> bool:
    """Return whether this is the error of a backing server that is down or too slow."""
    return isinstance(reply, bytes) and reply.startswith(UNAVAILABLE)


def wait_for_reply(peer: Peer, line: str, expected: Reply) -> None:
    """Repeat a command until it gets this reply. Until then every reply must be an error of the backing server."""

    def replied() -> bool:
        reply = execute(peer, line)
        assert reply == expected or is_unavailable(reply), reply
        return reply == expected

    wait_until(replied, f"{line} gets its reply", TIMEOUT)


def info(peer: Peer, section: str) -> dict[str, str]:
    """Return a section of INFO."""
    reply = execute(peer, f"INFO {section}")
    assert isinstance(reply, bytes)
    lines = reply.decode().split("\r\n")[1:]
    return dict(line.split(":", 1) for line in lines if ":" in line)


def count_calls(redis: RedisServer, command: str) -> int:
    """Return how often a Redis has run a command since its last CONFIG RESETSTAT."""
    stats = info(redis.connect(), "commandstats").get(f"cmdstat_{command}", "calls=0,")
    return int(stats.removeprefix("calls=").partition(",")[0])
