"""Fixtures: one pair of servers for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.processes import ServerProcess
from tests.harness.redis_server import RedisServer, find_redis
from tests.harness.resp_wire import Servers


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """Start kvline and Redis. After the tests kvline must be healthy."""
    found = find_redis()
    if found is None:
        pytest.skip("no Redis is installed to compare with")
    redis = RedisServer(*found)
    try:
        kvline = ServerProcess()
        try:
            yield Servers(kvline, redis)
            kvline.check()
        finally:
            kvline.close()
    finally:
        redis.close()
