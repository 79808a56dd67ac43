"""CLIENT: ids, names, LIST and INFO, KILL, REPLY; and the limit on connections."""

from __future__ import annotations

import time

import pytest

from common.errors import CLIENT_ID_TOO_LOW, INVALID_CLIENT_ID, INVALID_CLIENT_NAME, NO_SUCH_CLIENT, SYNTAX_ERROR
from common.replies import OK, ErrorReply, Lines, Reply
from common.resp_client import ReplyDecoder, encode_request
from server.clients.registry import ClientRegistry, TooManyClients
from tests.harness.sessions import (
    ClientSession,
    connect,
    execute,
    execute_line,
    feed,
    new_session,
    send_line,
    send_lines,
    transport_of,
)
from tests.harness.waiting import all_at_once

# ---------------------------------------------------------------- numbers and names


def test_client_ids_are_unique_and_not_reused(session: ClientSession) -> None:
    numbers = [execute_line(session, "CLIENT ID")]
    for _ in range(3):
        each = connect(session.context)
        numbers.append(execute_line(each, "CLIENT ID"))
        each.close()
    assert numbers == [1, 2, 3, 4]
    assert session.context.clients.received == 4
    assert len(session.context.clients) == 1


def test_client_setname_names_the_connection(session: ClientSession, other: ClientSession) -> None:
    assert execute_line(session, "CLIENT GETNAME") is None
    assert execute_line(session, "CLIENT SETNAME worker-1") == OK
    assert execute_line(session, "CLIENT GETNAME") == b"worker-1"
    assert execute_line(other, "CLIENT GETNAME") is None
    assert execute_line(session, "CLIENT SETNAME ''") == OK
    assert execute_line(session, "CLIENT GETNAME") is None


@pytest.mark.parametrize("name", [b"two words", b"a\nb", b"\x00", b"\x7f", "é".encode(), b" "])
def test_client_setname_refuses_blanks_and_control_characters(session: ClientSession, name: bytes) -> None:
    execute_line(session, "CLIENT SETNAME old")
    assert execute(session, b"CLIENT", b"SETNAME", name) == INVALID_CLIENT_NAME
    assert execute(session, b"CLIENT", b"SETINFO", b"lib-name", name) == ErrorReply.from_text(
        b"ERR lib-name cannot contain spaces, newlines or special characters."
    )
    assert (session.client.name, session.client.library_name) == (b"old", b"")


def test_client_setinfo_sets_the_library_name_and_version(session: ClientSession) -> None:
    assert send_lines(session, "CLIENT SETINFO LIB-NAME redis-py", "CLIENT SETINFO lib-ver 5.0") == ["OK", "OK"]
    fields = fields_of(session)
    assert (fields["lib-name"], fields["lib-ver"]) == ("redis-py", "5.0")
    assert send_line(session, "CLIENT SETINFO LIB-COLOUR red") == "(error) ERR Unrecognized option 'LIB-COLOUR'"


@pytest.mark.parametrize("name", ["NO-EVICT", "NO-TOUCH"])
def test_client_no_evict_and_no_touch_are_accepted(session: ClientSession, name: str) -> None:
    assert send_lines(session, f"CLIENT {name} ON", f"client {name} off") == ["OK", "OK"]
    assert execute_line(session, f"CLIENT {name} MAYBE") == SYNTAX_ERROR


# ---------------------------------------------------------------- how many


def test_connections_beyond_the_limit_are_refused() -> None:
    clients = ClientRegistry(2)
    first, second = clients.add(), clients.add()
    for _ in range(3):
        with pytest.raises(TooManyClients):
            clients.add()
    assert clients.all() == [first, second]
    assert (clients.received, clients.rejected) == (2, 3)
    clients.remove(first)
    clients.remove(first)
    assert clients.add().id == 3
    with pytest.raises(TooManyClients):
        clients.add()


def test_a_lower_limit_closes_no_existing_connection() -> None:
    clients = ClientRegistry(1)
    clients.add()
    clients.limit = 2
    clients.add()
    clients.limit = 1
    assert len(clients) == 2
    with pytest.raises(TooManyClients):
        clients.add()


def test_concurrent_connections_do_not_exceed_the_limit() -> None:
    clients = ClientRegistry(10)

    def come() -> bool:
        try:
            clients.add()
        except TooManyClients:
            return False
        return True

    assert sum(all_at_once([come] * 50)) == 10
    assert (len(clients), clients.received, clients.rejected) == (10, 10, 40)


# ---------------------------------------------------------------- LIST and INFO


def parse(line: str) -> dict[str, str]:
    return dict(field.split("=", 1) for field in line.split(" "))


