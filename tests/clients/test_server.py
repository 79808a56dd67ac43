"""redis-py's commands on the server as a whole. What changes its settings has a server of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis
import redis.asyncio

from tests.clients.conftest import Connect
from tests.harness.processes import ServerProcess, StartServer
from tests.harness.redis_py import plain, refused
from tests.harness.waiting import TIMEOUT

IMMUTABLE = r"CONFIG SET failed \(possibly related to argument 'port'\) - can't set immutable config"


@pytest.fixture
def own(start_server: StartServer, connect: Connect) -> Any:
    """A client of a server of its own."""
    return connect(start_server().port)


def test_info_reports_the_figures_by_section(server: ServerProcess, client: Any) -> None:
    client.mset({"a": 1, "b": 2})
    client.expire("a", 1000)
    everything = client.info()
    assert (everything["tcp_port"], everything["process_id"]) == (server.port, server.process.pid)
    assert everything["redis_version"].startswith("7.")
    assert everything["used_memory"] > 1_000_000
    keyspace = client.info("keyspace")
    assert set(keyspace) == {"db0"}
    assert (keyspace["db0"]["keys"], keyspace["db0"]["expires"]) == (2, 1)
    assert set(client.info("clients", "keyspace")) > {"db0", "connected_clients"}
    client.flushall()
    assert client.info("keyspace") == {}
    assert client.info("nothing of the kind") == {}


def test_settings_are_read_by_pattern(server: ServerProcess, client: Any) -> None:
    assert client.config_get("port") == {"port": str(server.port)}
    assert client.config_get("maxmem*", "appendonly") == {
        "appendonly": "no",
        "maxmemory": "0",
        "maxmemory-policy": "noeviction",
    }
    assert client.config_get("nothing") == {}
    assert set(client.config_get()) > {"databases", "save", "slowlog-max-len"}


def test_settings_are_changed_all_or_none(own: Any) -> None:
    assert own.config_set("slowlog-max-len", 7) is True
    assert own.config_set("slowlog-max-len", 9, "slowlog-log-slower-than", 5) is True
    assert own.config_get("slowlog-*") == {"slowlog-max-len": "9", "slowlog-log-slower-than": "5"}
    with pytest.raises(redis.ResponseError, match=IMMUTABLE):
        own.config_set("slowlog-max-len", 11, "port", 1)
    with pytest.raises(redis.ResponseError, match="argument couldn't be parsed into an integer"):
        own.config_set("slowlog-max-len", "long")
    with pytest.raises(redis.ResponseError, match="Unknown option or number of arguments for CONFIG SET - 'nothing'"):
        own.config_set("nothing", 1)
    assert own.config_get("slowlog-max-len") == {"slowlog-max-len": "9"}


def test_resetstat_makes_the_count_of_commands_begin_anew(own: Any) -> None:
    for _ in range(5):
        own.get("key")
    with pytest.raises(redis.ResponseError):
        own.execute_command("GET")
    counted = own.info("commandstats")["cmdstat_get"]
    assert (counted["calls"], counted["rejected_calls"], counted["failed_calls"]) == (5, 1, 0)
    assert own.info("stats")["total_commands_processed"] >= 5
    assert own.config_resetstat() is True
    assert "cmdstat_get" not in own.info("commandstats")
    assert own.info("stats")["total_commands_processed"] < 5


def test_the_time_goes_forward(client: Any) -> None:
    moments = [client.time() for _ in range(5)]
    assert moments == sorted(moments)
    assert all(0 <= microseconds < 1_000_000 for _, microseconds in moments)
    assert moments[0][0] > 1_700_000_000


def test_slowlog_lists_slow_commands_with_their_arguments(own: Any) -> None:
    assert (own.slowlog_get(), own.slowlog_len()) == ([], 0)
    own.config_set("slowlog-log-slower-than", 0)
    own.set("key", "two words")
    own.get("x" * 200)
    own.config_set("slowlog-log-slower-than", -1)
    own.get("not seen")
    newest, before, oldest = own.slowlog_get()
    assert [each["id"] for each in (oldest, before, newest)] == [0, 1, 2]
    assert oldest["command"] == b"CONFIG SET slowlog-log-slower-than 0"
    assert before["command"] == b"SET key two words"
    assert newest["command"] == b"GET " + b"x" * 128 + b"... (72 more bytes)"
    assert newest["client_address"].startswith(b"127.0.0.1:")
    assert own.slowlog_get(1) == [newest]
    assert own.slowlog_len() == 3
    assert own.slowlog_reset() is True
    assert (own.slowlog_get(), own.slowlog_len()) == ([], 0)


def test_object_encoding_is_reported(client: Any) -> None:
    client.mset({"int": 42, "short": "x" * 44, "long_": "x" * 45})
    assert [client.object("encoding", key) for key in ("int", "short", "long_")] == [b"int", b"embstr", b"raw"]
    assert client.object("refcount", "short") == 1
    assert client.object("encoding", "none") is None
    assert client.memory_usage("none") is None
    small, large = client.memory_usage("short"), client.memory_usage("long_", samples=0)
    assert 44 < small < large
    with pytest.raises(redis.ResponseError, match=r"^An LFU maxmemory policy is not selected"):
        client.object("freq", "int")


def test_the_commands_are_described(client: Any) -> None:
    described = client.command()
    assert client.command_count() == len(described)
    assert {name for name in map(plain, client.command_list()) if "|" not in name} == set(described)
    get, mset = described["get"], described["mset"]
    assert [get[field] for field in ("arity", "first_key_pos", "last_key_pos", "step_count")] == [2, 1, 1, 1]
    assert [mset[field] for field in ("arity", "first_key_pos", "last_key_pos", "step_count")] == [-3, 1, -1, 2]
    assert "readonly" in get["flags"]
    assert "write" in mset["flags"]
    assert set(map(plain, client.command_list(pattern="getr*"))) == {"getrange"}
    assert [plain(key) for key in client.command_getkeys("MSET", "a", "1", "b", "2")] == ["a", "b"]
    with refused("Invalid command specified"):
        client.command_getkeys("NOPE", "a")


def test_an_unknown_subcommand_is_refused(client: Any) -> None:
    for command in ("CLIENT", "COMMAND", "CONFIG", "MEMORY", "OBJECT", "SLOWLOG"):
        with refused(f"unknown subcommand 'NOPE'. Try {command} HELP."):
            client.execute_command(command, "NOPE")


def test_monitor_shows_what_the_others_send(server: ServerProcess, connect_blocking: Connect) -> None:
    watcher, client = connect_blocking(server.port), connect_blocking(server.port)
    address = client.client_info()["addr"]
    with watcher.monitor() as monitor:
        client.set("key", 'two "words"\n')
        client.pipeline().get("key").execute()
        seen = [monitor.next_command() for _ in range(4)]
    assert [each["command"] for each in seen] == ['SET key two "words"\\n', "MULTI", "GET key", "EXEC"]
    assert {f"{each['client_address']}:{each['client_port']}" for each in seen} == {address}
    assert {each["db"] for each in seen} == {0}
    assert [each["time"] for each in seen] == sorted(each["time"] for each in seen)


def test_monitor_shows_an_asyncio_client_what_the_others_send(
    server: ServerProcess, protocol: int, connect_blocking: Connect
) -> None:
    client = connect_blocking(server.port)
    client.ping()  # what a client says as it connects is not what the others shall see

    async def watch() -> list[str]:
        options = {"port": server.port, "protocol": protocol, "socket_timeout": TIMEOUT}
        async with redis.asyncio.Redis(**options) as watcher, watcher.monitor() as monitor:
            client.set("key", "value")
            client.get("key")
            return [(await monitor.next_command())["command"] for _ in range(2)]

    assert asyncio.run(watch()) == ["SET key value", "GET key"]


@pytest.mark.parametrize(
    "shut_down", [lambda own: own.shutdown(), lambda own: own.shutdown(nosave=True, now=True)], ids=["plain", "nosave"]
)
def test_shutdown_ends_the_process_in_good_order(
    start_server: StartServer, connect: Connect, shut_down: Callable[[Any], object]
) -> None:
    server = start_server()
    client = connect(server.port)
    client.set("key", "value")
    shut_down(client)  # redis-py raises when it gets any reply but the end of the connection
    assert server.exit_status() == 0
    with pytest.raises(redis.ConnectionError):
        client.ping()


def test_shutdown_with_saving_is_refused_without_a_log_and_the_server_continues(own: Any) -> None:
    with refused("this server has no log; start it with --data"):
        own.execute_command("SHUTDOWN", "SAVE")
    with refused("No shutdown in progress."):
        own.execute_command("SHUTDOWN", "ABORT")
    assert own.ping() is True
