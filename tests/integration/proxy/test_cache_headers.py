"""X-Cache and Age: what an HTTP client learns about the cache in front of the backing Redis."""

from __future__ import annotations

import httpx
import pytest

from tests.harness.backing_redis import backend, execute
from tests.harness.http_wire import new_http_client
from tests.harness.processes import Peer, ServerProcess, StartServer
from tests.harness.redis_server import RedisServer

pytest.importorskip("httptools", reason="the extra http is not installed")


def start(start_server: StartServer, redis: RedisServer, *options: str) -> ServerProcess:
    return start_server(*backend(redis, *options), "--http-port", "0", ports=2)


def headers(server: ServerProcess, method: str, path: str, **fields: str) -> tuple[str | None, str | None]:
    """Send a request. Return X-Cache and Age of the response."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    response = httpx.request(method, server.http_url + path, headers=named)
    return response.headers.get("x-cache"), response.headers.get("age")


def test_a_get_is_a_miss_and_then_a_hit_with_its_age(
    redis: RedisServer, direct: Peer, start_server: StartServer
) -> None:
    server = start(start_server, redis, "--cache-ttl", "3600")
    execute(direct, "SET foo bar")
    assert headers(server, "GET", "/keys/foo") == ("MISS", None)
    for method, path in (("GET", "/keys/foo"), ("HEAD", "/keys/foo"), ("GET", "/get/foo")):
        status, age = headers(server, method, path)
        assert status == "HIT"
        assert age is not None
        assert 0 <= int(age) < 3600
    assert headers(server, "GET", "/keys/foo", if_none_match="*")[0] == "HIT"
    assert headers(server, "GET", "/keys/absent") == ("MISS", None)


def test_a_write_makes_the_next_get_a_miss(redis: RedisServer, start_server: StartServer) -> None:
    server = start(start_server, redis, "--cache-ttl", "3600")
    assert headers(server, "PUT", "/keys/foo") == (None, None)
    assert headers(server, "GET", "/keys/foo") == ("MISS", None)
    assert headers(server, "GET", "/keys/foo")[0] == "HIT"
    assert headers(server, "PUT", "/keys/foo", if_match="*") == (None, None)
    assert headers(server, "GET", "/keys/foo") == ("MISS", None)


def test_requests_that_no_cache_can_serve_have_no_such_headers(
    redis: RedisServer, direct: Peer, start_server: StartServer
) -> None:
    execute(direct, "SET foo bar")
    cached = start(start_server, redis, "--cache-ttl", "3600")
    for path in ("/keys", "/strlen/foo", "/healthz", "/compact"):
        assert headers(cached, "GET", path) == (None, None)
    without = start(start_server, redis)
    assert headers(without, "GET", "/keys/foo") == (None, None)


def test_the_headers_belong_to_one_request_of_a_connection(
    redis: RedisServer, direct: Peer, start_server: StartServer
) -> None:
    execute(direct, "SET foo bar")
    server = start(start_server, redis, "--cache-ttl", "3600")
    with new_http_client(server.http_url) as http:
        assert http.get("/keys/foo").headers["x-cache"] == "MISS"
        assert "x-cache" not in http.get("/healthz").headers
