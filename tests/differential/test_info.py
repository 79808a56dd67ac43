"""INFO, CLIENT LIST and MONITOR: the fields are Redis's, and both servers count and show the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from common.resp_client import encode_request
from common.text_args import split_args
from tests.harness.resp_wire import Servers, Twin, payload

FIELDS = {
    "server": "redis_version redis_git_sha1 redis_git_dirty redis_build_id redis_mode os arch_bits process_id "
    "process_supervised run_id tcp_port server_time_usec uptime_in_seconds uptime_in_days executable config_file",
    "clients": "connected_clients cluster_connections maxclients blocked_clients tracking_clients",
    "memory": "used_memory used_memory_human used_memory_rss used_memory_rss_human used_memory_peak "
    "used_memory_peak_human total_system_memory total_system_memory_human used_memory_lua used_memory_scripts "
    "maxmemory maxmemory_human maxmemory_policy mem_fragmentation_ratio mem_allocator",
    "persistence": "loading async_loading rdb_bgsave_in_progress rdb_last_bgsave_status aof_enabled "
    "aof_rewrite_in_progress aof_last_bgrewrite_status aof_last_write_status",
    "stats": "total_connections_received total_commands_processed instantaneous_ops_per_sec rejected_connections "
    "expired_keys keyspace_hits keyspace_misses pubsub_channels pubsub_patterns latest_fork_usec total_error_replies",
    "replication": "role connected_slaves master_failover_state master_replid master_replid2 master_repl_offset "
    "second_repl_offset repl_backlog_active repl_backlog_size repl_backlog_first_byte_offset repl_backlog_histlen",
    "cpu": "used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children",
    "cluster": "cluster_enabled",
}
"""The fields that clients, exporters and the test-suites of client libraries read."""

OTHER_FIELDS = {
    "kvline_version",
    "kvline_build",
    "listener0",  # as in Redis 7.2
    "acl_access_denied_auth",
    "python_version",
    "monitoring_clients",
    "watching_clients",
}


@pytest.fixture
def twin(servers: Servers) -> Iterator[Twin]:
    if servers.redis.version < 7:
        pytest.skip("the fields are those of Redis 7")
    twin = servers.connect()
    yield twin
    twin.close()


def ask_both(twin: Twin, line: str) -> tuple[bytes, bytes]:
    """Send a command and return the two bulk strings."""
    ours, theirs = twin.ask(split_args(line.encode()))
    return payload(ours), payload(theirs)


def fields(text: bytes) -> dict[str, str]:
    return dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)


def info(twin: Twin, section: str) -> tuple[dict[str, str], dict[str, str]]:
    ours, theirs = ask_both(twin, f"INFO {section}")
    return fields(ours), fields(theirs)


@pytest.mark.parametrize("section", FIELDS)
def test_a_section_has_the_fields_that_clients_read(twin: Twin, section: str) -> None:
    for found in info(twin, section):
        assert set(FIELDS[section].split()) - found.keys() == set()


@pytest.mark.parametrize("section", FIELDS)
def test_fields_with_the_names_of_redis_only(twin: Twin, section: str) -> None:
    ours, theirs = info(twin, section)
    assert set(ours) - OTHER_FIELDS - theirs.keys() == set()


def test_the_replication_of_a_server_without_replicas(twin: Twin) -> None:
    ours, theirs = info(twin, "replication")
    own = {"master_replid", "repl_backlog_size"}
    assert {name: ours[name] for name in ours if name not in own} == {
        name: theirs[name] for name in ours if name not in own
    }
    assert len(ours["master_replid"]) == len(theirs["master_replid"])


def test_the_headings_are_those_of_redis(twin: Twin) -> None:
    ours, theirs = (
        [line for line in text.decode().splitlines() if line.startswith("#")]
        for text in ask_both(twin, "INFO everything")
    )
    assert set(ours) - set(theirs) == set()
    assert {"# Server", "# CPU", "# Cluster"} <= set(ours)


LOOKUPS = """
    SET a 1; SET b 2; GET a; GET none; STRLEN a; STRLEN none;
    EXISTS a b none a; TOUCH a none
    TYPE a; TYPE none; TTL a; TTL none; PTTL none; EXPIRETIME a; PEXPIRETIME none; MGET a b none none; GETRANGE a 0 0
    SUBSTR none 0 1; GETSET a 3; GETSET new 1; GETDEL new; GETDEL new; GETEX a; GETEX none; SET a 1 GET; SET other 1 GET
    SET a 1 NX; SET a 1 XX; SETNX a 1; INCR n; APPEND a x; SETRANGE a 0 x; EXPIRE a 100; PERSIST a; COPY a c;
    COPY none c
    RENAME c d; DEL d; UNLINK none; LCS a b; LCS a none; OBJECT ENCODING a; OBJECT ENCODING none; OBJECT REFCOUNT a
    GETBIT a 0; GETBIT none 0; BITCOUNT a; BITCOUNT none; BITPOS a 1; BITPOS none 1; SETBIT a 0 1; DUMP a; DUMP none
    BITOP AND x a none; BITFIELD_RO a GET u8 0; BITFIELD_RO none GET u8 0; OBJECT FREQ none; OBJECT IDLETIME none
    MULTI & GET a & GET none & MGET a none & EXEC; KEYS *; RANDOMKEY; SCAN 0; MSET x 1 y 2; MSETNX x 1; DBSIZE; GET none
