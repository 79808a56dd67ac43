"""The password: what a session and its stream do before authentication, and where the password must not appear."""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Callable

import pytest

from common.errors import (
    HELLO_NOT_AUTHENTICATED,
    NO_PASSWORD,
    NOT_AUTHENTICATED,
    SYNTAX_ERROR,
    WRONG_PASSWORD,
)
from common.limits import MAX_UNAUTHENTICATED_ARG, MAX_UNAUTHENTICATED_ARGS, MIB
from common.passwords import MAX_PASSWORD_SIZE
from common.replies import OK, PONG, ErrorReply, SimpleString
from common.resp_client import ReplyDecoder, encode_request
from server.registry import Flag
from server.session.auth import Authenticator
from server.session.context import ServerContext
from server.session.session import Session
from tests.harness.cases import case
from tests.harness.frame_client import frame
from tests.harness.sessions import (
    ClientSession,
    connect,
    execute,
    execute_line,
    feed,
    send_line,
    send_lines,
    transport_of,
)
from tests.unit.test_commands import ENTRIES

SECRET = "hunter2"


@pytest.fixture
def guarded(context: ServerContext) -> ServerContext:
    """A server with a password."""
    context.change_settings({"password": SECRET})
    return context


@pytest.fixture
def stranger(guarded: ServerContext) -> ClientSession:
    """A client that has not authenticated."""
    return connect(guarded)


@pytest.fixture
def friend(guarded: ServerContext) -> ClientSession:
    """A client that has."""
    session = connect(guarded, "10.0.0.2:6000")
    assert send_line(session, f"AUTH {SECRET}") == "OK"
    return session


# ---------------------------------------------------------------- AUTH, HELLO, RESET


def test_a_client_that_sends_the_password_may_execute_commands(stranger: ClientSession) -> None:
    assert execute(stranger, b"SET", b"k", b"v") == NOT_AUTHENTICATED
    assert execute(stranger, b"AUTH", SECRET.encode()) == OK
    assert execute(stranger, b"SET", b"k", b"v") == OK


@pytest.mark.parametrize("args", [[b"hunter2"], [b"default", b"hunter2"]], ids=["password", "user and password"])
def test_auth_takes_the_password_with_and_without_the_user(stranger: ClientSession, args: list[bytes]) -> None:
    assert execute(stranger, b"AUTH", *args) == OK
    assert execute(stranger, b"PING") == PONG


@pytest.mark.parametrize(
    "args",
    [
        [b""],
        [b"hunter"],
        [b"hunter22"],
        [b"HUNTER2"],
        [b"hunter2 "],
        [b"default", b""],
        [b"default", b"wrong"],
        [b"Default", b"hunter2"],
        [b"", b"hunter2"],
        [b"root", b"hunter2"],
        [b"hunter2", b"default"],
        [b"\xff\x00"],
    ],
    ids=repr,
)
def test_a_wrong_password_or_user_is_refused_and_counted(stranger: ClientSession, args: list[bytes]) -> None:
    assert execute(stranger, b"AUTH", *args) == WRONG_PASSWORD
    assert execute(stranger, b"PING") == NOT_AUTHENTICATED
    assert stranger.context.auth.denied == 1


def test_a_wrong_password_does_not_end_an_authentication(friend: ClientSession) -> None:
    assert execute(friend, b"AUTH", b"wrong") == WRONG_PASSWORD
    assert execute(friend, b"PING") == PONG


def test_auth_with_too_many_arguments_is_a_syntax_error(stranger: ClientSession) -> None:
    assert execute(stranger, b"AUTH", b"default", SECRET.encode(), b"more") == SYNTAX_ERROR
    assert execute(stranger, b"PING") == NOT_AUTHENTICATED


def test_without_a_password_auth_with_a_user_accepts_any_and_without_one_is_an_error(session: ClientSession) -> None:
    assert execute(session, b"AUTH", b"any") == NO_PASSWORD
    assert execute(session, b"AUTH", b"default", b"any") == OK
    assert execute(session, b"AUTH", b"root", b"any") == WRONG_PASSWORD
    assert isinstance(execute(session, b"HELLO", b"3", b"AUTH", b"default", b"any"), dict)


