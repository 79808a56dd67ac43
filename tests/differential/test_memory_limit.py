"""The memory limit, set on both servers. Which keys are evicted may differ, what clients are told may not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from common.resp_client import encode_request
from common.text_args import split_args
from server.rdb.payload import dump
from server.settings.kinds import EVICTION
from tests.differential.comparison import Sessions
from tests.harness.resp_wire import Servers
from tests.harness.waiting import wait_until

MIB = 1024 * 1024
LIMIT = b"10mb"
"""More than an empty Redis uses."""

LARGE = (b"SETRANGE", b"large", b"%d" % (12 * MIB), b"x")
"""Makes a large value by a small request, because Redis counts the buffers of requests too."""

EVICTING = [policy for policy in EVICTION.choices if policy != "noeviction"]


@pytest.fixture
def sessions(servers: Servers) -> Iterator[Sessions]:
    """Two sessions with both servers, which have a limit of `LIMIT` and evict nothing."""
    if servers.redis.version < 7:
        pytest.skip("the rules of transactions at the limit are those of Redis 7")
    with Sessions(servers, 2) as sessions:
        try:
            sessions.send(0, b"CONFIG", b"SET", b"maxmemory", LIMIT)
            yield sessions
        finally:
            for session in (0, 1):
                sessions.send(session, b"RESET")
            sessions.send(0, b"CONFIG", b"SET", b"maxmemory", b"0", b"maxmemory-policy", b"noeviction")
            sessions.send(0, b"FLUSHALL")


def send_lines(sessions: Sessions, session: int, *lines: str) -> None:
    for line in lines:
        sessions.send(session, *split_args(line.encode()))


COMMANDS = [
    "SET k v",
    "SET k v NX",
    "SETNX k v",
    "SETEX k 1 v",
    "PSETEX k 1 v",
    "GETSET k v",
    "GETDEL k",
    "GETEX k",
    "MGET k k",
    "MSET k v",
    "MSETNX k v",
    "APPEND k v",
    "SETRANGE k 0 v",
    "INCR k",
    "DECRBY k 2",
    "INCRBYFLOAT k 2",
    "COPY k l",
    "RENAME small other",
    "RENAME other small",
    "EXPIRE small 1000",
    "PERSIST small",
    "STRLEN large",
    "LCS small small",
    "EXISTS small",
    "TYPE small",
    "SET",
    "PING",
    "OBJECT FREQ small",
    "WATCH small",
    "UNWATCH",
    "DEL none",
    "SETBIT k 1 1",
    "BITOP NOT k small",
    "BITFIELD small GET u8 0",
    "BITFIELD_RO small GET u8 0",
    "MOVE small 1",
    "SWAPDB 0 1",
    "SWAPDB 1 0",
    "PUBLISH channel message",
    'SETRANGE none 0 ""',
    "DUMP none",
    "RESTORE k 0 x",
    "TOUCH small",
]

SCRIPTS = [
    'SCRIPT LOAD "return 1"',
    "EVAL \"return redis.call('GET', KEYS[1])\" 1 small",
    "EVAL \"return redis.pcall('SET', KEYS[1], '2')\" 1 small",
    "EVAL \"redis.call('DEL', 'none') return redis.call('SET', KEYS[1], '2')\" 1 small",
    "EVAL_RO \"return redis.call('GET', KEYS[1])\" 1 small",
    "EVAL \"#!lua\\nreturn redis.call('GET', KEYS[1])\" 1 small",
    "EVAL \"#!lua flags=no-writes\\nreturn redis.call('GET', KEYS[1])\" 1 small",
    "EVAL \"#!lua flags=allow-oom\\nreturn redis.call('SET', KEYS[1], '3')\" 1 small",
]


def test_at_the_limit_the_same_commands_are_refused(sessions: Sessions) -> None:
    sessions.send(0, b"SET", b"small", b"1")
    sessions.send(0, *LARGE)
    send_lines(sessions, 0, *COMMANDS, "DEL large", "SET k v", "GET k")


def test_at_the_limit_the_same_scripts_are_refused(sessions: Sessions) -> None:
    pytest.importorskip("lupa", reason="the extra scripts is not installed")
    sessions.send(0, b"SET", b"small", b"1")
    sessions.send(0, *LARGE)
    send_lines(sessions, 0, *SCRIPTS, "GET small")


def test_transactions_at_the_limit(sessions: Sessions) -> None:
    sessions.send(0, b"SET", b"small", b"1")
    send_lines(sessions, 1, "MULTI", "GET small", "SET small 2")
    sessions.send(0, *LARGE)
    send_lines(sessions, 1, "EXEC")  # refused as a whole
    send_lines(sessions, 1, "MULTI", "GET small", "PING", "EXEC")
    send_lines(sessions, 1, "MULTI", "DISCARD", "GET small")
    send_lines(sessions, 0, "DEL large")
    send_lines(sessions, 1, "WATCH small", "MULTI", "GET small", "STRLEN large")
    sessions.send(0, *LARGE)
    send_lines(sessions, 1, "EXEC")  # executed, because it only reads
    send_lines(sessions, 0, "DEL large")
    send_lines(sessions, 1, "MULTI")
    sessions.send(1, *LARGE)
    send_lines(sessions, 1, "SET k v", "DEL large", "EXEC", "GET k")  # the limit is not looked at between its commands


def test_a_pipeline_that_reaches_the_limit(sessions: Sessions, servers: Servers) -> None:
    requests = [encode_request([b"SET", b"%d" % number, b"x" * 1000]) for number in range(20_000)]
    for server in (servers.kvline, servers.redis):
        peer = server.connect()
        peer.send(b"".join(requests))
        replies = [peer.line() for _ in requests]
        assert set(replies) == {b"+OK\r\n", b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"}
        if server is servers.kvline:  # Redis counts the rest of the pipeline too, which becomes less
            assert replies == sorted(replies), "from one request on, all are refused"


@pytest.mark.parametrize("policy", EVICTING)
def test_eviction_lets_writes_go_on(sessions: Sessions, policy: str) -> None:
    send_lines(sessions, 0, f"CONFIG SET maxmemory-policy {policy}")
    for number in range(300):
        # Without a look at the key: each server may evict a new key, too, and kvline's active expire cycle does so at
        # any time.
        sessions.send(number % 2, b"SET", b"%d" % number, b"x" * 100_000, b"EX", b"1000")
    sessions.send(0, b"FLUSHALL")


@pytest.mark.parametrize("policy", [policy for policy in EVICTING if policy.startswith("volatile")])
def test_a_volatile_policy_without_keys_that_have_an_expiry_refuses_writes(
    sessions: Sessions, servers: Servers, policy: str
) -> None:
    send_lines(sessions, 0, f"CONFIG SET maxmemory-policy {policy}", "SET small 1 EX 1000")
    sessions.send(0, *LARGE)
    # A command evicts for half a millisecond at most. If one eviction takes longer on a busy machine, the command runs.
    direct = servers.kvline.connect()
    wait_until(lambda: direct.ask(b"EXISTS small") == b"0", "the active expire cycle has evicted the key")
    send_lines(sessions, 0, "SET k v", "GET small", "SET k v", "EXPIRE large 1000", "SET k v", "EXISTS large")


def test_an_eviction_makes_a_watch_dirty(sessions: Sessions) -> None:
    sessions.send(0, *LARGE)
    send_lines(sessions, 1, "WATCH large", "MULTI", "PING")
    send_lines(sessions, 0, "CONFIG SET maxmemory-policy allkeys-lru", "SET other 1", "EXISTS large other")
    send_lines(sessions, 1, "EXEC")


def test_lowering_the_limit_below_what_is_used_is_accepted(sessions: Sessions) -> None:
    send_lines(
        sessions,
        0,
        "SETRANGE large 8000000 x",
        "CONFIG SET maxmemory 6mb",
        "SET k v",
        "CONFIG SET maxmemory 20mb",
        "SET k v",
    )


@pytest.mark.parametrize("policy", ["allkeys-lfu", "allkeys-lru"])
def test_object_reports_what_the_policy_tracks(sessions: Sessions, policy: str) -> None:
    send_lines(sessions, 0, f"CONFIG SET maxmemory-policy {policy}", "SET k v", "OBJECT FREQ k", "OBJECT IDLETIME k")


@pytest.mark.parametrize("policy", ["allkeys-lfu", "allkeys-lru", "noeviction"])
@pytest.mark.parametrize("usage", ["FREQ 0", "FREQ 200", "FREQ 255", "IDLETIME 0", "IDLETIME 1000"])
def test_restore_sets_what_the_policy_tracks(sessions: Sessions, policy: str, usage: str) -> None:
    listing = "OBJECT IDLETIME k" if policy == "allkeys-lru" else "OBJECT FREQ k"
    send_lines(sessions, 0, f"CONFIG SET maxmemory-policy {policy}")
    sessions.send(0, b"RESTORE", b"k", b"0", dump(b"v"), *usage.encode().split())
    send_lines(sessions, 0, listing)
