"""What GET returns is kept for a while, and given up as soon as anybody changes it through the server."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.harness.backing_redis import StartRedis, backend, calls, calls_counted, execute, figures, new_redis, request
from tests.harness.frame_client import FrameClient, run
from tests.harness.processes import Peer, ServerProcess, StartServer, all_at_once, wait_until
from tests.harness.redis_server import RedisServer
from tests.harness.resp_wire import Reply, read_reply

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
    assert calls(peer, "GET key", "GET key") == [bulk("value")] * 2
    assert peer.ask(b"get key") == b"value"
    assert calls_counted(redis, "get") == 1
    execute(direct, "SET key other")
    assert execute(peer, "GET key") == bulk("value")  # nobody has told
    told = figures(peer, "cache")
    assert (told["cache_hits"], told["cache_misses"], told["cache_keys"]) == ("3", "1", "1")


def test_keys_that_are_absent_and_errors_are_not_kept(peer: Peer, direct: Peer, redis: RedisServer) -> None:
    assert execute(peer, "GET key") == ABSENT
    execute(direct, "SET key value")
    assert execute(peer, "GET key") == bulk("value")
    execute(direct, "RPUSH list 1")
    assert bytes(execute(peer, "GET list")).startswith(b"-WRONGTYPE")
    calls(direct, "DEL list", "SET list value")
    assert execute(peer, "GET list") == bulk("value")


def test_entries_expire_for_good_after_the_ttl(redis: RedisServer, direct: Peer, start_server: StartServer) -> None:
    """Reading a key again and again does not keep it alive."""
    peer = start_server(*backend(redis, "--cache-ttl", "0.3")).connect()
    execute(direct, "SET key old")
    assert execute(peer, "GET key") == bulk("old")
    execute(direct, "SET key new")
    wait_until(lambda: execute(peer, "GET key") == bulk("new"), "what is cached has expired")
    assert int(figures(peer, "cache")["cache_expirations"]) >= 1


def test_the_number_of_keys_is_fixed_and_the_least_recently_read_goes(
    redis: RedisServer, direct: Peer, start_server: StartServer
) -> None:
    peer = start_server(*backend(redis, "--cache-keys", "3", "--cache-ttl", LONG)).connect()
    calls(direct, "MSET a 1 b 2 c 3 d 4", "CONFIG RESETSTAT")
    calls(peer, "GET a", "GET b", "GET c", "GET a", "GET d")  # b goes
    assert calls_counted(redis, "get") == 4
    calls(peer, "GET a", "GET c", "GET d")
    assert calls_counted(redis, "get") == 4
    execute(peer, "GET b")
    assert calls_counted(redis, "get") == 5
    told = figures(peer, "cache")
    assert (told["cache_keys"], told["cache_evictions"]) == ("3", "2")


@pytest.fixture(scope="module")
def shared_cached() -> Iterator[tuple[RedisServer, ServerProcess]]:
    """A Redis and a server that caches, for tests that leave both as they were."""
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
@pytest.mark.parametrize("how", ["by RESP", "as text", "in a transaction", "as a frame"])
def test_every_write_drops_its_keys(shared_cached: tuple[RedisServer, ServerProcess], write: str, how: str) -> None:
    redis, proxy = shared_cached
    direct, reader, writer = redis.connect(), proxy.connect(), proxy.connect()
    calls(direct, "FLUSHALL", "MSET key value other thing")
    execute(writer, "FLUSHALL SYNC")
    calls(direct, "FLUSHALL", "MSET key value other thing")
    assert execute(reader, "GET key") == bulk("value")
    match how:
        case "by RESP":
            execute(writer, write)
        case "as text":
            writer.ask(write.encode())
        case "as a frame":
            name, *args = write.split()
            frames = FrameClient(proxy.port)
            frames.send(run(name, *args))
            frames.answer()
            frames.close()
        case _:
            calls(writer, "MULTI", write, "EXEC")
    assert execute(reader, "GET key") == execute(direct, "GET key")
    proxy.close_peers()


def test_what_only_reads_drops_nothing(peer: Peer, direct: Peer, redis: RedisServer) -> None:
    execute(direct, "SET key value")
    execute(peer, "GET key")
    calls(peer, "EXISTS key", "TTL key", "DBSIZE", "KEYS *", "SCAN 0", "MGET key", "STRLEN key", "COMPACT")
    calls(peer, "MULTI", "DBSIZE", "GET key", "EXEC", "WATCH key", "UNWATCH")
    execute(direct, "CONFIG RESETSTAT")
    assert execute(peer, "GET key") == bulk("value")
    assert calls_counted(redis, "get") == 0


def test_a_write_that_timed_out_drops_its_keys_too(redis: RedisServer, direct: Peer, start_server: StartServer) -> None:
    peer = start_server(*backend(redis, "--cache-ttl", LONG, "--backend-timeout", "0.3")).connect()
    execute(direct, "SET key old")
    assert execute(peer, "GET key") == bulk("old")
    execute(direct, "CLIENT PAUSE 600000 WRITE")
    assert b"timed out" in bytes(execute(peer, "SET key new"))
    calls(direct, "CLIENT UNPAUSE", "SET key theirs")
    assert execute(peer, "GET key") == bulk("theirs")


def test_get_inside_a_transaction_is_run_by_the_backing_server(peer: Peer, direct: Peer) -> None:
    execute(direct, "SET key old")
    execute(peer, "GET key")
    execute(direct, "SET key new")
    calls(peer, "MULTI", "GET key")
    reply = execute(peer, "EXEC")
    assert reply == (b"*1\r\n", [bulk("new")])


def test_who_watches_a_key_reads_what_the_backing_server_has(peer: Peer, direct: Peer) -> None:
    execute(direct, "SET key old")
    execute(peer, "GET key")
    execute(direct, "SET key new")
    assert calls(peer, "GET key", "WATCH key", "GET key", "UNWATCH", "GET key") == [
        bulk("old"),
        b"+OK\r\n",
        bulk("new"),
        b"+OK\r\n",
        bulk("old"),
    ]


def test_a_hundred_clients_that_miss_one_key_cost_one_fetch(
    redis: RedisServer, direct: Peer, start_server: StartServer
) -> None:
    """The backing server stands still until all hundred wait for the one fetch."""
    proxy = start_server(*backend(redis, "--cache-ttl", LONG, "--backend-timeout", "60"))
    peers = [proxy.connect() for _ in range(100)]
    calls(direct, "SET key value", "CONFIG RESETSTAT")
    redis.signal(signal.SIGSTOP)
    try:
        for each in peers:
            each.send(request("GET key"))
        observer = proxy.connect()
        wait_until(lambda: figures(observer, "cache")["cache_coalesced"] == "99", "all wait for one fetch")
    finally:
        redis.signal(signal.SIGCONT)
    assert [read_reply(each) for each in peers] == [bulk("value")] * 100
    assert calls_counted(redis, "get") == 1


def test_a_fetch_that_a_write_overtakes_puts_nothing_old_into_the_cache(
    redis: RedisServer, proxy: ServerProcess, direct: Peer
) -> None:
    """Readers and a writer race on one key; once the writer has its reply, nobody reads what was there before."""
    writer, *readers = (proxy.connect() for _ in range(5))

    def read(peer: Peer) -> None:
        for _ in range(300):
            execute(peer, "GET key")

    def write() -> None:
        for number in range(300):
            assert execute(writer, f"SET key {number}") == OK
            assert execute(writer, "GET key") == bulk(str(number))

    all_at_once([write, *(lambda each=each: read(each) for each in readers)])


def test_the_cache_goes_on_serving_while_the_backing_server_is_away(
    redis: RedisServer, peer: Peer, direct: Peer
) -> None:
    execute(direct, "SET key value")
    execute(peer, "GET key")
    redis.kill()
    assert execute(peer, "GET key") == bulk("value")
    assert b"backend unavailable" in bytes(execute(peer, "GET other"))


# ---------------------------------------------------------------- tracking


@pytest.fixture
def tracking(redis: RedisServer, start_server: StartServer) -> ServerProcess:
    server = start_server(*backend(redis, "--cache-ttl", LONG, "--cache-tracking"))
    wait_until(lambda: is_live(server.connect()), "the backing server tells of changes")
    return server


def is_live(peer: Peer) -> bool:
    return figures(peer, "cache")["cache_tracking_live"] == "1"


@pytest.mark.parametrize("write", ["SET key new", "DEL key", "FLUSHALL", "EXPIRE key -1", "RENAME key x"])
def test_tracking_drops_what_was_written_on_the_backing_server(
    tracking: ServerProcess, direct: Peer, redis: RedisServer, write: str
) -> None:
    peer = tracking.connect()
    execute(direct, "SET key old")
    wait_until(lambda: calls(peer, "GET key", "GET key")[1] == bulk("old"), "the key is cached")
    execute(direct, write)
    expected: Reply = execute(direct, "GET key")
    wait_until(lambda: execute(peer, "GET key") == expected, "the change is seen")
    if write == "SET key new":
        execute(direct, "CONFIG RESETSTAT")
        calls(peer, "GET key", "GET key", "GET key")
        wait_until(lambda: calls(peer, "GET key") and calls_counted(redis, "get") <= 1, "what is new is cached again")


def test_without_its_connection_tracking_passes_the_cache_by_until_it_is_back(
    redis: RedisServer, tracking: ServerProcess
) -> None:
    peer = tracking.connect()
    execute(redis.connect(), "SET key old")
    wait_until(lambda: execute(peer, "GET key") == bulk("old"), "the key is read")
    redis.kill()
    wait_until(lambda: not is_live(peer), "the loss is noticed")
    assert b"backend unavailable" in bytes(execute(peer, "GET key"))
    assert figures(peer, "cache")["cache_keys"] == "0"
    redis.start_again()
    wait_until(lambda: is_live(peer), "tracking is back")
    assert execute(peer, "GET key") == ABSENT
    assert tracking.log.count("the cache is passed by") == 1


def test_a_tracking_connection_that_hangs_is_given_up(redis: RedisServer, start_server: StartServer) -> None:
    server = start_server(*backend(redis, "--cache-tracking", "--backend-timeout", "0.5"))
    peer = server.connect()
    wait_until(lambda: is_live(peer), "the backing server tells of changes")
    redis.signal(signal.SIGSTOP)
    try:
        wait_until(lambda: not is_live(peer), "the silence is noticed")
    finally:
        redis.signal(signal.SIGCONT)
    wait_until(lambda: is_live(peer), "tracking is back")


def test_a_server_with_tracking_stops_in_good_order(tracking: ServerProcess) -> None:
    tracking.signal(signal.SIGTERM)
    assert tracking.exit_status() == 0