def test_hello_authenticates_and_changes_the_version(stranger: ClientSession) -> None:
    hello = execute(stranger, b"HELLO", b"3", b"AUTH", b"default", SECRET.encode(), b"SETNAME", b"worker")
    assert isinstance(hello, dict)
    assert hello[b"proto"] == 3
    assert execute(stranger, b"CLIENT", b"GETNAME") == b"worker"


@pytest.mark.parametrize("args", [[], [b"2"], [b"3"], [b"3", b"SETNAME", b"x"]], ids=repr)
def test_hello_without_auth_needs_authentication_and_changes_nothing(
    stranger: ClientSession, args: list[bytes]
) -> None:
    assert execute(stranger, b"HELLO", *args) == HELLO_NOT_AUTHENTICATED
    assert (stranger.client.protocol_version, stranger.client.name) == (2, b"")


def test_hello_with_a_wrong_password_changes_nothing(stranger: ClientSession) -> None:
    refused = execute(stranger, b"HELLO", b"3", b"SETNAME", b"x", b"AUTH", b"default", b"wrong")
    assert refused == WRONG_PASSWORD
    assert (stranger.client.protocol_version, stranger.client.name) == (2, b"")
    assert execute(stranger, b"PING") == NOT_AUTHENTICATED


def test_hello_without_auth_keeps_an_authentication(friend: ClientSession) -> None:
    assert isinstance(execute(friend, b"HELLO", b"3"), dict)
    assert execute(friend, b"PING") == PONG


def test_reset_ends_the_authentication(friend: ClientSession) -> None:
    send_lines(friend, "MULTI", "SET k v")
    assert execute(friend, b"RESET") == SimpleString(b"RESET")
    assert execute(friend, b"PING") == NOT_AUTHENTICATED


# ---------------------------------------------------------------- what may run

ALLOWED = {b"AUTH", b"HELLO", b"RESET", b"QUIT", b"DISCONNECT"}


def test_only_these_commands_may_run_before_authentication() -> None:
    assert {each.name for each in ENTRIES if Flag.NO_AUTH in each.flags} == ALLOWED


@pytest.mark.parametrize("spelling", [bytes.upper, bytes.lower, bytes.title], ids=["upper", "lower", "mixed"])
def test_every_other_command_needs_authentication(stranger: ClientSession, spelling: Callable[[bytes], bytes]) -> None:
    for command in ENTRIES:
        if command.name in ALLOWED:
            continue
        names = [spelling(part) for part in command.name.split(b"|")]
        args = [*names, *[b"1"] * (command.min_args - len(names))]
        with case(*args):
            reply = execute(stranger, *args)
            if command.subcommands and len(names) == 1:  # a container: `1` is no subcommand
                assert isinstance(reply, ErrorReply)
                continue
            assert reply == NOT_AUTHENTICATED
            record = stranger.client.stats.by_command[command]
            assert (record.calls, record.rejected) == (0, 1)


def test_unknown_commands_and_wrong_arity_have_their_usual_errors_as_in_redis(stranger: ClientSession) -> None:
    assert send_line(stranger, "FLY a").startswith("(error) ERR unknown command 'FLY'")
    assert send_line(stranger, "GET") == "(error) ERR wrong number of arguments for 'get' command"


def test_requests_are_refused_in_every_way_to_execute_them(guarded: ServerContext) -> None:
    session = Session(guarded, guarded.clients.add())
    assert session.try_execute([b"GET", b"k"]) == NOT_AUTHENTICATED
    assert session.try_execute([b"KEYS", b"*"]) == NOT_AUTHENTICATED
    assert session.execute([b"KEYS", b"*"]) == NOT_AUTHENTICATED
    assert session.execute([b"DEL", *[b"k"] * 5000]) == NOT_AUTHENTICATED
    assert session.execute([b"MULTI"]) == NOT_AUTHENTICATED
    assert session.execute([b"EXEC"]) == NOT_AUTHENTICATED


def test_pipelined_requests_after_a_failed_auth_are_refused_one_by_one(stranger: ClientSession) -> None:
    requests = [[b"AUTH", b"wrong"], *[[b"SET", b"k%d" % n, b"v"] for n in range(100)], [b"AUTH", SECRET.encode()]]
    requests.append([b"DBSIZE"])
    output = feed(stranger, b"".join(map(encode_request, requests)))
    replies = ReplyDecoder().feed(output)
    assert replies == [WRONG_PASSWORD, *[NOT_AUTHENTICATED] * 100, OK, 0]


