"""redis-py's connections: pools, names, CLIENT, and databases, and what a server without a password refuses."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import redis
import redis.backoff
import redis.retry

from tests.clients.conftest import Connect
from tests.harness.processes import ServerProcess, StartServer
from tests.harness.redis_py import plain, refused
from tests.harness.waiting import TIMEOUT, all_at_once, wait_until

NO_PASSWORD = "AUTH <password> called without any password configured for the default user"
ONE = {"single_connection_client": True}
"""For tests on the state of a connection, which a client with a pool need not use twice."""


def test_a_name_that_was_given_is_reported_and_listed(server: ServerProcess, connect: Connect) -> None:
    client, other = connect(server.port, **ONE), connect(server.port, client_name="other", **ONE)
    other.ping()
    assert plain(client.client_getname()) is None
    assert client.client_setname("mine") is True
    assert [plain(each.client_getname()) for each in (client, other)] == ["mine", "other"]
    listed = {line["id"]: line["name"] for line in client.client_list()}
    assert listed[str(client.client_id())] == "mine"
    assert listed[str(other.client_id())] == "other"
    with refused("Client names cannot contain spaces, newlines or special characters."):
        client.client_setname("two words")
    assert plain(client.client_getname()) == "mine"


def test_a_connection_beyond_the_limit_is_refused_and_the_others_stay(
    start_server: StartServer, connect: Connect
) -> None:
    server = start_server("--port", "0", "--max-clients", "1")
    client, other = connect(server.port), connect(server.port)
    assert client.ping() is True
    with pytest.raises(redis.ConnectionError):  # the reason may arrive after it has sent its first request
        other.ping()
    assert client.config_get("maxclients") == {"maxclients": "1"}
    assert client.config_set("maxclients", 2) is True
    assert other.ping() is True
    assert client.info("stats")["rejected_connections"] == 1


def test_client_list_reports_address_name_and_library(server: ServerProcess, connect: Connect, protocol: int) -> None:
    client = connect(server.port, **ONE)
    mine, number = client.client_info(), client.client_id()
    assert (mine["id"], mine["db"], mine["cmd"].partition("|")[0]) == (number, 0, "client")
    assert mine["laddr"] == f"127.0.0.1:{server.port}"
    assert (mine["lib-name"], mine["lib-ver"], mine["resp"]) == ("redis-py", redis.__version__, str(protocol))
    (line,) = client.client_list(client_id=[number])
    assert (line["id"], line["addr"]) == (str(number), mine["addr"])
    assert number in [int(line["id"]) for line in client.client_list(_type="normal")]
    assert client.client_list(_type="pubsub") == []


def test_client_kill_by_id_or_address_closes_the_connection(server: ServerProcess, connect: Connect) -> None:
    client = connect(server.port, **ONE)
    ways: list[Callable[[dict[str, Any]], object]] = [
        lambda victim: client.client_kill_filter(_id=victim["id"]),
        lambda victim: client.client_kill_filter(addr=victim["addr"]),
        lambda victim: client.client_kill(victim["addr"]),
    ]
    for kill in ways:
        victim = connect(server.port, **ONE)
        assert kill(victim.client_info()) in (1, True)
        with pytest.raises(redis.ConnectionError):
            victim.ping()
    wait_until(lambda: len(client.client_list()) == 2, "only this client and the fixture's are left")
    assert client.client_kill_filter(_id=2**40) == 0
    with refused("No such client"):
        client.client_kill("127.0.0.1:1")


def test_a_client_that_may_try_again_does_not_notice_that_it_was_killed(
    server: ServerProcess, connect_blocking: Connect
) -> None:
    retry = redis.retry.Retry(redis.backoff.NoBackoff(), 1)
    killer, victim = connect_blocking(server.port), connect_blocking(server.port, retry=retry, client_name="victim")
    victim.set("key", "value")
    (number,) = [line["id"] for line in killer.client_list() if line["name"] == "victim"]
    assert killer.client_kill_filter(_id=number) == 1
    assert victim.get("key") == b"value"
    assert plain(victim.client_getname()) == "victim"
    assert victim.client_id() > int(number)


def test_a_url_selects_a_database(server: ServerProcess, connect: Connect) -> None:
    client = connect(server.port, **ONE)
    assert client.execute_command("SELECT", 0) in (True, b"OK")
    with refused("DB index is out of range"):
        client.execute_command("SELECT", 99)
    assert client.set("key", "value") is True
    with redis.from_url(f"redis://127.0.0.1:{server.port}/1") as other:
        assert other.get("key") is None
        assert other.set("key", "other") is True
        assert client.move("key", 1) is False
        assert client.copy("key", "copied", destination_db=1) is True
        assert client.swapdb(0, 1) is True
        assert (client.get("key"), client.dbsize()) == (b"other", 2)
        assert client.info("keyspace")["db1"]["keys"] == 1
        assert other.flushdb() is True
        assert client.info("keyspace").keys() == {"db0"}
    with pytest.raises(redis.ResponseError, match="DB index is out of range"):
        connect(server.port, db=99).ping()


def test_a_password_without_a_user_is_refused_since_there_is_none(
    server: ServerProcess, connect: Connect, protocol: int
) -> None:
    with pytest.raises(redis.AuthenticationError, match=NO_PASSWORD):
        connect(server.port).execute_command("AUTH", "secret")
    if protocol == 3:  # in HELLO with a user name, which Redis accepts too
        assert connect(server.port, password="secret").ping() is True
    else:
        with pytest.raises(redis.ConnectionError, match=NO_PASSWORD):
            connect(server.port, password="secret").ping()


def test_hello_reports_the_version_that_was_agreed_on(server: ServerProcess, connect: Connect, protocol: int) -> None:
    hello = connect(server.port).execute_command("HELLO")
    if protocol == 2:
        hello = dict(zip(hello[::2], hello[1::2], strict=True))
    assert (hello[b"server"], hello[b"proto"], hello[b"mode"]) == (b"kvline", protocol, b"standalone")


def test_reset_makes_a_connection_as_good_as_new(server: ServerProcess, connect: Connect) -> None:
    client = connect(server.port, client_name="mine", **ONE)
    assert plain(client.client_getname()) == "mine"
    client.execute_command("MULTI")
    client.execute_command("SET", "key", "value")
    assert plain(client.reset()) == "RESET"
    # No reply here may be none: redis-py's own parser for RESP3 waits for ever at RESP2's null.
    assert client.exists("key") == 0
    info = client.execute_command("CLIENT", "INFO")
    assert b" name= " in info
    assert b" resp=2" in info, "a new connection speaks version 2"


def test_responses_are_decoded_when_asked(server: ServerProcess, connect: Connect) -> None:
    client = connect(server.port, decode_responses=True)
    assert client.set("ключ", "значение") is True
    assert client.get("ключ") == "значение"
    assert client.mget("ключ", "none") == ["значение", None]
    assert client.keys("кл*") == list(client.scan_iter("кл*")) == ["ключ"]
    assert client.echo("ёж") == "ёж"
    assert client.config_get("port") == {"port": str(server.port)}
    with pytest.raises(redis.ResponseError, match="value is not an integer"):
        client.incr("ключ")


def test_more_threads_than_connections_take_turns_and_lose_nothing(server: ServerProcess, protocol: int) -> None:
    threads, rounds, most = 20, 50, 4
    pool = redis.BlockingConnectionPool(
        max_connections=most, timeout=TIMEOUT, port=server.port, protocol=protocol, socket_timeout=TIMEOUT
    )
    with redis.Redis.from_pool(pool) as client:

        def count() -> list[int]:
            numbers = []
            for _ in range(rounds):
                numbers.append(client.incr("n"))
                assert client.echo(str(threading.get_ident())) == b"%d" % threading.get_ident()
            return numbers

        numbers = [number for counted in all_at_once([count] * threads) for number in counted]
        assert sorted(numbers) == list(range(1, threads * rounds + 1))
        listed = [line for line in client.client_list() if line["lib-name"] == "redis-py"]
        assert 1 < len(listed) <= most


def test_the_connections_of_a_pool_go_when_it_is_closed(server: ServerProcess, connect_blocking: Connect) -> None:
    watcher = connect_blocking(server.port)
    client = redis.Redis(port=server.port, client_name="pooled", socket_timeout=TIMEOUT)
    barrier = threading.Barrier(10)

    def hold_a_connection() -> None:
        with client.pipeline() as pipeline:
            pipeline.watch("key")
            barrier.wait(TIMEOUT)

    def pooled() -> int:
        return sum(line["name"] == "pooled" for line in watcher.client_list())

    all_at_once([hold_a_connection] * 10)
    assert pooled() == 10
    client.close()
    wait_until(lambda: pooled() == 0, "the server has noticed")


def test_threads_with_a_client_each_see_their_own_connections_state(
    server: ServerProcess, connect_blocking: Connect
) -> None:
    clients = [connect_blocking(server.port, **ONE) for _ in range(20)]

    def name(number: int) -> tuple[str | None, int]:
        clients[number].client_setname(f"client{number}")
        return plain(clients[number].client_getname()), clients[number].client_id()

    replies = all_at_once([partial(name, number) for number in range(20)])
    assert [name for name, _ in replies] == [f"client{number}" for number in range(20)]
    assert len({number for _, number in replies}) == 20
