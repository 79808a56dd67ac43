"""Commands about the connection itself: PING, ECHO, HELLO, SELECT, AUTH, RESET."""

from __future__ import annotations

import pytest

from common import REDIS_VERSION, __version__
from common.errors import (
    INVALID_CLIENT_NAME,
    NO_PASSWORD,
    UNSUPPORTED_PROTOCOL,
    WRONG_PASSWORD,
)
from common.replies import NULL_ARRAY, PONG, ErrorReply, SimpleString
from common.resp_client import encode_request
from tests.harness.sessions import ClientSession, execute, execute_line, send_line, send_lines


def test_ping_replies_pong_or_the_message(session: ClientSession) -> None:
    assert execute(session, b"PING") == PONG
    assert execute(session, b"PING", b"a b") == b"a b"
    assert execute(session, b"PING", b"") == b""


def test_echo_replies_the_message(session: ClientSession) -> None:
    assert execute(session, b"ECHO", b"a\r\nb") == b"a\r\nb"


def test_hello_describes_the_server(session: ClientSession) -> None:
    assert session.client.id > 0
    description = {
        b"server": b"kvline",
        b"version": REDIS_VERSION.encode(),
        b"kvline_version": __version__.encode(),
        b"proto": 3,
        b"id": session.client.id,
        b"mode": b"standalone",
        b"role": b"master",
        b"modules": [],
    }
    assert execute(session, b"HELLO", b"3") == description
    assert execute(session, b"HELLO") == description


def test_hello_negotiates_the_version_of_resp(session: ClientSession) -> None:
    assert isinstance(execute(session, b"HELLO", b"2"), list)
    assert isinstance(execute(session, b"HELLO", b"3"), dict)
    assert (session.client.protocol_version, isinstance(execute(session, b"HELLO"), dict)) == (3, True)
    assert isinstance(execute(session, b"HELLO", b"2"), list)
    assert isinstance(execute(session, b"HELLO"), list)


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ([b"4"], UNSUPPORTED_PROTOCOL),
        ([b"1"], UNSUPPORTED_PROTOCOL),
        ([b"-3"], UNSUPPORTED_PROTOCOL),
        ([b"three"], ErrorReply.from_text(b"ERR Protocol version is not an integer or out of range")),
        ([b"03"], ErrorReply.from_text(b"ERR Protocol version is not an integer or out of range")),
        ([b""], ErrorReply.from_text(b"ERR Protocol version is not an integer or out of range")),
        ([b"2", b"AUTH", b"user", b"secret"], WRONG_PASSWORD),
        ([b"2", b"SETNAME", b"new", b"AUTH", b"user", b"secret"], WRONG_PASSWORD),
        (
            [b"2", b"SETNAME", b"new", b"AUTH", b"user"],
            ErrorReply.from_text(b"ERR Syntax error in HELLO option 'AUTH'"),
        ),
        ([b"2", b"SETNAME"], ErrorReply.from_text(b"ERR Syntax error in HELLO option 'SETNAME'")),
        ([b"2", b"NAME", b"new"], ErrorReply.from_text(b"ERR Syntax error in HELLO option 'NAME'")),
        ([b"2", b"SETNAME", b"two words"], INVALID_CLIENT_NAME),
        ([b"2", b"SETNAME", b"new", b"SETNAME", b"two words"], INVALID_CLIENT_NAME),
        ([b"SETNAME", b"new"], ErrorReply.from_text(b"ERR Protocol version is not an integer or out of range")),
    ],
)
def test_a_hello_that_is_refused_leaves_the_version_and_the_name_as_they_were(
    session: ClientSession, args: list[bytes], error: ErrorReply
) -> None:
    execute(session, b"HELLO", b"3", b"SETNAME", b"old")
    assert execute(session, b"HELLO", *args) == error
    assert (session.client.protocol_version, session.client.name) == (3, b"old")


@pytest.mark.parametrize("option", [b"SETNAME", b"setname"])
def test_hello_may_name_the_connection(session: ClientSession, option: bytes) -> None:
    assert isinstance(execute(session, b"HELLO", b"3", option, b"worker"), dict)
    assert execute(session, b"CLIENT", b"GETNAME") == b"worker"
    execute(session, b"HELLO", b"2", option, b"")
    assert execute(session, b"CLIENT", b"GETNAME") is None


def test_hello_in_text_prints_its_description_and_stays_text(session: ClientSession) -> None:
    assert send_line(session, "HELLO 3").startswith("1) server\n2) kvline\n")
    assert send_line(session, "GET none") == "(nil)"
    assert session.feed(b"*2\r\n$3\r\nGET\r\n$4\r\nnone\r\n") == b"_\r\n"


