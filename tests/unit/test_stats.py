"""What the server counts and reports: INFO, SLOWLOG, CONFIG RESETSTAT; and TIME and SHUTDOWN."""

from __future__ import annotations

import re
import time

import pytest

from common.errors import (
    COUNT_TOO_LOW,
    EXEC_ABORTED,
    NO_LOG,
    NO_MULTI_HERE,
    NO_SHUTDOWN_HERE,
    NO_SHUTDOWN_TO_ABORT,
    SYNTAX_ERROR,
)
from common.replies import OK, Lines
from common.resp_client import encode_request
from server.clients.registry import TooManyClients
from server.clients.slowlog import MAX_ARG_SIZE, MAX_ARGS
from server.keyspace.store import Store
from server.settings import Settings
from tests.harness.clock import Clock
from tests.harness.sessions import ClientSession, connect, execute, execute_line, feed, send_line, send_lines

# ---------------------------------------------------------------- INFO


def info(session: ClientSession, *sections: str) -> dict[str, str]:
    lines = send_line(session, " ".join(("INFO", *sections))).split("\n")
    return dict(line.split(":", 1) for line in lines if line and not line.startswith("#"))


def record(session: ClientSession, name: str) -> dict[str, int] | None:
    """Return what is counted of a command, but for its time."""
    line = info(session, "commandstats").get(f"cmdstat_{name}")
    if line is None:
        return None
    fields = dict(field.split("=") for field in line.split(","))
    assert list(fields) == ["calls", "usec", "usec_per_call", "rejected_calls", "failed_calls"]
    assert float(fields["usec"]) >= 0
    return {name: int(fields[name]) for name in ("calls", "rejected_calls", "failed_calls")}


SECTIONS = [
    "Server",
    "Clients",
    "Memory",
    "Persistence",
    "Stats",
    "Replication",
    "CPU",
    "Modules",
    "Commandstats",
    "Cluster",
    "Keyspace",
]
DEFAULT_SECTIONS = [each for each in SECTIONS if each != "Commandstats"]


@pytest.mark.parametrize(
    ("args", "sections"),
    [
        ("", DEFAULT_SECTIONS),
        ("default", DEFAULT_SECTIONS),
        ("all", SECTIONS),
        ("everything", SECTIONS),
        ("keyspace SERVER", ["Server", "Keyspace"]),
        ("commandstats default", SECTIONS),
        ("nothing", []),
    ],
)
def test_info_reports_the_sections_that_were_asked_for(session: ClientSession, args: str, sections: list[str]) -> None:
    lines = send_line(session, f"INFO {args}").split("\n")
    assert [line[2:] for line in lines if line.startswith("# ")] == sections


def test_info_in_resp_is_one_string_whose_lines_end_as_rediss_do(session: ClientSession) -> None:
    reply = execute_line(session, "INFO cluster modules")
    assert reply == b"# Modules\r\n\r\n# Cluster\r\ncluster_enabled:0\r\n"
    execute_line(session, "HELLO 3")
    block = execute_line(session, "INFO cluster modules")
    assert isinstance(block, Lines)
    assert b"".join(block.as_string()) == reply


def test_info_counts_calls_failures_and_refusals(session: ClientSession, other: ClientSession) -> None:
    assert record(session, "incr") is None
    send_lines(session, "SET a x", "INCR b", "INCR a", "INCR", "INCR a b", "HELLO 4", "HELLO", "PING a b")
    send_lines(other, "INCR b", "MULTI", "INCR b", "INCR a", "PING", "EXEC")
    assert record(session, "incr") == {"calls": 5, "rejected_calls": 2, "failed_calls": 2}
    assert record(session, "hello") == {"calls": 2, "rejected_calls": 0, "failed_calls": 1}
    assert record(session, "ping") == {"calls": 2, "rejected_calls": 0, "failed_calls": 1}
    assert record(session, "exec") == {"calls": 1, "rejected_calls": 0, "failed_calls": 0}
    stats = info(session, "stats")
    assert stats["total_error_replies"] == str(2 + 2 + 1 + 1)


def test_queued_commands_are_counted_when_exec_runs_them(session: ClientSession) -> None:
    send_lines(session, "MULTI", "GET a", "DISCARD")
    assert record(session, "get") is None


