"""A Redis and a server in front of it, shared by all tests that do not stop them."""

from __future__ import annotations

from collections.abc import Iterator

import cachetools as _cachetools  # the extra proxy: without it the tests of this folder are skipped
import pytest
import redis as _redis

from tests.harness.backing_redis import StartRedis, backend, execute, new_redis
from tests.harness.processes import Peer, ServerProcess, start_server
from tests.harness.redis_server import RedisServer

__all__ = ["start_server"]


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    redis = new_redis()
    yield redis
    redis.close()


@pytest.fixture(scope="session")
def shared_proxy(shared_redis: RedisServer) -> Iterator[ServerProcess]:
    server = ServerProcess(*backend(shared_redis))
    yield server
    server.close()


@pytest.fixture
def redis(shared_redis: RedisServer) -> RedisServer:
    """The backing Redis, empty."""
    assert execute(shared_redis.connect(), "FLUSHALL") == b"+OK\r\n"
    return shared_redis


@pytest.fixture
def proxy(redis: RedisServer, shared_proxy: ServerProcess) -> Iterator[ServerProcess]:
    """A server in front of it. At the end of the test it must still work."""
    yield shared_proxy
    shared_proxy.check()
    shared_proxy.close_peers()


@pytest.fixture
def peer(proxy: ServerProcess) -> Peer:
    return proxy.connect()


@pytest.fixture
def direct(redis: RedisServer) -> Peer:
    """A connection to the backing Redis itself."""
    return redis.connect()


@pytest.fixture
def start_redis() -> Iterator[StartRedis]:
    """Start Redis servers for one test."""
    started: list[RedisServer] = []

    def start(**settings: str) -> RedisServer:
        started.append(new_redis(**settings))
        return started[-1]

    yield start
    for each in started:
        each.close()