# ---------------------------------------------------------------- the forms of replies


@pytest.mark.parametrize(
    ("line", "in_2", "in_3"),
    [
        ("GET none", b"$-1\r\n", b"_\r\n"),
        ("MGET none", b"*1\r\n$-1\r\n", b"*1\r\n_\r\n"),
        ("CONFIG GET databases", b"*2\r\n$9\r\ndatabases\r\n$2\r\n16\r\n", b"%1\r\n$9\r\ndatabases\r\n$2\r\n16\r\n"),
        (
            "LCS a b IDX",
            b"*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n",
            b"%2\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n",
        ),
        ("INCRBYFLOAT f 0.5", b"$3\r\n0.5\r\n", b"$3\r\n0.5\r\n"),
        (
            "HELP get",
            b"$36\r\nGET key\n  Return the value of a key.\r\n",
            b"=40\r\ntxt:GET key\n  Return the value of a key.\r\n",
        ),
    ],
)
def test_a_reply_takes_the_form_that_the_version_has_for_it(
    session: ClientSession, line: str, in_2: bytes, in_3: bytes
) -> None:
    request = encode_request(line.encode().split())
    assert session.feed(request) == in_2
    send_line(session, "FLUSHALL")
    execute(session, b"HELLO", b"3")
    assert session.feed(request) == in_3


@pytest.mark.parametrize(("version", "null"), [("2", b"*-1\r\n"), ("3", b"_\r\n")])
def test_an_exec_that_does_not_run_is_the_null_of_its_version(
    session: ClientSession, other: ClientSession, version: str, null: bytes
) -> None:
    send_lines(session, f"HELLO {version}", "WATCH a")
    send_line(other, "SET a 1")
    send_lines(session, "MULTI", "PING")
    assert session.feed(encode_request([b"EXEC"])) == null


def test_an_exec_that_does_not_run_is_nil_in_text(session: ClientSession, other: ClientSession) -> None:
    send_line(session, "WATCH a")
    send_line(other, "SET a 1")
    assert send_lines(session, "MULTI", "PING", "EXEC")[-1] == "(nil)"
    assert str(NULL_ARRAY) == "NullArray()"


@pytest.mark.parametrize("before", [[], [b"CLIENT", b"REPLY", b"SKIP"]], ids=["replied to", "skipped"])
def test_a_pipeline_is_replied_to_in_the_version_that_hello_and_reset_set_within_it(
    session: ClientSession, before: list[bytes]
) -> None:
    get = encode_request([b"GET", b"none"])
    requests = [[b"HELLO", b"3"], [b"GET", b"none"], [b"RESET"], [b"GET", b"none"]]
    if before:
        requests.insert(0, before)
    output = session.feed(get + b"".join(map(encode_request, requests)))
    assert output.startswith(b"$-1\r\n_" if before else b"$-1\r\n%8\r\n")
    assert output.endswith(b"_\r\n+RESET\r\n$-1\r\n")


def test_auth_without_a_user_name_is_refused_because_no_password_is_configured(session: ClientSession) -> None:
    assert execute(session, b"AUTH", b"secret") == NO_PASSWORD


# ---------------------------------------------------------------- RESET


def test_reset_returns_to_the_state_of_a_new_connection(session: ClientSession, other: ClientSession) -> None:
    send_lines(session, "HELLO 3 SETNAME worker", "WATCH a", "MULTI", "SET a 1")
    assert execute(session, b"RESET") == SimpleString(b"RESET")
    assert session.client.protocol_version == 2
    assert (session.client.name, session.client.watched_keys, session.client.multi_commands) == (b"", 0, -1)
    assert session.transaction is None
    assert send_line(other, "SET a 2") == "OK"
    assert send_lines(session, "MULTI", "GET a", "EXEC")[-1] == "1) 2"
    assert not session.closing


@pytest.mark.parametrize("mode", ["OFF", "SKIP"])
def test_reset_is_replied_to_in_reply_mode_off_and_ends_it(session: ClientSession, mode: str) -> None:
    assert send_lines(session, f"CLIENT REPLY {mode}", "RESET", "PING") == ["", "RESET", "PONG"]


def test_reset_discards_the_queue_of_a_dirty_transaction_too(session: ClientSession) -> None:
    assert send_lines(session, "MULTI", "FLY", "RESET", "MULTI", "PING", "EXEC")[2:] == [
        "RESET",
        "OK",
        "QUEUED",
        "1) PONG",
    ]
    assert execute_line(session, "DBSIZE") == 0