def test_info_counts_keys_expiries_and_what_has_expired(session: ClientSession, store: Store, clock: Clock) -> None:
    assert info(session, "keyspace") == {}
    send_lines(session, "SET a 1", "SET b 1 PX 100", "SET c 1 PX 200")
    assert info(session, "keyspace") == {"db0": "keys=3,expires=2,avg_ttl=0"}
    assert info(session, "stats")["expired_keys"] == "0"
    clock.forward(150)
    assert info(session, "keyspace") == {"db0": "keys=2,expires=1,avg_ttl=0"}
    assert info(session, "stats")["expired_keys"] == "1"


def test_info_counts_connections(session: ClientSession, other: ClientSession) -> None:
    other.close()
    third = connect(session.context)
    send_line(third, "WATCH a")
    assert info(session, "clients") == {
        "connected_clients": "2",
        "cluster_connections": "0",
        "blocked_clients": "0",
        "tracking_clients": "0",
        "maxclients": "10000",
        "monitoring_clients": "0",
        "watching_clients": "1",
    }
    session.context.clients.limit = 2
    with pytest.raises(TooManyClients):
        connect(session.context)
    stats = info(session, "stats")
    assert (stats["total_connections_received"], stats["rejected_connections"]) == ("3", "1")


FIELDS_OF_MONITORING_TOOLS = {
    "server": "redis_version redis_mode os tcp_port run_id process_id uptime_in_seconds config_file",
    "clients": "connected_clients blocked_clients tracking_clients maxclients",
    "memory": "used_memory used_memory_human used_memory_rss used_memory_peak used_memory_peak_human maxmemory "
    "maxmemory_policy mem_fragmentation_ratio",
    "persistence": "loading async_loading rdb_bgsave_in_progress aof_enabled aof_rewrite_in_progress",
    "stats": "total_connections_received total_commands_processed rejected_connections expired_keys",
    "replication": "role connected_slaves master_repl_offset",
    "cpu": "used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children",
}
"""What redis-cli --stat, the exporter of oliver006 for Prometheus and redis-commander read."""


@pytest.mark.parametrize("section", FIELDS_OF_MONITORING_TOOLS)
def test_info_has_the_fields_that_monitoring_tools_read(session: ClientSession, section: str) -> None:
    assert set(FIELDS_OF_MONITORING_TOOLS[section].split()) <= info(session, section).keys()


def test_info_identifies_the_run_and_the_config_file(session: ClientSession) -> None:
    session.context.settings = Settings(config_file="/etc/kvline.toml")
    figures = info(session, "server")
    assert re.fullmatch(r"[0-9a-f]{40}", figures["run_id"])
    assert figures["config_file"] == "/etc/kvline.toml"


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0B"), (1023, "1023B"), (1024, "1.00K"), (1536, "1.50K"), (5 * 1024**2, "5.00M"), (3 * 1024**4, "3072.00G")],
)
def test_info_shows_sizes_as_redis_does(
    session: ClientSession, monkeypatch: pytest.MonkeyPatch, size: int, shown: str
) -> None:
    monkeypatch.setattr("server.commands.info.resident_bytes", lambda: size)
    assert info(session, "memory")["used_memory_human"] == shown