def test_pipelined_requests_after_auth_have_the_usual_bounds(stranger: ClientSession) -> None:
    large = b"x" * MIB
    requests = [[b"AUTH", SECRET.encode()], [b"SET", b"k", large], [b"MGET", *[b"none"] * 50], [b"STRLEN", b"k"]]
    output = feed(stranger, b"".join(map(encode_request, requests)))
    assert ReplyDecoder().feed(output) == [OK, OK, [None] * 50, MIB]


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_pipelined_requests_after_auth_may_be_cut_anywhere(stranger: ClientSession, size: int) -> None:
    lines = f"AUTH wrong\r\nGET k\nAUTH {SECRET}\n".encode()
    after = encode_request([b"SET", b"k", b"\r\n" * 10_000]) + frame({"command": "PING"})
    output = feed(stranger, lines + after + b"STRLEN k\n", size)
    texts, pong = b"(error) %b\r\n(error) %b\nOK\n+OK\r\n", frame({"status_code": 200, "value": "PONG"})
    assert output == texts % (WRONG_PASSWORD.text, NOT_AUTHENTICATED.text) + pong + b"20000\n"


def test_lines_of_character_mode_after_auth_have_the_usual_bounds(stranger: ClientSession) -> None:
    lines = b"AUTH " + SECRET.encode() + b"\r\0MGET" + b" none" * 11 + b"\r\0"
    assert feed(stranger, lines).splitlines() == [b"OK", *[b"%d) (nil)" % n for n in range(1, 12)]]


def test_requests_that_follow_reset_in_a_pipeline_are_refused(friend: ClientSession) -> None:
    requests = [[b"RESET"], [b"SET", b"k", b"v"], [b"AUTH", SECRET.encode()], [b"GET", b"k"]]
    output = feed(friend, b"".join(map(encode_request, requests)))
    assert ReplyDecoder().feed(output) == [SimpleString(b"RESET"), NOT_AUTHENTICATED, OK, None]


def test_quit_before_authentication_closes_the_connection_and_nothing_after_it_runs(stranger: ClientSession) -> None:
    assert feed(stranger, b"QUIT\nAUTH " + SECRET.encode() + b"\nSET k v\n") == b"OK\n"
    assert stranger.closing
    assert stranger.context.engine.key_counts().keys == 0  # type: ignore[union-attr]


def test_one_request_of_a_pipeline_is_executed_at_a_time_before_authentication(stranger: ClientSession) -> None:
    assert stranger.feed(b"GET a\nGET b\n") == b"(error) %b\n" % NOT_AUTHENTICATED.text
    assert stranger.pending
    assert stranger.feed(b"") == b"(error) %b\n" % NOT_AUTHENTICATED.text
    assert not stranger.pending


def test_a_frame_gets_401_until_it_has_authenticated(stranger: ClientSession) -> None:
    def ask(request: object) -> object:
        reply = feed(stranger, frame(request))
        assert struct.unpack(">i", reply[:4])[0] == len(reply) - 4
        return json.loads(reply[4:])

    for request in ({"command": "GET", "key": "k"}, {"command": "SET", "key": "k", "value": 1}, {"command": "RST"}):
        assert ask(request) == {"status_code": 401, "error": "NOAUTH Authentication required."}
    wrong = ask({"command": "AUTH", "args": ["wrong"]})
    assert wrong == {"status_code": 401, "error": WRONG_PASSWORD.text.decode()}
    assert ask({"command": "AUTH", "args": [SECRET]}) == {"status_code": 200, "value": "OK"}
    assert ask({"command": "SET", "key": "k", "value": 1}) == {"status_code": 200}


def test_a_transaction_outlives_another_authentication(friend: ClientSession) -> None:
    lines = ["MULTI", "SET k v", "AUTH wrong", f"AUTH {SECRET}", "GET k", "EXEC"]
    assert send_lines(friend, *lines)[-1].splitlines() == [
        "1) OK",
        f"2) (error) {WRONG_PASSWORD.text.decode()}",
        "3) OK",
        "4) v",
    ]


