"""Transactions are atomic on the backing server, and every write there makes a watch dirty."""

from __future__ import annotations

import threading

import pytest

from common.resp_client import encode_request
from tests.harness.backing_redis import StartRedis, backend, execute, execute_each, info, is_unavailable
from tests.harness.processes import Peer, ServerProcess, StartServer
from tests.harness.redis_server import HOST, RedisServer
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


def test_idle_sessions_with_a_watch_do_not_shut_out_others(start_redis: StartRedis, start_server: StartServer) -> None:
    """All connections for watches are held. One more WATCH gets that of the session that has held one longest."""
    redis = start_redis()
    server = start_server(*backend(redis, "--backend-connections", "1"))
    idle = [server.connect() for _ in range(50)]
    for each in idle:
        assert execute(each, "WATCH key") == OK
    last = server.connect()
    assert execute(last, "SET other value") == OK, "other requests have connections of their own"
    assert execute_each(last, "WATCH key", "GET key", "MULTI", "SET other x", "EXEC")[-1] == array(OK)
    assert execute_each(idle[0], "WATCH another", "MULTI", "SET key ours", "EXEC") == [OK, OK, QUEUED, DIRTY]
    assert execute_each(idle[0], "WATCH key", "MULTI", "SET other y", "EXEC") == [OK, OK, QUEUED, array(OK)]
    assert execute_each(idle[-1], "MULTI", "SET key ours", "EXEC") == [OK, QUEUED, array(OK)], "still watched"
    assert execute(redis.connect(), "GET key") == b"$4\r\nours\r\n"


def test_the_connection_of_a_session_that_closes_is_free_for_another_watch(
    start_redis: StartRedis, start_server: StartServer
) -> None:
    redis = start_redis()
    server = start_server(*backend(redis))
    direct = redis.connect()

    def connections() -> int:
        return int(info(direct, "clients")["connected_clients"])

    for _ in range(2):
        watching = [server.connect() for _ in range(50)]
        for each in watching:
            assert execute(each, "WATCH key") == OK
        assert connections() >= 50
        for each in watching:
            each.close()
        wait_until(lambda: connections() < 50, "their connections are closed")


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


# ---------------------------------------------------------------- a user whose ACL does not allow everything


def start_limited(start_redis: StartRedis, start_server: StartServer, rules: str) -> tuple[ServerProcess, Peer]:
    """Start a server that logs in as a user with these rules. Return it, and an unlimited connection to its Redis."""
    redis = start_redis()
    direct = redis.connect()
    assert execute(direct, f"ACL SETUSER limited on >pass ~* &* +@all {rules}") == OK
    return start_server("--port", "0", "--backend", f"redis://limited:pass@{HOST}:{redis.port}"), direct


@pytest.mark.parametrize("watch", [(), ("WATCH key",)], ids=["unwatched", "watched"])
@pytest.mark.parametrize("refused", ["multi", "exec"])
def test_a_transaction_that_an_acl_refuses_runs_nothing(
    start_redis: StartRedis, start_server: StartServer, refused: str, watch: tuple[str, ...]
) -> None:
    server, direct = start_limited(start_redis, start_server, f"-{refused}")
    peer = server.connect()
    execute(direct, "SET key theirs")
    reply = execute_each(peer, *watch, "MULTI", "SET key ours", "INCR counter", "EXEC")[-1]
    assert bytes(reply).startswith(b"-EXECABORT Transaction discarded because of: ")
    assert b"NOPERM" in bytes(reply)
    assert execute_each(direct, "GET key", "EXISTS counter") == [b"$6\r\ntheirs\r\n", b":0\r\n"]
    assert execute_each(peer, "SET key alone", "GET key") == [OK, b"$5\r\nalone\r\n"]


def test_a_key_that_an_acl_refuses_aborts_the_transaction(start_redis: StartRedis, start_server: StartServer) -> None:
    server, direct = start_limited(start_redis, start_server, "resetkeys ~mine:*")
    peer = server.connect()
    reply = execute_each(peer, "MULTI", "SET mine:a 1", "SET theirs 1", "EXEC")[-1]
    assert bytes(reply).startswith(b"-EXECABORT Transaction discarded because of: NOPERM")
    assert execute(direct, "DBSIZE") == b":0\r\n"
    assert bytes(execute(peer, "WATCH theirs")).startswith(b"-NOPERM")
    assert execute_each(peer, "MULTI", "SET mine:a 1", "EXEC")[-1] == array(OK)


def test_a_permission_that_is_withdrawn_later_stops_transactions_on_open_connections(
    start_redis: StartRedis, start_server: StartServer
) -> None:
    server, direct = start_limited(start_redis, start_server, "")
    peer = server.connect()
    assert execute_each(peer, "MULTI", "SET key 1", "EXEC")[-1] == array(OK)
    execute(peer, "WATCH key")
    execute(direct, "ACL SETUSER limited -multi")
    assert b"NOPERM" in bytes(execute_each(peer, "MULTI", "SET key 2", "EXEC")[-1])
    assert b"NOPERM" in bytes(execute_each(peer, "MULTI", "SET key 2", "EXEC")[-1])
    assert execute(direct, "GET key") == b"$1\r\n1\r\n"
    execute(direct, "ACL SETUSER limited +multi")
    assert execute_each(peer, "MULTI", "SET key 3", "EXEC")[-1] == array(OK)


# ---------------------------------------------------------------- failures during EXEC


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
