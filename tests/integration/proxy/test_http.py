"""The backing Redis over HTTP, as a client of the running process sees it."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.harness.backing_redis import SHORT, StartRedis, backend, count_calls, execute, execute_each
from tests.harness.http_wire import new_http_client
from tests.harness.processes import Peer, ServerProcess, StartServer
from tests.harness.redis_server import HOST, RedisServer
from tests.harness.waiting import TIMEOUT, all_at_once, wait_until


def clients(server: ServerProcess) -> list[str]:
    """Return the lines of CLIENT LIST."""
    listed = execute(server.connect(), "CLIENT LIST")
    server.close_peers()
    assert isinstance(listed, bytes)
    return listed.strip().decode().splitlines()[1:]


NewClient = Callable[[ServerProcess], httpx.Client]

pytest.importorskip("httptools", reason="the extra http is not installed")


@pytest.fixture
def new_client() -> Iterator[NewClient]:
    """Return a function that makes HTTP clients. They are closed at the end of the test."""
    opened: list[httpx.Client] = []

    def new(server: ServerProcess) -> httpx.Client:
        opened.append(new_http_client(server.http_url))
        return opened[-1]

    yield new
    for each in opened:
        each.close()


def start(start_server: StartServer, redis: RedisServer, *options: str) -> ServerProcess:
    """Start a proxy with both listeners."""
    return start_server(*backend(redis, *options), "--http-port", "0", ports=2)


def test_http_get_reads_from_the_backing_server(
    redis: RedisServer, direct: Peer, start_server: StartServer, new_client: NewClient
) -> None:
    http = new_client(start(start_server, redis))
    execute_each(direct, "SET foo bar", r'SET odd/key "\xff\x00"')
    assert http.get("/keys/foo").content == b"bar"
    assert http.get("/keys/odd%2Fkey").content == b"\xff\x00"
    assert http.get("/keys/absent").status_code == 404
    execute(direct, "SET foo baz")
    assert http.get("/keys/foo").content == b"baz", "without a cache every GET asks the backing server"


def test_http_writes_reach_the_backing_server(
    redis: RedisServer, direct: Peer, start_server: StartServer, new_client: NewClient
) -> None:
    http = new_client(start(start_server, redis))
    assert http.put("/keys/a?ex=100", content=b"1").status_code == 201
    assert http.post("/keys/a/incr?by=4").text == "5"
    assert http.post("/multi-exec", json=[["INCR", "a"], ["SET", "b", "x"]]).json() == [{"result": 6}, {"result": "OK"}]
    assert execute_each(direct, "GET a", "GET b") == [b"$1\r\n6\r\n", b"$1\r\nx\r\n"]
    assert http.get("/compact").text.count("\n") == 2
    assert http.delete("/keys/a").status_code == 204
    assert execute(direct, "EXISTS a") == b":0\r\n"


def test_compare_and_set_sees_writes_on_the_backing_server(
    redis: RedisServer, direct: Peer, start_server: StartServer, new_client: NewClient
) -> None:
    http = new_client(start(start_server, redis, "--cache-keys", "10"))
    execute(direct, "SET k v")
    tag = http.get("/keys/k").headers["etag"]
    execute(direct, "SET k w")
    assert http.put("/keys/k", content=b"x", headers={"If-Match": tag}).status_code == 412
    assert execute(direct, "GET k") == b"$1\r\nw\r\n"


@pytest.mark.parametrize("headers", [{}, {"If-Match": "*"}], ids=["unconditional", "If-Match"])
@pytest.mark.parametrize("refused", ["multi", "exec"])
def test_a_put_whose_transaction_an_acl_refuses_writes_nothing(
    start_redis: StartRedis, start_server: StartServer, new_client: NewClient, refused: str, headers: dict[str, str]
) -> None:
    redis = start_redis()
    direct = redis.connect()
    execute_each(direct, f"ACL SETUSER limited on >pass ~* &* +@all -{refused}", "SET k old")
    url = f"redis://limited:pass@{HOST}:{redis.port}"
    http = new_client(start_server("--port", "0", "--backend", url, "--http-port", "0", ports=2))
    response = http.put("/keys/k", content=b"new", headers=headers)
    assert response.status_code == 400
    assert "NOPERM" in response.json()["error"]
    assert http.post("/multi-exec", json=[["SET", "k", "new"]]).status_code == 400
    assert execute(direct, "GET k") == b"$3\r\nold\r\n"


def test_idle_sessions_with_a_watch_do_not_shut_out_if_match(
    redis: RedisServer, start_server: StartServer, new_client: NewClient
) -> None:
    server = start(start_server, redis)
    http = new_client(server)
    assert http.put("/keys/k", content=b"1").status_code == 201
    for _ in range(60):
        assert execute(server.connect(), "WATCH k") == b"+OK\r\n"
    assert http.put("/keys/k", content=b"2", headers={"If-Match": "*"}).status_code == 200
    assert http.delete("/keys/k", headers={"If-None-Match": "*"}).status_code == 412


@pytest.mark.parametrize("ask", ["/keys/k", "/get/k"])
def test_a_cached_get_does_not_ask_the_backing_server(
    redis: RedisServer, direct: Peer, start_server: StartServer, new_client: NewClient, ask: str
) -> None:
    http = new_client(start(start_server, redis, "--cache-keys", "10", "--cache-ttl", "600"))
    execute_each(direct, "SET k v", "CONFIG RESETSTAT")
    first = http.get(ask).text
    execute(direct, "SET k changed")
    assert [http.get(ask).text for _ in range(5)] == [first] * 5
    assert http.post("/", json=["GET", "k"]).json() == {"result": "v"}
    assert count_calls(redis, "get") == 1


def test_entries_expire_after_the_ttl(
    redis: RedisServer, direct: Peer, start_server: StartServer, new_client: NewClient
) -> None:
    http = new_client(start(start_server, redis, "--cache-ttl", "0.2"))
    execute(direct, "SET k old")
    assert http.get("/keys/k").content == b"old"
    execute(direct, "SET k new")
    wait_until(lambda: http.get("/keys/k").content == b"new", "the entry has expired, however often it was read")


def test_a_full_cache_evicts_the_least_recently_used_key(
    redis: RedisServer, direct: Peer, start_server: StartServer, new_client: NewClient
) -> None:
    http = new_client(start(start_server, redis, "--cache-keys", "2", "--cache-ttl", "600"))
    execute(direct, "MSET a 1 b 1 c 1")
    for key in ("a", "b", "a", "c"):  # b is the least recently used key when c is added
        assert http.get(f"/keys/{key}").content == b"1"
    execute(direct, "MSET a 2 b 2 c 2")
    assert {key: http.get(f"/keys/{key}").text for key in ("a", "c", "b")} == {"a": "1", "c": "1", "b": "2"}


@pytest.mark.parametrize("connections", ["1", "8"], ids=["sequential", "parallel"])
def test_concurrent_clients_are_served(
    redis: RedisServer, direct: Peer, start_server: StartServer, new_client: NewClient, connections: str
) -> None:
    server = start(start_server, redis, "--backend-connections", connections)
    clients = [new_client(server) for _ in range(8)]

    def count_on(http: httpx.Client) -> None:
        for _ in range(25):
            assert http.post("/keys/n/incr").status_code == 200

    all_at_once([partial(count_on, each) for each in clients])
    assert execute(direct, "GET n") == b"$3\r\n200\r\n"


def test_one_client_too_many_is_503_with_retry_after(
    redis: RedisServer, start_server: StartServer, new_client: NewClient
) -> None:
    server = start(start_server, redis, "--max-clients", "1")
    first = new_client(server)
    assert first.get("/keys/k").status_code == 404
    refused = new_client(server).get("/keys/k")
    assert (refused.status_code, refused.json()) == (503, {"error": "ERR max number of clients reached"})
    assert int(refused.headers["retry-after"]) >= 1
    with socket.create_connection(("127.0.0.1", httpx.URL(server.http_url).port)) as silent:
        silent.settimeout(TIMEOUT)
        with suppress(ConnectionResetError):
            assert silent.recv(1) == b"", "a connection without a request is closed, too"
    first.close()
    wait_until(lambda: new_client(server).get("/keys/k").status_code == 404, "a new client is accepted again")


def test_a_backing_server_that_is_down_is_502_and_recovers(
    start_redis: StartRedis, start_server: StartServer, new_client: NewClient
) -> None:
    redis = start_redis()
    execute(redis.connect(), "SET kept v")
    http = new_client(start(start_server, redis, "--cache-keys", "10", "--cache-ttl", "600"))
    assert http.get("/keys/kept").content == b"v"
    redis.kill()
    for response in (http.get("/keys/k"), http.put("/keys/k", content=b"v"), http.post("/", json=["GET", "k"])):
        assert response.status_code == 502
        assert response.json()["error"].startswith("ERR backend unavailable: ")
    assert http.get("/keys/kept").content == b"v", "cached keys are served"
    assert http.get("/healthz").status_code == 200
    assert http.get("/metrics").status_code == 200
    redis.start_again()
    wait_until(lambda: http.get("/keys/k").status_code == 404, "the backing server is reached again")


def test_a_timeout_of_the_backing_server_is_504_while_cached_keys_are_served(
    start_redis: StartRedis, start_server: StartServer, new_client: NewClient
) -> None:
    redis = start_redis()
    execute(redis.connect(), "SET kept v")
    server = start(start_server, redis, "--backend-timeout", SHORT, "--cache-keys", "10", "--cache-ttl", "600")
    http = new_client(server)
    assert http.get("/keys/kept").content == b"v"
    execute(redis.connect(), "CLIENT PAUSE 60000")
    slow, quick = all_at_once([partial(http.get, "/keys/k"), partial(new_client(server).get, "/keys/kept")])
    assert (slow.status_code, quick.content) == (504, b"v")
    assert slow.json()["error"].startswith("ERR backend unavailable: timed out ")


def test_the_server_stops_cleanly_while_requests_wait_for_the_backing_server(
    start_redis: StartRedis, start_server: StartServer, new_client: NewClient
) -> None:
    redis = start_redis()
    options = ("--backend-timeout", "600", "--backend-connections", "1")
    server = start(start_server, redis, *options)
    http = new_client(server)
    assert http.get("/keys/k").status_code == 404
    execute(redis.connect(), "CLIENT PAUSE 600000")
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(new_client(server).get, "/keys/k") for _ in range(3)]
        wait_until(lambda: http.get("/healthz").status_code == 200 and len(clients(server)) == 5, "three requests wait")
        server.signal(signal.SIGTERM)
        assert server.exit_status() == 0
        assert all(each.exception() or each.result().status_code == 502 for each in waiting), "closed, or 502"
    assert "Traceback" not in server.log
    assert "ERROR" not in server.log


def test_metrics_have_no_key_counts_while_the_backing_server_is_down(
    start_redis: StartRedis, start_server: StartServer, new_client: NewClient
) -> None:
    redis = start_redis()
    execute(redis.connect(), "SET k v")
    http = new_client(start(start_server, redis))
    assert "\nkvline_keys 1.0\n" in http.get("/metrics").text
    redis.kill()
    metrics = http.get("/metrics").text
    assert "kvline_connections" in metrics
    assert "kvline_keys" not in metrics
    assert "kvline_expired_keys" not in metrics


def test_metrics_report_the_cache(
    redis: RedisServer, direct: Peer, start_server: StartServer, new_client: NewClient
) -> None:
    http = new_client(start(start_server, redis, "--cache-keys", "1", "--cache-ttl", "600"))
    execute(direct, "MSET a 1 b 1")
    for key in ("a", "a", "b"):
        http.get(f"/keys/{key}")
    families = list(text_string_to_metric_families(http.get("/metrics").text))
    figures = {sample.name: sample.value for family in families for sample in family.samples}
    counters = ("hits", "misses", "evictions", "expirations", "coalesced")
    assert [figures[f"kvline_cache_{name}_total"] for name in counters] == [1, 2, 1, 0, 0]
    assert figures["kvline_cache_keys"] == 1
    types = {family.name: family.type for family in families}
    names = [*(f"cache_{name}" for name in counters), "backend_unavailable", "backend_timed_out"]
    assert {types[f"kvline_{name}"] for name in names} == {"counter"}
    assert types["kvline_cache_keys"] == "gauge"