def fields_of(session: ClientSession) -> dict[str, str]:
    return parse(send_line(session, "CLIENT INFO"))


def test_client_info_reports_these_fields_in_this_order(session: ClientSession) -> None:
    send_lines(session, "CLIENT SETNAME worker", "HELLO 3", "WATCH a b", "GET a")
    fields = fields_of(session)
    assert fields.pop("age").isdigit()
    assert fields.pop("idle").isdigit()
    assert list(fields.items()) == [
        ("id", "1"),
        ("addr", "10.0.0.1:5000"),
        ("laddr", "10.0.0.9:9736"),
        ("fd", "-1"),
        ("name", "worker"),
        ("flags", "N"),
        ("db", "0"),
        *((name, "0") for name in ("sub", "psub", "ssub")),
        ("multi", "-1"),
        ("watch", "2"),
        *((name, "0") for name in ("qbuf", "qbuf-free", "argv-mem", "multi-mem", "rbs", "rbp")),
        *((name, "0") for name in ("obl", "oll", "omem", "tot-mem")),
        ("events", "r"),
        ("cmd", "client|info"),
        ("user", "default"),
        ("redir", "-1"),
        ("resp", "3"),
        ("lib-name", ""),
        ("lib-ver", ""),
    ]


def test_every_line_of_client_list_and_info_has_an_end(session: ClientSession, other: ClientSession) -> None:
    listed, described = execute_line(session, "CLIENT LIST"), execute_line(session, "CLIENT INFO")
    assert isinstance(listed, bytes)
    assert isinstance(described, bytes)
    assert [listed.count(b"\n"), described.count(b"\n")] == [2, 1]
    assert listed.endswith(b"\n")
    assert described.endswith(b"\n")
    assert execute_line(session, "CLIENT LIST TYPE pubsub") == b""


def test_client_list_reports_a_transaction_and_monitor(session: ClientSession, other: ClientSession) -> None:
    send_lines(other, "MULTI", "SET key value")
    (theirs,) = (parse(line) for line in send_line(session, "CLIENT LIST ID 2").split("\n"))
    assert (theirs["flags"], theirs["multi"]) == ("x", "1")
    assert int(theirs["multi-mem"]) >= len("SETkeyvalue")
    send_lines(other, "DISCARD", "MONITOR")
    assert parse(send_line(session, "CLIENT LIST ID 2"))["flags"] == "O"
    send_line(other, "RESET")
    theirs = parse(send_line(session, "CLIENT LIST ID 2"))
    assert (theirs["flags"], theirs["multi-mem"]) == ("N", "0")


def test_client_list_reports_the_last_command_of_each_connection(session: ClientSession, other: ClientSession) -> None:
    send_lines(other, "GET a", "MULTI", "PING", "PING")
    ours, theirs = map(parse, send_line(session, "CLIENT LIST").split("\n"))
    assert (ours["id"], ours["multi"], ours["cmd"]) == ("1", "-1", "client|list")
    assert (theirs["id"], theirs["multi"], theirs["cmd"]) == ("2", "2", "multi")
    connect(session.context)
    assert parse(send_line(session, "CLIENT LIST ID 3"))["cmd"] == "NULL"


def test_client_list_reports_age_and_idle_time_in_seconds(
    session: ClientSession, other: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_line(other, "PING")
    other.client.connected_at -= 100 * 10**9
    other.client.call.started -= 10 * 10**9
    now = time.perf_counter_ns()
    monkeypatch.setattr("server.commands.client.perf_counter_ns", lambda: now)
    theirs = parse(send_line(session, "CLIENT LIST ID 2"))
    assert (theirs["age"], theirs["idle"]) == ("100", "10")


@pytest.mark.parametrize(
    ("args", "numbers"),
    [
        ("", "123"),
        ("TYPE normal", "123"),
        ("type NORMAL", "123"),
        ("TYPE pubsub", ""),
        ("ID 2", "2"),
        ("id 3 1 9 1", "13"),
    ],
)
def test_client_list_may_be_filtered(session: ClientSession, other: ClientSession, args: str, numbers: str) -> None:
    connect(other.context)
    lines = send_line(session, f"CLIENT LIST {args}").split("\n")
    assert [parse(line)["id"] for line in lines if line] == list(numbers)


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ("TYPE", SYNTAX_ERROR),
        ("TYPE person", ErrorReply.from_text(b"ERR Unknown client type 'person'")),
        ("ID", SYNTAX_ERROR),
        ("ID one", INVALID_CLIENT_ID),
        ("NAME x", SYNTAX_ERROR),
    ],
)
def test_a_filter_that_client_list_does_not_have_is_refused(
    session: ClientSession, args: str, error: ErrorReply
) -> None:
    assert execute_line(session, f"CLIENT LIST {args}") == error