# ---------------------------------------------------------------- bounds before authentication


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"*11\r\n", b"-ERR Protocol error: unauthenticated multibulk length\r\n"),
        (b"*1048576\r\n", b"-ERR Protocol error: unauthenticated multibulk length\r\n"),
        (b"*2\r\n$16385\r\n", b"-ERR Protocol error: unauthenticated bulk length\r\n"),
        (b"*2\r\n$4\r\nAUTH\r\n$536870912\r\n", b"-ERR Protocol error: unauthenticated bulk length\r\n"),
        (b"*-1x\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*1\r\n$-1\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
        (b"AUTH " + b"x" * 16384 + b"\n", b"(error) ERR Protocol error: line longer than 16384 bytes\n"),
        (b"x" * 16386, b"(error) ERR Protocol error: line longer than 16384 bytes\n"),
        (b"a b c d e f g h i j k\n", b"(error) ERR Protocol error: too many arguments in request\n"),
    ],
    ids=lambda data: repr(data[:32]),
)
@pytest.mark.parametrize("size", [1 << 20, 100])
def test_a_request_beyond_the_bounds_closes_the_connection_before_authentication(
    stranger: ClientSession, data: bytes, error: bytes, size: int
) -> None:
    assert feed(stranger, data, size) == error
    assert stranger.closing


def test_a_frame_beyond_the_bounds_closes_the_connection_before_authentication(guarded: ServerContext) -> None:
    too_long = connect(guarded)
    assert b"a frame's length is from 1 to 16384" in feed(too_long, struct.pack(">i", 16385))
    too_many = connect(guarded)
    assert b"too many arguments" in feed(too_many, frame({"command": "DEL", "args": ["k"] * 10}))
    assert too_long.closing
    assert too_many.closing


def test_the_largest_request_before_authentication_is_read(stranger: ClientSession) -> None:
    args = [b"DEL", *[b"x" * MAX_UNAUTHENTICATED_ARG] * (MAX_UNAUTHENTICATED_ARGS - 1)]
    assert execute(stranger, *args) == NOT_AUTHENTICATED
    assert not stranger.closing


def test_the_bounds_return_with_reset(friend: ClientSession) -> None:
    many = encode_request([b"MGET", *[b"k"] * 10])
    assert feed(friend, many) == b"*10\r\n" + b"$-1\r\n" * 10
    execute(friend, b"RESET")
    assert b"unauthenticated multibulk length" in feed(friend, many)
    assert friend.closing


@pytest.mark.parametrize("escape", ["\\x%02x", "%c"])
def test_the_longest_password_fits_into_a_request_of_every_protocol(guarded: ServerContext, escape: str) -> None:
    password = "p" * MAX_PASSWORD_SIZE
    guarded.change_settings({"password": password})
    line = 'AUTH "%s"\n' % "".join(escape % ord(character) for character in password)  # noqa: UP031
    assert feed(connect(guarded), line.encode()) == b"OK\n"
    assert execute(connect(guarded), b"AUTH", password.encode()) == OK
    body = '{"command": "AUTH", "args": ["%s"]}' % "".join(f"\\u{ord(each):04x}" for each in password)  # noqa: UP031
    assert b'"OK"' in feed(connect(guarded), struct.pack(">i", len(body)) + body.encode())


# ---------------------------------------------------------------- CONFIG SET requirepass


def test_a_password_that_is_set_while_the_server_runs_holds_for_new_clients(context: ServerContext) -> None:
    before = connect(context)
    assert execute_line(before, f"CONFIG SET requirepass {SECRET}") == OK
    after = connect(context)
    assert execute(before, b"SET", b"k", b"v") == OK
    assert execute(after, b"GET", b"k") == NOT_AUTHENTICATED
    assert execute(after, b"AUTH", SECRET.encode()) == OK


def test_a_password_that_is_changed_leaves_clients_authenticated(friend: ClientSession) -> None:
    assert execute_line(friend, "CONFIG SET requirepass other") == OK
    assert execute(friend, b"PING") == PONG
    assert execute(connect(friend.context), b"AUTH", SECRET.encode()) == WRONG_PASSWORD
    assert execute(connect(friend.context), b"AUTH", b"other") == OK


