"""Two passwords: the server's own in front, and that of the backing Redis in its URL or in the environment."""

from __future__ import annotations

import pytest

from tests.harness.backing_redis import StartRedis, backend, execute
from tests.harness.http_wire import new_http_client, start_with_http
from tests.harness.processes import ServerProcess, StartServer
from tests.harness.redis_server import HOST, RedisServer

OWN, BACKENDS = "own-password", "password-of-the-backend"
NOT_AUTHENTICATED = b"-NOAUTH Authentication required.\r\n"
WRONG_PASSWORD = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"


@pytest.fixture
def guarded_redis(start_redis: StartRedis) -> RedisServer:
    """A backing Redis with a password, which is set while it runs."""
    redis = start_redis()
    peer = redis.connect()
    assert execute(peer, f"CONFIG SET requirepass {BACKENDS}") == b"+OK\r\n"
    assert execute(redis.connect(), "PING") == NOT_AUTHENTICATED
    return redis


@pytest.fixture
def proxy(start_server: StartServer, guarded_redis: RedisServer) -> ServerProcess:
    url = f"redis://:{BACKENDS}@{HOST}:{guarded_redis.port}/0"
    return start_server("--port", "0", "--backend", url, "--cache-ttl", "30", KVLINE_PASSWORD=OWN)


def test_a_client_needs_the_servers_own_password(proxy: ServerProcess) -> None:
    peer = proxy.connect(authenticated=False)
    assert execute(peer, "SET k v") == NOT_AUTHENTICATED
    assert execute(peer, f"AUTH {BACKENDS}") == WRONG_PASSWORD
    assert execute(peer, "GET k") == NOT_AUTHENTICATED
    assert execute(peer, f"AUTH {OWN}") == b"+OK\r\n"
    assert execute(peer, "SET k v") == b"+OK\r\n"
    assert execute(peer, "GET k") == b"$1\r\nv\r\n"


def test_cached_values_need_the_password_too(proxy: ServerProcess) -> None:
    friend, stranger = proxy.connect(), proxy.connect(authenticated=False)
    assert friend.ask(b"SET k v") == b"OK"
    assert [friend.ask(b"GET k") for _ in range(2)] == [b"v", b"v"]
    assert execute(stranger, "GET k") == NOT_AUTHENTICATED


def test_a_transaction_needs_the_password(proxy: ServerProcess) -> None:
    peer = proxy.connect(authenticated=False)
    for line in ("WATCH k", "MULTI", "SET k v", "EXEC"):
        assert execute(peer, line) == NOT_AUTHENTICATED
    friend = proxy.connect()
    assert [friend.ask(line) for line in (b"MULTI", b"SET k v", b"EXEC")] == [b"OK", b"QUEUED", b"1) OK"]


def test_a_password_that_is_set_here_leaves_the_backing_redis_as_it_is(
    start_server: StartServer, start_redis: StartRedis
) -> None:
    redis = start_redis()
    proxy = start_server(*backend(redis))
    assert proxy.connect().ask(b"CONFIG SET requirepass " + OWN.encode()) == b"OK"
    assert execute(proxy.connect(), "GET k") == NOT_AUTHENTICATED
    assert execute(redis.connect(), "GET k") == b"$-1\r\n"


def test_a_backend_that_refuses_its_password_is_unavailable_and_not_an_error_of_the_client(
    start_server: StartServer, guarded_redis: RedisServer
) -> None:
    proxy = start_server(*backend(guarded_redis), KVLINE_PASSWORD=OWN, KVLINE_BACKEND_PASSWORD="wrong")
    reply = execute(proxy.connect(), "GET k")
    assert isinstance(reply, bytes)
    assert reply.startswith(b"-ERR backend unavailable: ")
    assert "wrong" not in proxy.log


def test_neither_password_is_shown(start_server: StartServer, guarded_redis: RedisServer) -> None:
    url = f"redis://:{BACKENDS}@{HOST}:{guarded_redis.port}/0"
    proxy = start_with_http(
        start_server, "--log-level", "debug", KVLINE_BACKEND=url, KVLINE_PASSWORD=OWN, KVLINE_PASSWORD_FILE=""
    )
    with new_http_client(proxy.http_url) as client:
        assert client.get("/get/k").status_code == 401
        client.headers["Authorization"] = f"Bearer {OWN}"
        shown = "".join(
            client.post("/", json=command).text
            for command in (["INFO", "everything"], ["CONFIG", "GET", "*"], ["CLIENT", "LIST"], ["SLOWLOG", "GET"])
        )
    assert "requirepass" in shown
    for password in (OWN, BACKENDS):
        assert password not in shown
        assert password not in proxy.log
