"""A real server, and redis-py in every way of using it: blocking and asyncio, in RESP2 and RESP3."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.asyncio.retry
import redis.backoff
import redis.retry

from tests.harness.npm import check_with_node, node_modules
from tests.harness.processes import server, shared_server, start_server
from tests.harness.waiting import TIMEOUT

__all__ = ["check_with_node", "node_modules", "server", "shared_server", "start_server"]

Connect = Callable[..., Any]


class Waiting:
    """An asyncio client whose methods wait for their result, so that one test serves both kinds of client."""

    def __init__(self, client: redis.asyncio.Redis, runner: asyncio.Runner) -> None:
        self._client = client
        self._runner = runner

    def __getattr__(self, name: str) -> Callable[..., object]:
        method = getattr(self._client, name)

        async def wait(*args: object, **options: object) -> object:
            outcome = method(*args, **options)
            if inspect.isasyncgen(outcome):
                return [each async for each in outcome]
            return await outcome

        return lambda *args, **options: self._runner.run(wait(*args, **options))


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def protocol(request: pytest.FixtureRequest) -> int:
    version: int = request.param
    return version


@pytest.fixture
def connect_blocking(protocol: int) -> Iterator[Connect]:
    """Make blocking clients, which try nothing twice; they are closed in the end."""
    made: list[redis.Redis] = []

    def connect(port: int, **options: Any) -> redis.Redis:
        retry = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
        settings = {"port": port, "protocol": protocol, "socket_timeout": TIMEOUT, "retry": retry} | options
        made.append(redis.Redis(**settings))
        return made[-1]

    yield connect
    for client in made:
        client.close()


@pytest.fixture
def connect_asyncio(protocol: int) -> Iterator[Connect]:
    """Make asyncio clients, each wrapped in `Waiting`; they try nothing twice, and are closed in the end."""
    made: list[redis.asyncio.Redis] = []
    with asyncio.Runner() as runner:

        def connect(port: int, **options: Any) -> Waiting:
            retry = redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0)
            settings = {"port": port, "protocol": protocol, "socket_timeout": TIMEOUT, "retry": retry} | options
            made.append(redis.asyncio.Redis(**settings))
            return Waiting(made[-1], runner)

        yield connect
        for client in made:
            runner.run(client.aclose())


@pytest.fixture(params=["blocking", "asyncio"])
def connect(request: pytest.FixtureRequest, protocol: int) -> Connect:
    """Make clients of both kinds in turn; both have the blocking one's methods."""
    made: Connect = request.getfixturevalue(f"connect_{request.param}")
    return made


@pytest.fixture
def client(server: Any, connect: Connect) -> Any:
    """A client of either kind, on the shared server, which is empty."""
    return connect(server.port)