def test_a_disconnected_client_is_shown_no_more(session: ClientSession, other: ClientSession) -> None:
    other.close()
    assert send_line(session, "CLIENT LIST").count("\n") == 0
    other.close()
    assert session.context.clients.all() == [session.client]


def test_client_list_in_resp3_is_a_block_of_lines(session: ClientSession) -> None:
    execute_line(session, "HELLO 3")
    reply = execute_line(session, "CLIENT LIST")
    assert isinstance(reply, Lines)
    assert [line.split(b" ")[0] for line in reply.lines] == [b"id=1"]


# ---------------------------------------------------------------- KILL


@pytest.mark.parametrize(
    ("args", "reply", "killed"),
    [
        ("10.0.0.2:6000", OK, [2]),
        ("ID 2", 1, [2]),
        ("ID 9", 0, []),
        ("ADDR 10.0.0.3:7000", 1, [3]),
        ("LADDR 10.0.0.9:9736", 2, [2, 3]),
        ("laddr 10.0.0.9:9736 skipme YES", 2, [2, 3]),
        ("ID 3 ADDR 10.0.0.2:6000", 0, []),
        ("ID 1", 0, []),
        ("TYPE normal", 2, [2, 3]),
        ("TYPE pubsub", 0, []),
        ("USER default", 2, [2, 3]),
        ("10.0.0.4:8000", NO_SUCH_CLIENT, []),
        ("ID zero", CLIENT_ID_TOO_LOW, []),
        ("ID 0", CLIENT_ID_TOO_LOW, []),
        ("USER unknown", ErrorReply.from_text(b"ERR No such user 'unknown'"), []),
        ("TYPE person", ErrorReply.from_text(b"ERR Unknown client type 'person'"), []),
        ("SKIPME perhaps", SYNTAX_ERROR, []),
        ("ID 2 ADDR", SYNTAX_ERROR, []),
        ("NAME x", SYNTAX_ERROR, []),
    ],
)
def test_client_kill_ends_the_connections_that_match(
    session: ClientSession, other: ClientSession, args: str, reply: Reply, killed: list[int]
) -> None:
    third = connect(session.context, "10.0.0.3:7000")
    assert execute_line(session, f"CLIENT KILL {args}") == reply
    everybody = (session, other, third)
    assert [each.client.id for each in everybody if transport_of(each).killed] == killed
    assert not session.closing


@pytest.mark.parametrize("args", ["10.0.0.1:5000", "ID 1 SKIPME no", "SKIPME no"])
def test_client_kill_of_the_own_connection_is_replied_to_first(
    session: ClientSession, other: ClientSession, args: str
) -> None:
    reply = session.feed(encode_request(f"CLIENT KILL {args}".encode().split()) + b"SET after 1\n")
    assert reply in (b"+OK\r\n", b":1\r\n", b":2\r\n")
    assert session.closing
    assert not transport_of(session).killed
    assert execute_line(other, "DBSIZE") == 0


def test_client_kill_ignores_a_client_without_a_transport() -> None:
    session = new_session()
    session.context.clients.add("10.0.0.2:6000")
    assert execute_line(session, "CLIENT KILL ID 2") == 1


# ---------------------------------------------------------------- REPLY


@pytest.mark.parametrize("sizes", [(), (1,), (7,)], ids=["in one read", "byte by byte", "in pieces"])
@pytest.mark.parametrize(
    ("lines", "answers"),
    [
        ("1 OFF 2 3 ON 4", "1 OK 4"),
        ("1 SKIP 2 3", "1 3"),
        ("SKIP SKIP 1 2", "2"),
        ("SKIP OFF 1 2 ON 3", "OK 3"),
        ("OFF SKIP 1 2 ON 3", "OK 3"),
        ("OFF OFF 1 ON 2", "OK 2"),
        ("SKIP ON 1", "OK 1"),
        ("ON 1 on 2", "OK 1 OK 2"),
        ("skip FLY 1", "1"),
        ("off FLY 1 on 2", "OK 2"),
        ("SKIP 1 SKIP 2 3", "3"),
    ],
)
@pytest.mark.parametrize("dialect", ["text", "RESP"])
def test_reply_mode_off_and_skip_suppress_replies(
    session: ClientSession, lines: str, answers: str, sizes: tuple[int, ...], dialect: str
) -> None:
    sent = b""
    for arg in lines.split():
        line = f"ECHO {arg}" if arg.isdigit() else arg if arg == "FLY" else f"CLIENT REPLY {arg}"
        sent += f"{line}\n".encode() if dialect == "text" else encode_request(line.encode().split())
    output = feed(session, sent, *sizes)
    if dialect == "text":
        assert output.decode().split() == answers.split()
    else:
        expected = [OK if arg == "OK" else arg.encode() for arg in answers.split()]
        assert ReplyDecoder().feed(output) == expected