"""


def test_keyspace_hits_and_misses_are_counted_as_in_redis(twin: Twin) -> None:
    names = ("keyspace_hits", "keyspace_misses")
    for command in ([b"FLUSHALL"], [b"CONFIG", b"RESETSTAT"]):
        twin.ask(command)
    for step in filter(str.strip, LOOKUPS.replace("\n", ";").split(";")):
        for line in step.split("&"):
            twin.ask(split_args(line.encode()))
        ours, theirs = info(twin, "stats")
        assert (step, *map(ours.get, names)) == (step, *map(theirs.get, names))
    assert min(int(ours[name]) for name in names) > 15


def test_pipelined_requests_are_counted_as_in_redis(servers: Servers, twin: Twin) -> None:
    for line in ("FLUSHALL", "SET a 1", "CONFIG RESETSTAT"):
        twin.ask(split_args(line.encode()))
    other = servers.connect()
    requests = b"".join(encode_request([b"GET", key]) for key in [b"a"] * 40 + [b"none", b"a"] * 20)
    other.pour(requests)
    other.close()
    for each in info(twin, "stats"):
        assert (each["keyspace_hits"], each["keyspace_misses"]) == ("60", "20")


def test_each_database_with_keys_has_a_line(twin: Twin) -> None:
    for line in ("FLUSHALL", "SET a 1", "SELECT 1", "SET a 1 EX 1000", "SET b 1", "SELECT 2", "SET a 1", "DEL a"):
        twin.ask(split_args(line.encode()))
    ours, theirs = (
        {name: line.partition(",avg_ttl")[0] for name, line in each.items()} for each in info(twin, "keyspace")
    )
    assert ours == theirs == {"db0": "keys=1,expires=0", "db1": "keys=2,expires=1"}
    for each in ask_both(twin, "CLIENT LIST"):
        assert b" db=2 " in each
    twin.ask([b"FLUSHALL"])


# ---------------------------------------------------------------- MONITOR

STORY = """
    GET a; nope x; GET; MULTI; SET a 1; CONFIG GET maxmemory; nope; SHUTDOWN; DISCARD; MULTI; SET a 2; PING; EXEC
    MULTI; SET a; EXEC; MULTI; SHUTDOWN; EXEC; CONFIG GET maxmemory; CLIENT LIST; CLIENT ID; SLOWLOG GET; MONITOR x
    COMMAND COUNT; INFO server; EXEC; DISCARD; WATCH a; MULTI; WATCH b; MULTI; GET a; EXEC; EXEC x; INCRBY a x
    KEYS *; PING a b; AUTH x y; SELECT 1; GET a; MULTI; SELECT 15; GET a; SELECT 16; EXEC; GET a; RESET; QUIT
"""
"""Requests that are executed, queued, refused, or administrative."""


def test_monitor_shows_what_redis_shows_in_its_order(servers: Servers, twin: Twin) -> None:
    twin.ask([b"MONITOR"])
    other = servers.connect()
    for line in filter(str.strip, STORY.replace("\n", ";").split(";")):
        other.ask(split_args(line.encode()))
    other.close()
    shown: list[list[bytes]] = [[], []]
    for peer, lines in zip((twin.kvline, twin.redis), shown, strict=True):
        while not (lines and lines[-1] == b'[0 "QUIT"\r\n'):
            time_and_database, _, rest = peer.line().partition(b" 127.0.0.1:")
            lines.append(time_and_database.partition(b" ")[2] + rest.partition(b"]")[2])
    assert shown[0] == shown[1]
    assert len(shown[0]) > 20