def test_info_reports_the_server_and_its_memory(session: ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    session.context.settings = Settings(ports=(9736,))
    now = session.context.started + 2 * 86400 + 5.5
    monkeypatch.setattr("server.commands.info.time.monotonic", lambda: now)
    figures = info(session)
    assert (figures["tcp_port"], figures["uptime_in_seconds"], figures["uptime_in_days"]) == ("9736", "172805", "2")
    assert figures["redis_mode"] == "standalone"
    assert 1_000_000 < int(figures["used_memory"]) <= int(figures["used_memory_peak"])


def test_config_resetstat_begins_to_count_anew(session: ClientSession) -> None:
    send_lines(session, "SET a x", "INCR a", "GET", "HELLO 4", "CONFIG SET slowlog-log-slower-than 0", "GET a")
    assert send_line(session, "CONFIG RESETSTAT") == "OK"
    assert [record(session, name) for name in ("set", "incr", "get", "hello")] == [None] * 4
    assert int(send_line(session, "SLOWLOG LEN")) > 0, "the slow calls stay, as in Redis"


def test_an_unknown_command_is_not_counted_under_any_name(session: ClientSession) -> None:
    before = info(session, "commandstats")
    send_line(session, "FLY")
    assert info(session, "commandstats").keys() - before.keys() == {"cmdstat_info"}


# ---------------------------------------------------------------- SLOWLOG


@pytest.fixture
def slow(session: ClientSession) -> ClientSession:
    """A session on a server for which every call is a slow one."""
    execute_line(session, "CONFIG SET slowlog-log-slower-than 0")
    execute_line(session, "SLOWLOG RESET")
    return session


def slow_words(session: ClientSession, count: str = "") -> list[list[bytes]]:
    """Return the arguments of the slow calls, newest first, without the SLOWLOG RESET before them."""
    reply = execute_line(session, f"SLOWLOG GET {count}")
    assert isinstance(reply, list)
    args = [each[3] for each in reply if isinstance(each, list)]
    found = [[bytes(arg) for arg in each if isinstance(arg, bytes)] for each in args if isinstance(each, list)]
    return [each for each in found if each != [b"SLOWLOG", b"RESET"]]


def test_slowlog_has_the_client_and_the_timestamp(slow: ClientSession, other: ClientSession) -> None:
    send_line(other, "CLIENT SETNAME worker")
    before = time.time_ns() // 10**9
    send_line(other, "SET a 1")
    reply = execute_line(slow, "SLOWLOG GET 1")
    assert isinstance(reply, list)
    ((number, moment, microseconds, args, address, name),) = reply
    assert isinstance(number, int)
    assert before <= moment <= time.time_ns() // 10**9
    assert microseconds >= 0
    assert (args, address, name) == ([b"SET", b"a", b"1"], b"10.0.0.2:6000", b"worker")


def test_slowlog_has_the_newest_calls_first_with_rising_ids(slow: ClientSession) -> None:
    send_lines(slow, "GET a", "GET b", "PING", "FLY", "GET")
    assert slow_words(slow) == [[b"PING"], [b"GET", b"b"], [b"GET", b"a"]]
    reply = execute_line(slow, "SLOWLOG GET -1")
    assert isinstance(reply, list)
    numbers = [each[0] for each in reply if isinstance(each, list)]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) == len(numbers)


def test_slowlog_lists_the_commands_of_a_transaction_and_not_exec(slow: ClientSession) -> None:
    send_lines(slow, "MULTI", "GET a", "ECHO b", "EXEC")
    assert [args[0] for args in slow_words(slow)] == [b"ECHO", b"GET", b"MULTI"]


@pytest.mark.parametrize(("count", "found"), [("", 10), ("0", 0), ("3", 3), ("-1", 20), ("1000", 20)])
def test_slowlog_get_returns_ten_by_default(slow: ClientSession, count: str, found: int) -> None:
    send_lines(slow, *["PING"] * 20)
    execute_line(slow, "CONFIG SET slowlog-log-slower-than -1")
    reply = execute_line(slow, f"SLOWLOG GET {count}")
    assert isinstance(reply, list)
    assert len(reply) == found + (found == 20), "with the call that reset the log"


@pytest.mark.parametrize("count", ["-2", "x", "1.5"])
def test_a_count_that_is_none_is_refused(session: ClientSession, count: str) -> None:
    assert execute_line(session, f"SLOWLOG GET {count}") == COUNT_TOO_LOW


def test_slowlog_does_not_list_calls_below_the_threshold(session: ClientSession) -> None:
    for threshold in ("-1", str(60 * 10**6)):
        send_lines(session, f"CONFIG SET slowlog-log-slower-than {threshold}", "SLOWLOG RESET", "GET a")
        assert send_line(session, "SLOWLOG LEN") == "0"


def test_slowlog_max_len_evicts_the_oldest_entries(slow: ClientSession) -> None:
    send_lines(slow, "CONFIG SET slowlog-max-len 3", "GET a", "GET b", "GET c", "GET d")
    assert slow_words(slow) == [[b"GET", b"d"], [b"GET", b"c"], [b"GET", b"b"]]
    send_lines(slow, "CONFIG SET slowlog-log-slower-than -1", "CONFIG SET slowlog-max-len 1")
    assert len(slow_words(slow)) == 1
    send_lines(slow, "CONFIG SET slowlog-max-len 0")
    assert slow_words(slow) == []


