"""A server with a backing Redis behind it, and how the tests talk to both."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from common.resp_client import encode_request
from common.text import split_args
from tests.harness.processes import TIMEOUT, Peer, wait_until
from tests.harness.redis_server import HOST, RedisServer, find_redis
from tests.harness.resp_wire import Reply, read_reply

SHORT = "1"
"""The time-out of servers whose backing Redis is going to fail."""

UNAVAILABLE = b"-ERR backend unavailable: "
TIMED_OUT = UNAVAILABLE + b"timed out "

StartRedis = Callable[..., RedisServer]


def new_redis(**settings: str) -> RedisServer:
    """Start a real Redis; skip the test where there is none."""
    found = find_redis()
    if found is None:
        pytest.skip("there is no redis-server here")
    return RedisServer(*found, **settings)


def backend(redis: RedisServer, *options: str) -> list[str]:
    """Return the options of a server in front of this Redis."""
    return ["--port", "0", "--backend", f"redis://{HOST}:{redis.port}/0", *options]


def request(line: str) -> bytes:
    """Write a line's words as a RESP request."""
    return encode_request(split_args(line.encode()))


def execute(peer: Peer, line: str) -> Reply:
    """Send the words of a line by RESP; return the reply's bytes."""
    peer.send(request(line))
    return read_reply(peer)


def calls(peer: Peer, *lines: str) -> list[Reply]:
    """Send the words of lines one after the other; return the replies' bytes."""
    return [execute(peer, line) for line in lines]


def is_unavailable(reply: Reply) -> bool:
    """Tell whether this is the error of a backing server that was not there, or too slow."""
    return isinstance(reply, bytes) and reply.startswith(UNAVAILABLE)


def wait_for(peer: Peer, line: str, expected: Reply) -> None:
    """Send a command until it gets this reply; until then only the errors of a missing backing server may come."""

    def answered() -> bool:
        reply = execute(peer, line)
        assert reply == expected or is_unavailable(reply), reply
        return reply == expected

    wait_until(answered, f"{line} is answered", TIMEOUT)


def figures(peer: Peer, section: str) -> dict[str, str]:
    """Return a section of INFO."""
    reply = execute(peer, f"INFO {section}")
    assert isinstance(reply, bytes)
    lines = reply.decode().split("\r\n")[1:]
    return dict(line.split(":", 1) for line in lines if ":" in line)


def calls_counted(redis: RedisServer, command: str) -> int:
    """Return how often a Redis has run a command since it was last asked to forget that."""
    told = figures(redis.connect(), "commandstats").get(f"cmdstat_{command}", "calls=0,")
    return int(told.removeprefix("calls=").partition(",")[0])
