"""Locks and rate limiters that send scripts, unchanged: each of them once, end to end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import redis

from server.app import Server
from server.settings import Settings
from tests.harness.npm import CheckWithNode
from tests.harness.waiting import TIMEOUT

pytest.importorskip("lupa", reason="the extra scripts is not installed")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(Settings(ports=(0,))) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    with redis.Redis(port=server.port, socket_timeout=TIMEOUT) as connected:
        connected.flushall()
        yield connected


@pytest.fixture
def url(server: Server, client: redis.Redis) -> str:
    return f"redis://127.0.0.1:{server.port}/0"


def imported(name: str) -> ModuleType:
    module: ModuleType = pytest.importorskip(name, reason=f"{name} is not installed")
    return module


def test_the_lock_of_redis_py(client: redis.Redis) -> None:
    lock, other = client.lock("name", timeout=10), client.lock("name", timeout=10)
    assert lock.acquire(blocking=False)
    assert not other.acquire(blocking=False)
    assert lock.extend(5)
    assert lock.reacquire()
    lock.release()
    assert other.acquire(blocking=False)
    lock.local.token = b"another"
    with pytest.raises(redis.exceptions.LockNotOwnedError):
        lock.release()


def test_redlock_py(server: Server, client: redis.Redis) -> None:
    redlock = imported("redlock").Redlock([{"host": "127.0.0.1", "port": server.port}], retry_count=1)
    lock = redlock.lock("resource", 10_000)
    assert lock
    assert not redlock.lock("resource", 10_000)
    redlock.unlock(lock)
    assert redlock.lock("resource", 10_000)


def test_python_redis_lock_as_far_as_it_uses_strings(client: redis.Redis) -> None:
    redis_lock = imported("redis_lock")
    lock = redis_lock.Lock(client, "name", expire=10)
    assert lock.acquire(blocking=False)
    assert not redis_lock.Lock(client, "name", expire=10).acquire(blocking=False)
    lock.extend(expire=20)
    assert client.ttl("lock:name") > 10
    with pytest.raises(redis.ResponseError, match="Unknown Redis command called from script"):
        lock.release()  # by a list


@pytest.mark.parametrize("strategy", ["FixedWindowRateLimiter", "SlidingWindowCounterRateLimiter"])
def test_limits(url: str, strategy: str) -> None:
    imported("limits")
    from limits import parse, strategies
    from limits.storage import storage_from_string

    storage = storage_from_string(url)
    limiter: Any = getattr(strategies, strategy)(storage)
    assert [limiter.hit(parse("2/hour"), "user") for _ in range(3)] == [True, True, False]
    assert limiter.get_window_stats(parse("2/hour"), "user").remaining == 0
    assert storage.reset()
    assert limiter.hit(parse("2/hour"), "user")


def test_flask_limiter(url: str) -> None:
    imported("flask_limiter")
    from flask import Flask
    from flask_limiter import Limiter

    app = Flask("application")
    Limiter(lambda: "user", app=app, storage_uri=url, default_limits=["2 per hour"])
    app.add_url_rule("/", view_func=lambda: "fine")
    browser = app.test_client()
    assert [browser.get("/").status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_slowapi(url: str) -> None:
    imported("slowapi")
    httpx = imported("httpx")
    from slowapi import Limiter, _rate_limit_exceeded_handler
    from slowapi.errors import RateLimitExceeded
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    limiter = Limiter(key_func=lambda: "user", storage_uri=url)

    @limiter.limit("2/hour")
    async def home(request: Any) -> PlainTextResponse:
        return PlainTextResponse("fine")

    app = Starlette(routes=[Route("/", home)])
    app.state.limiter = limiter
    app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)

    async def statuses() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as browser:
            return [(await browser.get("/")).status_code for _ in range(3)]

    assert asyncio.run(statuses()) == [200, 200, 429]


def test_packages_for_node(check_with_node: CheckWithNode) -> None:
    """redlock, rate-limiter-flexible, @fastify/rate-limit, express-rate-limit with rate-limit-redis, @upstash/lock."""
    with Server(Settings(ports=(0,), http_port=0)) as server:
        assert server.http_url is not None
        http_port = server.http_url.rpartition(":")[2].rstrip("/")
        check_with_node(Path(__file__).parent / "scripts" / "check.cjs", server.port, http_port)
