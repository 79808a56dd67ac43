"""CONFIG: the settings, and their change, all of them or none."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from functools import partial

import pytest

from common.errors import STRING_TOO_LONG, SYNTAX_ERROR, invalid_parameter, not_one_of, unknown_parameter
from common.limits import GIB, Limits
from common.replies import OK, PONG, ErrorReply
from server.args.integers import MAX_INTEGER
from server.clients.registry import TooManyClients
from server.keyspace.store import Store
from server.settings import MAX_MAX_CLIENTS, PARAMETERS, Settings
from server.settings.kinds import EVICTION
from tests.harness.sessions import ClientSession, connect, execute, execute_line, new_session, send_line, send_lines
from tests.harness.waiting import all_at_once


@pytest.fixture(autouse=True)
def _the_log_level_comes_back() -> Iterator[None]:
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


def get(session: ClientSession, *patterns: str) -> dict[str, str]:
    reply = execute(session, b"CONFIG", b"GET", *(pattern.encode() for pattern in patterns))
    assert isinstance(reply, list)
    args = [bytes(arg).decode() for arg in reply if isinstance(arg, bytes)]
    return dict(zip(args[::2], args[1::2], strict=True))


# ---------------------------------------------------------------- GET


def test_config_get_returns_every_setting(session: ClientSession) -> None:
    session.context.settings = Settings(host="127.0.0.1", ports=(9736, 9737))
    assert get(session, "*") == {
        "appendfsync": "everysec",
        "appendonly": "no",
        "auto-aof-rewrite-min-size": "67108864",
        "bind": "127.0.0.1",
        "busy-reply-threshold": "5000",
        "client-output-buffer-limit": "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        "databases": "16",
        "dir": "",
        "loglevel": "info",
        "lua-time-limit": "5000",
        "maxclients": "10000",
        "maxmemory": "0",
        "maxmemory-policy": "noeviction",
        "notify-keyspace-events": "",
        "port": "9736",
        "proto-max-bulk-len": "536870912",
        "requirepass": "",
        "save": "",
        "slowlog-log-slower-than": "10000",
        "slowlog-max-len": "128",
        "tcp-keepalive": "300",
        "timeout": "0",
        "tls-ca-cert-file": "",
        "tls-cert-file": "",
        "tls-key-file": "",
        "tls-port": "0",
        "tracking-table-max-keys": "1000000",
        "unixsocket": "",
        "unixsocketperm": "0",
    }


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["SAVE"], ["save"]),
        (["slowlog-*"], ["slowlog-log-slower-than", "slowlog-max-len"]),
        (["max*", "*memory"], ["maxclients", "maxmemory", "maxmemory-policy"]),
        (["save", "nothing", "TimeOut"], ["save", "timeout"]),
        (["nothing"], []),
    ],
)
def test_config_get_takes_patterns_in_any_case(session: ClientSession, patterns: list[str], names: list[str]) -> None:
    assert list(get(session, *patterns)) == names


def test_config_get_in_resp3_is_a_map(session: ClientSession) -> None:
    execute_line(session, "HELLO 3")
    assert execute_line(session, "CONFIG GET save") == {b"save": b""}


# ---------------------------------------------------------------- SET

CHANGES = {
    "busy-reply-threshold": ["0", "1", "5000"],
    "lua-time-limit": ["0", "1", "5000"],
    "slowlog-log-slower-than": ["0", "-1", "1", str(MAX_INTEGER // 1000)],
    "slowlog-max-len": ["0", "1", "1000"],
    "tracking-table-max-keys": ["0", "1", "1000"],
    "maxclients": ["1", "20000", str(MAX_MAX_CLIENTS)],
    "tcp-keepalive": ["0", "1", "32767"],
    "timeout": ["0", "1", "2147483647"],
    "maxmemory": ["0", "1", str(MAX_INTEGER)],
    "maxmemory-policy": list(EVICTION.choices),
    "proto-max-bulk-len": ["1", "1024", "1048576"],
    "loglevel": ["debug", "info", "warning", "error"],
    "appendfsync": ["always", "everysec", "no"],
    "auto-aof-rewrite-min-size": ["1", "67108864"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in CHANGES.items() for value in values])
def test_a_setting_that_is_changed_reads_as_it_was_written(session: ClientSession, name: str, value: str) -> None:
    assert execute_line(session, f"CONFIG SET {name} {value}") == OK
    assert get(session, name) == {name: value}
    assert execute_line(session, f"config set {name.upper()} {value.upper()}") == OK
    assert get(session, name) == {name: value}


def test_the_settings_that_can_change_are_these() -> None:
    mutable = {name for name, parameter in PARAMETERS.items() if parameter.mutable}
    in_a_normal_form = {"client-output-buffer-limit", "notify-keyspace-events"}  # see `test_pubsub_settings`
    assert mutable == {*CHANGES, *in_a_normal_form, "requirepass"}  # whose value is not shown, see `test_auth`


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ("nothing 1", "ERR Unknown option or number of arguments for CONFIG SET - 'nothing'"),
        ("port 1", "ERR CONFIG SET failed (possibly related to argument 'port') - can't set immutable config"),
        (
            "slowlog-max-len x",
            (
                "ERR CONFIG SET failed (possibly related to argument 'slowlog-max-len') - "
                "argument couldn't be parsed into an integer"
            ),
        ),
        (
            "slowlog-max-len -1",
            (
                "ERR CONFIG SET failed (possibly related to argument 'slowlog-max-len') - "
                f"argument must be between 0 and {MAX_INTEGER} inclusive"
            ),
        ),
        *(
            (
                f"maxclients {number}",
                (
                    "ERR CONFIG SET failed (possibly related to argument 'maxclients') - "
                    f"argument must be between 1 and {MAX_MAX_CLIENTS} inclusive"
                ),
            )
            for number in (0, MAX_MAX_CLIENTS + 1)
        ),
        (
            "loglevel loud",
            (
                "ERR CONFIG SET failed (possibly related to argument 'loglevel') - "
                "argument(s) must be one of the following: debug, info, warning, error"
            ),
        ),
        ("save x", "ERR CONFIG SET failed (possibly related to argument 'save') - can't set immutable config"),
        (
            "slowlog-max-len 5",
            "ERR CONFIG SET failed (possibly related to argument 'slowlog-max-len') - duplicate parameter",
        ),
    ],
)
def test_one_bad_change_among_several_changes_nothing(session: ClientSession, args: str, error: str) -> None:
    line = f"CONFIG SET slowlog-log-slower-than 5 SLOWLOG-max-len 7 {args} loglevel error"
    before = get(session, "*")
    assert send_line(session, line).lower() == f"(error) {error}".lower()
    assert get(session, "*") == before


def test_config_set_changes_several_settings_at_once(session: ClientSession) -> None:
    assert send_line(session, "CONFIG SET slowlog-log-slower-than 5 slowlog-max-len 7") == "OK"
    assert get(session, "slowlog*") == {"slowlog-log-slower-than": "5", "slowlog-max-len": "7"}


def test_a_name_without_a_value_is_refused(session: ClientSession) -> None:
    assert execute_line(session, "CONFIG SET slowlog-max-len 7 loglevel") == SYNTAX_ERROR
    assert get(session, "slowlog-max-len") == {"slowlog-max-len": "128"}


def test_a_limit_that_changes_holds_for_connections_to_come(session: ClientSession) -> None:
    assert execute_line(session, "CONFIG SET proto-max-bulk-len 4") == OK
    assert execute(session, b"ECHO", b"12345") == b"12345"
    error = ErrorReply.from_text(b"ERR Protocol error: invalid bulk length")
    assert execute(connect(session.context), b"ECHO", b"12345") == error
    assert execute(connect(session.context), b"ECHO", b"1234") == b"1234"


@pytest.mark.parametrize(("line", "size"), [("APPEND k 2345", 5), ("SETRANGE k 4 x", 5), ("SETRANGE new 1 2345", 5)])
@pytest.mark.parametrize("existing", [True, False], ids=["limit reached", "limit exceeded"])
def test_proto_max_bulk_len_bounds_append_and_setrange(
    session: ClientSession, store: Store, line: str, size: int, existing: bool
) -> None:
    store.set(b"k", b"1")
    limit = size if existing else size - 1
    assert execute_line(session, f"CONFIG SET proto-max-bulk-len {limit}") == OK
    before = store.items()
    reply = send_line(session, line)
    if existing:
        assert reply == str(size)
    else:
        assert reply == "(error) " + STRING_TOO_LONG.text.decode()
        assert store.items() == before


def test_proto_max_bulk_len_bounds_queued_commands_too(session: ClientSession) -> None:
    send_lines(session, "CONFIG SET proto-max-bulk-len 4", "MULTI", "SETRANGE k 4 x", "SETRANGE k 3 x")
    assert execute_line(session, "EXEC") == [STRING_TOO_LONG, 4]


def test_the_limits_of_a_server_at_its_start_bound_values_too() -> None:
    session = new_session(limits=Limits(max_bulk=8))
    assert execute_line(session, "SETRANGE k 8 x") == STRING_TOO_LONG
    assert execute_line(session, "SETRANGE k 7 x") == 8


def test_a_limit_on_clients_that_changes_holds_for_connections_to_come(
    session: ClientSession, other: ClientSession
) -> None:
    assert execute_line(session, "CONFIG SET maxclients 1") == OK
    assert execute_line(other, "PING") == PONG
    with pytest.raises(TooManyClients):
        connect(session.context)
    assert execute_line(session, "CONFIG SET maxclients 3") == OK
    connect(session.context)


def test_a_request_may_always_be_as_large_as_an_argument_of_it(session: ClientSession) -> None:
    session.context.limits = dataclasses.replace(Limits(), max_request=GIB)
    assert execute_line(session, f"CONFIG SET proto-max-bulk-len {4 * GIB}") == OK
    assert session.context.limits == Limits(max_bulk=4 * GIB, max_request=4 * GIB)


def test_the_level_of_the_log_is_the_one_that_was_set(session: ClientSession) -> None:
    send_lines(session, "CONFIG SET loglevel ERROR")
    assert logging.getLogger().level == logging.ERROR


def test_append_and_setrange_obey_the_largest_argument_at_once(session: ClientSession) -> None:
    assert send_line(session, "CONFIG SET proto-max-bulk-len 10") == "OK"
    assert send_line(session, "APPEND key 0123456789") == "10"
    too_long = "(error) ERR string exceeds maximum allowed size (proto-max-bulk-len)"
    assert send_line(session, "APPEND key x") == too_long
    assert send_line(session, "SETRANGE key 10 x") == too_long
    assert send_line(session, "CONFIG SET proto-max-bulk-len 11") == "OK"
    assert send_line(session, "APPEND key x") == "11"


def test_changes_of_two_clients_at_once_are_both_kept(session: ClientSession, other: ClientSession) -> None:
    def change(client: ClientSession, name: str) -> None:
        for value in range(1, 500):
            assert send_line(client, f"CONFIG SET {name} {value}") == "OK"

    all_at_once([partial(change, session, "maxclients"), partial(change, other, "slowlog-max-len")])
    assert get(session, "maxclients", "slowlog-max-len") == {"maxclients": "499", "slowlog-max-len": "499"}


def test_a_parameter_that_is_not_utf8_is_unknown(session: ClientSession) -> None:
    reply = execute(session, b"CONFIG", b"SET", b"\xff", b"1")
    assert reply == unknown_parameter(b"\xff")
    reply = execute(session, b"CONFIG", b"SET", b"loglevel", b"\xff")
    assert reply == invalid_parameter(b"loglevel", not_one_of(["debug", "info", "warning", "error"]))