def test_commands_in_reply_mode_off_are_executed(session: ClientSession) -> None:
    assert feed(session, b"CLIENT REPLY OFF\nSET a 1\nMULTI\nINCR a\nEXEC\nCLIENT REPLY ON\nGET a\n") == b"OK\n2\n"


def test_quit_in_reply_mode_off_is_not_replied_to(session: ClientSession) -> None:
    assert feed(session, b"CLIENT REPLY OFF\nQUIT\nPING\n") == b""
    assert session.closing


@pytest.mark.parametrize("sizes", [(), (1,)], ids=["in one read", "byte by byte"])
@pytest.mark.parametrize(
    ("lines", "replies"),
    [
        ("CLIENT REPLY OFF; '; GET; PING; CLIENT REPLY ON; PING", "OK PONG"),
        ("CLIENT REPLY SKIP; '; PING", "PONG"),
        ("CLIENT REPLY SKIP; GET; PING", "PONG"),
        ("CLIENT REPLY SKIP; CLIENT REPLY SKIP; '; PING", "PONG"),
        ("CLIENT REPLY LOUD SKIP; CLIENT REPLY SKIP; MULTI; PING; EXEC", "QUEUED 1) PONG"),
        ("CLIENT REPLY SKIP; CLIENT REPLY LOUD; PING", "PONG"),
        ("CLIENT REPLY OFF; CLIENT REPLY LOUD; PING; CLIENT REPLY ON", "OK"),
        ("CLIENT REPLY OFF; CLIENT REPLY SKIP; CLIENT REPLY ON; PING; PING", "OK PONG PONG"),
    ],
)
def test_reply_mode_covers_errors_and_protocol_errors(
    session: ClientSession, lines: str, replies: str, sizes: tuple[int, ...]
) -> None:
    output = feed(session, "".join(f"{line}\n" for line in lines.split("; ")).encode(), *sizes)
    shown = [line for line in output.decode().splitlines() if not line.startswith("(error) ERR wrong number")]
    assert " ".join(shown) == replies


def test_a_protocol_error_that_closes_the_connection_is_not_replied_to_in_reply_mode_off(
    session: ClientSession,
) -> None:
    assert feed(session, b"CLIENT REPLY OFF\n*x\r\nPING\n") == b""
    assert session.closing


def test_errors_count_in_reply_mode_off(session: ClientSession) -> None:
    feed(session, b"CLIENT REPLY OFF\n'\nGET\nINCR a b\nCLIENT REPLY ON\n")
    assert session.context.stats.errors == 3


def test_a_mode_that_reply_does_not_have_is_refused(session: ClientSession) -> None:
    assert execute_line(session, "CLIENT REPLY LOUD") == SYNTAX_ERROR
    assert send_line(session, "PING") == "PONG"


@pytest.mark.parametrize(("mode", "after"), [("OFF", ""), ("SKIP", ""), ("ON", "PONG")])
def test_the_array_of_an_exec_with_client_reply_in_it_is_whole(session: ClientSession, mode: str, after: str) -> None:
    assert send_lines(session, "MULTI", f"CLIENT REPLY {mode}", "ECHO a", "EXEC", "PING")[3:] == ["1) OK\n2) a", after]


# ---------------------------------------------------------------- PAUSE


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ("x FOO", "CLIENT PAUSE mode must be WRITE or ALL"),
        ("x", "timeout is not an integer or out of range"),
        ("9223372036854775808", "timeout is not an integer or out of range"),
        ("-1 WRITE", "timeout is negative"),
    ],
)
def test_client_pause_refuses_what_redis_refuses(session: ClientSession, args: str, error: str) -> None:
    assert send_line(session, f"CLIENT PAUSE {args}") == f"(error) ERR {error}"
    assert not session.context.inspection.needed


def test_a_second_pause_does_not_shorten_or_weaken_the_first(session: ClientSession) -> None:
    pause = session.context.pause
    pause.begin(1000, writes_only=False)
    pause.begin(0, writes_only=True)
    assert pause.concerns(write=False)
    pause.end()
    pause.begin(1000, writes_only=True)
    assert not pause.concerns(write=False)
    pause.begin(0, writes_only=False)
    assert pause.concerns(write=False)
    pause.end()
    assert not session.context.inspection.needed


def test_requests_are_inspected_no_more_when_a_pause_has_ended_by_itself(session: ClientSession) -> None:
    assert send_lines(session, "CLIENT PAUSE 0", "PING") == ["OK", "PONG"]
    assert not session.context.inspection.needed