def test_slowlog_abbreviates_long_commands(slow: ClientSession) -> None:
    long = b"x" * (MAX_ARG_SIZE + 50)
    execute(slow, b"DEL", b"y" * MAX_ARG_SIZE, long, *[b"k"] * 98)
    (args,) = slow_words(slow)
    assert args[:3] == [b"DEL", b"y" * MAX_ARG_SIZE, b"x" * MAX_ARG_SIZE + b"... (50 more bytes)"]
    assert (len(args), args[-1]) == (MAX_ARGS, b"... (70 more arguments)")
    execute(slow, b"DEL", *[b"k"] * (MAX_ARGS - 1))
    assert slow_words(slow)[0] == [b"DEL", *[b"k"] * (MAX_ARGS - 1)]


# ---------------------------------------------------------------- TIME and SHUTDOWN


def test_time_reports_seconds_and_microseconds(session: ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.commands.admin.time.time_ns", lambda: 2_000_000_000_000_042_999)
    assert execute_line(session, "TIME") == [b"2000000000", b"42"]


@pytest.mark.parametrize("line", ["SHUTDOWN", "shutdown nosave", "SHUTDOWN NOW FORCE NOSAVE"])
@pytest.mark.parametrize("dialect", ["text", "RESP"])
def test_shutdown_stops_the_server_without_a_reply(
    session: ClientSession, store: Store, line: str, dialect: str
) -> None:
    asked: list[bool] = []
    session.context.shut_down = lambda: asked.append(session.closing)
    sent = f"{line}\n".encode() if dialect == "text" else encode_request(line.encode().split())
    assert feed(session, sent + b"SET after 1\n") == b""
    assert asked == [False]
    assert session.closing
    assert store.items() == []


def test_shutdown_without_a_server_is_refused(session: ClientSession) -> None:
    assert execute_line(session, "SHUTDOWN") == NO_SHUTDOWN_HERE
    assert not session.closing


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ("SAVE", NO_LOG),
        ("SAVE NOSAVE", SYNTAX_ERROR),
        ("ABORT NOW", SYNTAX_ERROR),
        ("LATER", SYNTAX_ERROR),
        ("ABORT", NO_SHUTDOWN_TO_ABORT),
    ],
)
def test_a_shutdown_that_is_refused_ends_nothing(session: ClientSession, args: str, error: object) -> None:
    asked: list[int] = []
    session.context.shut_down = lambda: asked.append(1)
    assert execute_line(session, f"SHUTDOWN {args}") == error
    assert (asked, session.closing) == ([], False)


def test_shutdown_is_refused_in_multi(session: ClientSession) -> None:
    asked: list[int] = []
    session.context.shut_down = lambda: asked.append(1)
    assert execute_line(session, "MULTI") == OK
    assert execute_line(session, "SHUTDOWN") == NO_MULTI_HERE
    assert execute_line(session, "EXEC") == EXEC_ABORTED
    assert (asked, session.closing) == ([], False)


# ---------------------------------------------------------------- keyspace hits and misses


def lookups(session: ClientSession) -> tuple[str, str]:
    stats = info(session, "stats")
    return stats["keyspace_hits"], stats["keyspace_misses"]


def test_info_counts_keyspace_hits_and_misses(session: ClientSession, other: ClientSession) -> None:
    send_lines(session, "SET a 1", "GET a", "GET none", "MGET a none none", "EXISTS a a", "STRLEN none", "INCR a")
    send_lines(other, "MULTI", "GET a", "GET none", "EXEC")
    assert lookups(session) == ("5", "5")
    send_lines(session, "CONFIG RESETSTAT")
    assert lookups(session) == ("0", "0")


def test_info_counts_the_lookups_of_pipelined_requests(session: ClientSession) -> None:
    send_line(session, "SET a 1")
    requests = [[b"GET", b"a"], [b"GET", b"none"], [b"GET", b"a"]] * 10
    session.feed(b"".join(map(encode_request, requests)))
    assert lookups(session) == ("20", "10")


def test_config_resetstat_resets_expired_keys_and_connections(session: ClientSession, clock: Clock) -> None:
    send_line(session, "SET a 1 PX 10")
    clock.forward(20)
    send_line(session, "GET a")
    assert info(session, "stats")["expired_keys"] == "1"
    send_line(session, "CONFIG RESETSTAT")
    stats = info(session, "stats")
    assert (stats["expired_keys"], stats["total_connections_received"]) == ("0", "0")