def test_a_password_that_is_removed_is_needed_no_more(friend: ClientSession, stranger: ClientSession) -> None:
    assert execute(stranger, b"PING") == NOT_AUTHENTICATED
    assert execute_line(friend, 'CONFIG SET requirepass ""') == OK
    assert execute(stranger, b"MGET", *[b"k"] * 20) == [None] * 20
    assert execute(stranger, b"AUTH", b"any") == NO_PASSWORD


def test_config_get_shows_only_whether_there_is_a_password(friend: ClientSession) -> None:
    assert execute_line(friend, "CONFIG GET requirepass") == [b"requirepass", b"(redacted)"]
    execute_line(friend, 'CONFIG SET requirepass ""')
    assert execute_line(friend, "CONFIG GET requirepass") == [b"requirepass", b""]


def test_a_password_may_have_any_bytes(friend: ClientSession) -> None:
    password = bytes(range(256))
    assert execute(friend, b"CONFIG", b"SET", b"requirepass", password) == OK
    assert execute(connect(friend.context), b"AUTH", password) == OK


def test_a_password_that_no_request_could_carry_is_refused_without_repeating_it(friend: ClientSession) -> None:
    refused = execute(friend, b"CONFIG", b"SET", b"requirepass", b"hunter3" * 1000)
    assert isinstance(refused, ErrorReply)
    assert refused.text == (
        b"ERR CONFIG SET failed (possibly related to argument 'requirepass') - a password has at most 2048 bytes"
    )
    assert execute(connect(friend.context), b"AUTH", SECRET.encode()) == OK


# ---------------------------------------------------------------- figures and the log


def test_info_counts_wrong_passwords_and_config_resetstat_resets_them(
    friend: ClientSession, stranger: ClientSession
) -> None:
    for _ in range(3):
        execute(stranger, b"AUTH", b"wrong")
    assert "acl_access_denied_auth:3" in send_line(friend, "INFO stats")
    execute_line(friend, "CONFIG RESETSTAT")
    assert "acl_access_denied_auth:0" in send_line(friend, "INFO stats")


def test_wrong_passwords_are_logged_in_one_line_with_the_address(
    stranger: ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        for _ in range(1000):
            execute(stranger, b"AUTH", b"root", b"guess")
    assert [record.message for record in caplog.records if record.levelno >= logging.INFO] == [
        "10.0.0.1:5000 sent a wrong password or user name"
    ]
    assert not any(word in caplog.text for word in ("guess", "root", SECRET))


def test_the_password_is_in_no_representation(guarded: ServerContext) -> None:
    shown = [repr(guarded.auth), repr(vars(guarded.auth)), repr(guarded.settings), str(guarded.settings)]
    assert SECRET not in "".join(shown)


def test_refused_requests_are_not_shown_by_monitor_and_slowlog(friend: ClientSession, stranger: ClientSession) -> None:
    execute_line(friend, "CONFIG SET slowlog-log-slower-than 0")
    send_line(friend, "MONITOR")
    for line in ("SET k v", "AUTH wrong", f"HELLO 3 AUTH default {SECRET}", "DBSIZE"):
        send_line(stranger, line)
    pushed = b"".join(transport_of(friend).pushed)
    assert [line.partition(b"] ")[2] for line in pushed.splitlines()] == [
        b'"AUTH" "(redacted)"',
        b'"HELLO" "(redacted)" "(redacted)" "(redacted)" "(redacted)"',
        b'"DBSIZE"',
    ]
    assert not any(SECRET.encode() in arg for entry in friend.context.slowlog.entries() for arg in entry.args)


def test_passwords_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare_digest(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("hmac.compare_digest", compare_digest)
    auth = Authenticator()
    auth.set_password(SECRET)
    guesses = [b"", b"h", SECRET.encode(), b"x" * 10_000]
    for guess in guesses:
        auth.accepts(b"default", guess, "10.0.0.1:1")
        auth.accepts(b"root", guess, "10.0.0.1:1")
    # The guess is the second argument, whose length decides how long the comparison takes (CPython's `_tscmp`).
    assert compared == [(SECRET.encode(), guess) for guess in guesses for _ in range(2)]
