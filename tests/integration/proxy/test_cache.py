"""The cache of GET: what is served from it, and what invalidates it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.harness.backing_redis import (
    StartRedis,
    backend,
    count_calls,
    execute,
    execute_each,
    info,
    new_redis,
    request,
)
from tests.harness.frame_client import FrameClient, run
from tests.harness.processes import Peer, ServerProcess, StartServer
from tests.harness.redis_server import RedisServer
from tests.harness.resp_wire import Reply, read_reply
from tests.harness.waiting import all_at_once, wait_until

OK = b"+OK\r\n"
ABSENT = b"$-1\r\n"
LONG = "3600"


@pytest.fixture
def redis(start_redis: StartRedis) -> RedisServer:
    return start_redis()


@pytest.fixture
def direct(redis: RedisServer) -> Peer:
    return redis.connect()


@pytest.fixture
def proxy(redis: RedisServer, start_server: StartServer) -> ServerProcess:
    return start_server(*backend(redis, "--cache-ttl", LONG))


@pytest.fixture
def peer(proxy: ServerProcess) -> Peer:
    return proxy.connect()


def bulk(text: str) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text.encode())


def test_a_cached_get_does_not_ask_the_backing_server_again(peer: Peer, direct: Peer, redis: RedisServer) -> None:
    execute(direct, "SET key value")
    assert execute_each(peer, "GET key", "GET key") == [bulk("value")] * 2
    assert peer.ask(b"get key") == b"value"
    assert count_calls(redis, "get") == 1
    execute(direct, "SET key other")
    assert execute(peer, "GET key") == bulk("value")  # no invalidation has been received
    section = info(peer, "cache")
    assert (section["cache_hits"], section["cache_misses"], section["cache_keys"]) == ("3", "1", "1")


def test_missing_keys_and_errors_are_not_cached(peer: Peer, direct: Peer, redis: RedisServer) -> None:
    assert execute(peer, "GET key") == ABSENT
    execute(direct, "SET key value")
    assert execute(peer, "GET key") == bulk("value")
    execute(direct, "RPUSH list 1")
    assert bytes(execute(peer, "GET list")).startswith(b"-WRONGTYPE")
    execute_each(direct, "DEL list", "SET list value")
    assert execute(peer, "GET list") == bulk("value")


def test_entries_expire_after_the_ttl_however_often_they_are_read(
    redis: RedisServer, direct: Peer, start_server: StartServer
) -> None:
    """A read does not prolong the life of an entry."""
    peer = start_server(*backend(redis, "--cache-ttl", "0.3")).connect()
    execute(direct, "SET key old")
    assert execute(peer, "GET key") == bulk("old")
    execute(direct, "SET key new")
    wait_until(lambda: execute(peer, "GET key") == bulk("new"), "the entry has expired")
    assert int(info(peer, "cache")["cache_expirations"]) >= 1


def test_a_full_cache_evicts_the_least_recently_used_key(
    redis: RedisServer, direct: Peer, start_server: StartServer
) -> None:
    peer = start_server(*backend(redis, "--cache-keys", "3", "--cache-ttl", LONG)).connect()
    execute_each(direct, "MSET a 1 b 2 c 3 d 4", "CONFIG RESETSTAT")
    execute_each(peer, "GET a", "GET b", "GET c", "GET a", "GET d")  # b is evicted
    assert count_calls(redis, "get") == 4
    execute_each(peer, "GET a", "GET c", "GET d")
    assert count_calls(redis, "get") == 4
    execute(peer, "GET b")
    assert count_calls(redis, "get") == 5
    section = info(peer, "cache")
    assert (section["cache_keys"], section["cache_evictions"]) == ("3", "2")


@pytest.fixture(scope="module")
def shared_cached() -> Iterator[tuple[RedisServer, ServerProcess]]:
    """A Redis and a server with a cache, for tests that need neither empty."""
    redis = new_redis()
    proxy = ServerProcess(*backend(redis, "--cache-ttl", LONG))
    yield redis, proxy
    proxy.close()
    redis.close()


WRITES = """
SET key new|SET key new XX|APPEND key more|GETSET key new|GETDEL key|DEL key|UNLINK other key|RENAME key else
SETNX key x|RENAME other key|COPY other key REPLACE|MSET other x key new|FLUSHALL|FLUSHDB|SETRANGE key 0 x|EXPIRE key -1
GETEX key EX 1000|INCRBYFLOAT key nonsense|SETEX key 100 new|PSETEX key 100000 new|MSETNX other x key y
"""


@pytest.mark.parametrize("write", [line for line in WRITES.replace("\n", "|").split("|") if line])
@pytest.mark.parametrize("how", ["RESP", "text", "transaction", "frame"])
def test_every_write_invalidates_its_keys(
    shared_cached: tuple[RedisServer, ServerProcess], write: str, how: str
) -> None:
    redis, proxy = shared_cached
    direct, reader, writer = redis.connect(), proxy.connect(), proxy.connect()
    execute_each(direct, "FLUSHALL", "MSET key value other thing")
    execute(writer, "FLUSHALL SYNC")
    execute_each(direct, "FLUSHALL", "MSET key value other thing")
    assert execute(reader, "GET key") == bulk("value")
    match how:
        case "RESP":
            execute(writer, write)
        case "text":
            writer.ask(write.encode())
        case "frame":
            name, *args = write.split()
            frames = FrameClient(proxy.port)
            frames.send(run(name, *args))
            frames.answer()
            frames.close()
        case _:
            execute_each(writer, "MULTI", write, "EXEC")
    assert execute(reader, "GET key") == execute(direct, "GET key")
    proxy.close_peers()


def test_a_read_invalidates_nothing(peer: Peer, direct: Peer, redis: RedisServer) -> None:
    execute(direct, "SET key value")
    execute(peer, "GET key")
    execute_each(peer, "EXISTS key", "TTL key", "DBSIZE", "KEYS *", "SCAN 0", "MGET key", "STRLEN key", "COMPACT")
    execute_each(peer, "MULTI", "DBSIZE", "GET key", "EXEC", "WATCH key", "UNWATCH")
    execute(direct, "CONFIG RESETSTAT")
    assert execute(peer, "GET key") == bulk("value")
    assert count_calls(redis, "get") == 0


def test_a_write_that_timed_out_invalidates_its_keys(
    redis: RedisServer, direct: Peer, start_server: StartServer
) -> None:
    peer = start_server(*backend(redis, "--cache-ttl", LONG, "--backend-timeout", "0.3")).connect()
    execute(direct, "SET key old")
    assert execute(peer, "GET key") == bulk("old")
    execute(direct, "CLIENT PAUSE 600000 WRITE")
    assert b"timed out" in bytes(execute(peer, "SET key new"))
    execute_each(direct, "CLIENT UNPAUSE", "SET key theirs")
    assert execute(peer, "GET key") == bulk("theirs")


def test_get_in_a_transaction_bypasses_the_cache(peer: Peer, direct: Peer) -> None:
    execute(direct, "SET key old")
    execute(peer, "GET key")
    execute(direct, "SET key new")
    execute_each(peer, "MULTI", "GET key")
    reply = execute(peer, "EXEC")
    assert reply == (b"*1\r\n", [bulk("new")])


def test_a_client_that_watches_keys_reads_through_the_cache(peer: Peer, direct: Peer) -> None:
    execute(direct, "SET key old")
    execute(peer, "GET key")
    execute(direct, "SET key new")
    assert execute_each(peer, "GET key", "WATCH key", "GET key", "UNWATCH", "GET key") == [
        bulk("old"),
        b"+OK\r\n",
        bulk("new"),
        b"+OK\r\n",
        bulk("old"),
    ]


def test_single_flight_coalesces_the_misses_of_a_hundred_clients(
    redis: RedisServer, direct: Peer, start_server: StartServer
) -> None:
    """The backing server is stopped until all hundred wait for the same fetch."""
    proxy = start_server(*backend(redis, "--cache-ttl", LONG, "--backend-timeout", "60"))
    peers = [proxy.connect() for _ in range(100)]
    execute_each(direct, "SET key value", "CONFIG RESETSTAT")
    redis.signal(signal.SIGSTOP)
    try:
        for each in peers:
            each.send(request("GET key"))
        observer = proxy.connect()
        wait_until(lambda: info(observer, "cache")["cache_coalesced"] == "99", "all wait for the same fetch")
    finally:
        redis.signal(signal.SIGCONT)
    assert [read_reply(each) for each in peers] == [bulk("value")] * 100
    assert count_calls(redis, "get") == 1


def test_a_fetch_overtaken_by_an_invalidation_is_not_cached(
    redis: RedisServer, proxy: ServerProcess, direct: Peer
) -> None:
    """Readers and a writer race on one key. After the reply to a write, no read returns an older value."""
    writer, *readers = (proxy.connect() for _ in range(5))

    def read(peer: Peer) -> None:
        for _ in range(300):
            execute(peer, "GET key")

    def write() -> None:
        for number in range(300):
            assert execute(writer, f"SET key {number}") == OK
            assert execute(writer, "GET key") == bulk(str(number))

    all_at_once([write, *(lambda each=each: read(each) for each in readers)])


def test_the_cache_serves_reads_while_the_backing_server_is_down(redis: RedisServer, peer: Peer, direct: Peer) -> None:
    execute(direct, "SET key value")
    execute(peer, "GET key")
    redis.kill()
    assert execute(peer, "GET key") == bulk("value")
    assert b"backend unavailable" in bytes(execute(peer, "GET other"))


# ---------------------------------------------------------------- tracking


@pytest.fixture
def tracking(redis: RedisServer, start_server: StartServer) -> ServerProcess:
    server = start_server(*backend(redis, "--cache-ttl", LONG, "--cache-tracking"))
    wait_until(lambda: is_connected(server.connect()), "tracking is connected")
    return server


def is_connected(peer: Peer) -> bool:
    return info(peer, "cache")["cache_tracking_connected"] == "1"


@pytest.mark.parametrize("write", ["SET key new", "DEL key", "FLUSHALL", "EXPIRE key -1", "RENAME key x"])
def test_tracking_invalidates_keys_written_on_the_backing_server(
    tracking: ServerProcess, direct: Peer, redis: RedisServer, write: str
) -> None:
    peer = tracking.connect()
    execute(direct, "SET key old")
    wait_until(lambda: execute_each(peer, "GET key", "GET key")[1] == bulk("old"), "the key is cached")
    execute(direct, write)
    expected: Reply = execute(direct, "GET key")
    wait_until(lambda: execute(peer, "GET key") == expected, "the key is invalidated")
    if write == "SET key new":
        execute(direct, "CONFIG RESETSTAT")
        execute_each(peer, "GET key", "GET key", "GET key")
        wait_until(lambda: execute_each(peer, "GET key") and count_calls(redis, "get") <= 1, "the new value is cached")


def test_the_cache_is_bypassed_until_tracking_is_connected_again(redis: RedisServer, tracking: ServerProcess) -> None:
    peer = tracking.connect()
    execute(redis.connect(), "SET key old")
    wait_until(lambda: execute(peer, "GET key") == bulk("old"), "the server replies")
    redis.kill()
    wait_until(lambda: not is_connected(peer), "the loss is noticed")
    assert b"backend unavailable" in bytes(execute(peer, "GET key"))
    assert info(peer, "cache")["cache_keys"] == "0"
    redis.start_again()
    wait_until(lambda: is_connected(peer), "tracking is connected again")
    assert execute(peer, "GET key") == ABSENT
    assert tracking.log.count("cache bypassed") == 1


def test_the_cache_is_bypassed_while_only_tracking_is_down(redis: RedisServer, tracking: ServerProcess) -> None:
    """An access rule refuses tracking and nothing else, so the backing server itself is up all the time."""
    peer, direct = tracking.connect(), redis.connect()
    if execute(direct, "ACL SETUSER default -client|tracking") != OK:
        pytest.skip("this redis-server has no access rules for subcommands")
    assert execute_each(direct, "SET key 1", "CLIENT KILL TYPE normal SKIPME yes")[0] == OK
    wait_until(lambda: not is_connected(peer), "the loss is noticed")
    for number in range(3):
        execute(direct, f"SET key {number}")
        assert execute(peer, "GET key") == bulk(str(number))
    execute(direct, "ACL SETUSER default +client|tracking")
    wait_until(lambda: is_connected(peer), "tracking is connected again")
    assert execute_each(peer, "GET key", "GET key") == [bulk("2")] * 2


def test_a_tracking_connection_that_hangs_is_replaced(redis: RedisServer, start_server: StartServer) -> None:
    server = start_server(*backend(redis, "--cache-tracking", "--backend-timeout", "0.5"))
    peer = server.connect()
    wait_until(lambda: is_connected(peer), "tracking is connected")
    redis.signal(signal.SIGSTOP)
    try:
        wait_until(lambda: not is_connected(peer), "the timeout is noticed")
    finally:
        redis.signal(signal.SIGCONT)
    wait_until(lambda: is_connected(peer), "tracking is connected again")


def test_a_server_with_tracking_stops_cleanly(tracking: ServerProcess) -> None:
    tracking.signal(signal.SIGTERM)
    assert tracking.exit_status() == 0
