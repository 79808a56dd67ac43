"""Transactions are atomic on the backing server, and every write there makes a watch dirty."""

from __future__ import annotations

import threading

import pytest

from common.resp_client import encode_request
from tests.harness.backing_redis import SHORT, StartRedis, backend, execute, execute_each, info, is_unavailable
from tests.harness.processes import Peer, ServerProcess, StartServer
from tests.harness.redis_server import RedisServer
from tests.harness.resp_wire import Aggregate, Reply
from tests.harness.waiting import wait_until

OK = b"+OK\r\n"
QUEUED = b"+QUEUED\r\n"
DIRTY = b"*-1\r\n"


def array(*items: Reply) -> Aggregate:
    return Aggregate(b"*%d\r\n" % len(items), list(items))


def test_a_transaction_is_atomic_on_the_backing_server(peer: Peer, redis: RedisServer) -> None:
    """Two counters are incremented together, many times. A reader of both never sees them differ."""
    seen: list[Reply] = []
    done = threading.Event()

    def look() -> None:
        direct = redis.connect()
        while not done.is_set():
            seen.append(execute(direct, "MGET a b"))

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(500):
            assert execute_each(peer, "MULTI", "INCR a", "INCR b")[1:] == [QUEUED, QUEUED]
            execute(peer, "EXEC")
    finally:
        done.set()
        looker.join()
    assert len(seen) > 1
    for each in seen:
        assert isinstance(each, Aggregate)
        assert each.items[0] == each.items[1]


def test_exec_returns_the_reply_of_each_command_in_order(peer: Peer, direct: Peer) -> None:
    execute(direct, "RPUSH list item")
    execute_each(peer, "MULTI", "SET key word", "INCR key", "GET list", "PING", "GET key", "EXISTS key", "COMPACT")
    assert execute(peer, "EXEC") == array(
        OK,
        b"-ERR value is not an integer or out of range\r\n",
        b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        b"+PONG\r\n",
        b"$4\r\nword\r\n",
        b":1\r\n",
        b"-ERR COMPACT can't run in a transaction on this backing server\r\n",
    )


def test_nothing_is_written_before_exec_or_after_discard(peer: Peer, direct: Peer) -> None:
    execute_each(peer, "MULTI", "SET key value")
    assert execute(direct, "EXISTS key") == b":0\r\n"
    assert execute(peer, "DISCARD") == OK
    assert execute(direct, "EXISTS key") == b":0\r\n"
    assert execute_each(peer, "MULTI", "EXEC") == [OK, array()]


@pytest.mark.parametrize("how", ["directly", "through the server"])
def test_a_write_makes_a_watch_dirty(peer: Peer, direct: Peer, proxy: ServerProcess, how: str) -> None:
    other = direct if how == "directly" else proxy.connect()
    assert execute(peer, "WATCH key") == OK
    assert execute(other, "SET key theirs") == OK
    assert execute_each(peer, "MULTI", "SET key ours", "EXEC") == [OK, QUEUED, DIRTY]
    assert execute(direct, "GET key") == b"$6\r\ntheirs\r\n"
    assert execute_each(peer, "MULTI", "SET key ours", "EXEC") == [OK, QUEUED, array(OK)]


def test_exec_runs_if_the_watch_is_clean(peer: Peer, direct: Peer) -> None:
    execute_each(peer, "WATCH a", "WATCH b", "GET a")
    execute(direct, "SET c 1")
    assert execute_each(peer, "MULTI", "SET a 1", "EXEC") == [OK, QUEUED, array(OK)]


@pytest.mark.parametrize("end", ["UNWATCH", "RESET", "MULTI|DISCARD", "MULTI|NONSENSE|EXEC"])
def test_a_watch_ends_with_unwatch_reset_or_discard(peer: Peer, direct: Peer, proxy: ServerProcess, end: str) -> None:
    execute_each(peer, "WATCH key", *end.split("|"))
    execute(direct, "SET key theirs")
    assert execute_each(peer, "MULTI", "SET key ours", "EXEC") == [OK, QUEUED, array(OK)]


def test_client_info_reports_the_number_of_watched_keys(peer: Peer) -> None:
    execute_each(peer, "WATCH a b", "WATCH b c")
    assert b" watch=3 " in bytes(execute(peer, "CLIENT INFO"))
    execute(peer, "UNWATCH")
    assert b" watch=0 " in bytes(execute(peer, "CLIENT INFO"))


def test_watches_have_a_pool_of_their_own(start_redis: StartRedis, start_server: StartServer) -> None:
    """All connections for watches are in use. One more WATCH times out, and other requests are served."""
    redis = start_redis()
    server = start_server(*backend(redis, "--backend-connections", "1", "--backend-timeout", SHORT))
    watching = [server.connect() for _ in range(50)]
    for each in watching:
        assert execute(each, "WATCH key") == OK
    last = server.connect()
    refused = execute(last, "WATCH key")
    assert refused == (
        b"-ERR backend unavailable: timed out waiting for one of the 50 connections that sessions with a WATCH may hold"
        b"\r\n"
    )
    assert execute(last, "SET other value") == OK
    watching[0].close()
    wait_until(lambda: execute(last, "WATCH key") == OK, "a closed session has released its connection")


def test_a_watch_whose_connection_is_lost_is_dirty(peer: Peer, direct: Peer) -> None:
    execute(peer, "WATCH key")
    execute(direct, "CLIENT KILL TYPE normal SKIPME yes")
    assert execute_each(peer, "MULTI", "SET key ours", "EXEC") == [OK, QUEUED, DIRTY]
    assert execute(direct, "EXISTS key") == b":0\r\n"


def test_a_command_that_cannot_be_queued_aborts_the_transaction_with_its_error(
    peer: Peer, direct: Peer, redis: RedisServer
) -> None:
    execute(direct, "CONFIG SET maxmemory 1")
    try:
        execute_each(peer, "MULTI", "SET key value")
        reply = execute(peer, "EXEC")
    finally:
        execute(direct, "CONFIG SET maxmemory 0")
    assert isinstance(reply, bytes)
    assert reply.startswith(b"-EXECABORT Transaction discarded because of: OOM command not allowed")


def test_a_connection_lost_during_exec_leaves_the_outcome_unknown(
    start_redis: StartRedis, start_server: StartServer
) -> None:
    """CLIENT PAUSE delays EXEC, and the server is killed before it replies."""
    redis = start_redis()
    server = start_server(*backend(redis))
    peer = server.connect()
    assert execute(peer, "GET key") == b"$-1\r\n"
    execute(redis.connect(), "CLIENT PAUSE 60000 WRITE")
    execute_each(peer, "MULTI", "SET key value")
    peer.send(encode_request([b"EXEC"]))
    direct = redis.connect()
    wait_until(lambda: info(direct, "clients")["blocked_clients"] == "1", "EXEC is paused")
    redis.kill()
    reply = peer.line()
    assert is_unavailable(reply)
    assert reply.endswith(b"; whether the command ran is unknown\r\n")
