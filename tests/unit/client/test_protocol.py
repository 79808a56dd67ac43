"""`ClientProtocol`: requests, the order of replies, transactions, reply modes and streams, without I/O."""

from __future__ import annotations

import pytest

from client.lines import encode_line
from client.protocol import ClientProtocol, Login
from common.errors import UNBALANCED_QUOTES
from common.replies import OK, PONG, QUEUED, ErrorReply, Reply, SimpleString
from common.resp_client import MalformedReply, encode_request
from tests.harness.local_client import exchange_lines, local_conversation


def run(*lines: bytes) -> list[Reply]:
    """Send the lines to a session in this process, as one pipeline. Return the replies to show."""
    return exchange_lines(local_conversation(), *lines)


def sent(*lines: bytes, protocol: ClientProtocol | None = None) -> ClientProtocol:
    """Return a protocol that has sent these lines."""
    protocol = ClientProtocol() if protocol is None else protocol
    for number, line in enumerate(lines, 1):
        encode_line(protocol, line, number)
    return protocol


def shown(protocol: ClientProtocol, data: bytes) -> list[tuple[bytes, list[Reply]]]:
    """Receive data. Return the names of the requests and the replies, hidden ones included."""
    return [(received.request.name, received.replies) for received in protocol.receive(data)]


def test_the_replies_to_the_login_are_hidden() -> None:
    protocol = ClientProtocol(Login("ada", "secret", 2))
    assert protocol.login_requests() == (
        b"*3\r\n$4\r\nAUTH\r\n$3\r\nada\r\n$6\r\nsecret\r\n*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"
        b"*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n"
    )
    assert [each.request.hidden for each in protocol.receive(b"+OK\r\n%0\r\n+OK\r\n")] == [True] * 3
    assert protocol.version == 3
    assert run(b"PING") == [PONG]


def test_replies_are_pending_until_they_are_received() -> None:
    protocol = sent(b"PING", b"GET key")
    assert len(protocol.pending) == 2
    assert shown(protocol, b"+PONG\r\n$5\r\nva") == [(b"PING", [PONG])]
    assert protocol.pending
    assert shown(protocol, b"lue\r\n") == [(b"GET", [b"value"])]
    assert not protocol.pending


def test_a_reply_has_the_number_of_the_line_of_its_request() -> None:
    protocol = sent(b"# comment", b"PING", b"", b"PING")
    assert [received.line for received in protocol.receive(b"+PONG\r\n+PONG\r\n")] == [2, 4]


def test_the_replies_to_consecutive_requests_are_numbered_from_the_first_line_on() -> None:
    protocol = ClientProtocol()
    protocol.expect_run(3, 10)
    encode_line(protocol, b"GET k", 13)
    assert [(each.line, each.replies) for each in protocol.receive(b"+OK\r\n:1\r\n")] == [(10, [OK, 1])]
    assert [(each.line, each.replies) for each in protocol.receive(b":2\r\n:3\r\n")] == [(12, [2]), (13, [3])]
    assert not protocol.pending


def test_an_unsolicited_error_is_shown() -> None:
    assert shown(ClientProtocol(), b"-ERR closing\r\n") == [(b"", [ErrorReply(b"ERR", b"closing")])]


@pytest.mark.parametrize("run_of", [0, 2])
def test_a_push_replies_to_no_request(run_of: int) -> None:
    protocol = ClientProtocol()
    if run_of:
        protocol.expect_run(run_of, 1)
    else:
        sent(b"PING", b"PING", protocol=protocol)
    received = protocol.receive(b"+PONG\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n+PONG\r\n")
    assert [each.replies for each in received] == [[PONG], [[b"invalidate", [b"k"]]], [PONG]]
    assert not received[1].request.args
    assert not protocol.pending


def test_unbalanced_quotes_override_the_reply_to_the_request_that_is_sent_instead() -> None:
    assert run(b"ECHO 1", b"ECHO '2", b"ECHO 3") == [b"1", UNBALANCED_QUOTES, b"3"]


@pytest.mark.parametrize("line", [b"", b"  ", b"#", b"# it's a comment", b"#PING"])
def test_nothing_is_sent_for_an_empty_line_and_for_a_comment(line: bytes) -> None:
    protocol = ClientProtocol()
    assert encode_line(protocol, line) == b""
    assert not protocol.pending


@pytest.mark.parametrize("line", [b"QUIT", b"disconnect"])
def test_nothing_is_sent_after_a_closing_command(line: bytes) -> None:
    protocol = sent(line)
    assert protocol.closing
    assert encode_line(protocol, b"PING") == b""
    assert encode_line(protocol, b"PING '") == b""


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"MULTI"], True),
        ([b"multi", b"INCR n"], True),
        ([b"MULTI", b"EXEC"], False),
        ([b"MULTI", b"DISCARD"], False),
        ([b"MULTI", b"RESET"], False),
        ([b"MULTI", b"MULTI"], True),
        ([b"MULTI", b"NOPE", b"EXEC"], False),
        ([b"MULTI", b"EXEC 1"], False),
        ([b"MULTI 1"], False),
    ],
)
def test_in_transaction_follows_the_replies(lines: list[bytes], expected: bool) -> None:
    conversation = local_conversation()
    for line in lines:
        exchange_lines(conversation, line)
    assert conversation.protocol.in_transaction is expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"WATCH k"], True),
        ([b"WATCH"], False),
        ([b"WATCH k", b"UNWATCH"], False),
        ([b"WATCH k", b"MULTI", b"EXEC"], False),
        ([b"WATCH k", b"RESET"], False),
    ],
)
def test_watching_follows_the_replies(lines: list[bytes], expected: bool) -> None:
    conversation = local_conversation()
    for line in lines:
        exchange_lines(conversation, line)
    assert conversation.protocol.watching is expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"CLIENT REPLY OFF", b"PING", b"ECHO '", b"CLIENT REPLY ON", b"ECHO 1"], [OK, b"1"]),
        ([b"client reply off", b"CLIENT REPLY SKIP", b"CLIENT REPLY OFF", b"PING"], []),
        ([b"CLIENT REPLY SKIP", b"ECHO 1", b"ECHO 2"], [b"2"]),
        ([b"CLIENT REPLY SKIP", b"CLIENT REPLY SKIP", b"ECHO 1", b"ECHO 2"], [b"2"]),
        ([b"CLIENT REPLY SKIP", b"CLIENT REPLY ON", b"ECHO 1"], [OK, b"1"]),
        ([b"CLIENT REPLY SKIP", b"ECHO '", b"ECHO 2"], [b"2"]),
        ([b"CLIENT REPLY OFF", b"RESET", b"PING"], [SimpleString(b"RESET"), PONG]),
        ([b"CLIENT REPLY OFF", b"QUIT"], []),
    ],
)
def test_replies_that_are_turned_off_are_not_expected(lines: list[bytes], expected: list[Reply]) -> None:
    assert run(*lines) == expected


def test_the_first_of_consecutive_requests_is_skipped() -> None:
    protocol = sent(b"CLIENT REPLY SKIP")
    protocol.expect_run(3, 2)
    assert [(each.line, each.replies) for each in protocol.receive(b"+OK\r\n+OK\r\n")] == [(3, [OK, OK])]
    assert not protocol.pending


def test_a_reply_mode_that_the_server_refuses_has_a_reply() -> None:
    (refused, pong) = run(b"CLIENT REPLY MAYBE", b"PING")
    assert isinstance(refused, ErrorReply)
    assert pong == PONG


def test_client_reply_in_a_transaction_is_queued() -> None:
    assert run(b"MULTI", b"CLIENT REPLY ON", b"EXEC", b"PING") == [OK, QUEUED, [OK], PONG]


def test_hello_2_and_3_keep_requests_and_replies_in_step() -> None:
    (two, config, three, again) = run(b"HELLO 2", b"CONFIG GET port", b"HELLO 3", b"CONFIG GET port")
    assert isinstance(two, list)
    assert isinstance(config, list)
    assert isinstance(three, dict)
    assert isinstance(again, dict)


def test_reset_returns_to_resp3_unless_the_user_wants_resp2() -> None:
    assert isinstance(run(b"RESET", b"CONFIG GET port")[1], dict)
    assert isinstance(run(b"HELLO 2", b"RESET", b"CONFIG GET port")[2], list)


# ---------------------------------------------------------------- streams

MONITOR_LINE = b'+1700000000.123456 [0 127.0.0.1:5] "SET" "k"\r\n'


def test_monitor_streams_until_reset() -> None:
    protocol = sent(b"MONITOR")
    assert not protocol.streaming
    assert shown(protocol, b"+OK\r\n") == [(b"MONITOR", [OK])]
    assert protocol.streaming
    sent(b"PING", b"RESET", protocol=protocol)
    names = [name for name, _ in shown(protocol, MONITOR_LINE + b"+PONG\r\n" + MONITOR_LINE + b"+RESET\r\n-NOAUTH\r\n")]
    assert names == [b"", b"PING", b"", b"RESET", b"HELLO"]
    assert not protocol.streaming
    assert not protocol.pending


@pytest.mark.parametrize(
    "status", [b"1700000000.123456 0", b"1700000000.12345 [0", b"1700000000 [0", b".123456 [0", b"x.123456 [0", b" [0"]
)
def test_a_status_that_is_no_line_of_monitor_replies_to_the_request(status: bytes) -> None:
    protocol = sent(b"MONITOR")
    protocol.receive(b"+OK\r\n")
    sent(b"ECHO x", protocol=protocol)
    assert [name for name, _ in shown(protocol, MONITOR_LINE + b"+%b\r\n" % status)] == [b"", b"ECHO"]


def test_a_refused_monitor_does_not_stream() -> None:
    protocol = sent(b"MONITOR")
    protocol.receive(b"-ERR no\r\n")
    assert not protocol.streaming


@pytest.mark.parametrize("kind", [b">", b"*"], ids=["RESP3", "RESP2"])
def test_a_subscription_is_confirmed_for_each_channel_and_streams(kind: bytes) -> None:
    def message(*parts: bytes | int) -> bytes:
        items = [b":%d\r\n" % each if isinstance(each, int) else b"$%d\r\n%b\r\n" % (len(each), each) for each in parts]
        return kind + b"%d\r\n" % len(parts) + b"".join(items)

    protocol = sent(b"SUBSCRIBE a b", b"PING", b"UNSUBSCRIBE")
    assert shown(protocol, message(b"subscribe", b"a", 1)) == [(b"SUBSCRIBE", [[b"subscribe", b"a", 1]])]
    names = [name for name, _ in shown(protocol, message(b"message", b"a", b"hi") + message(b"subscribe", b"b", 2))]
    assert names == [b"", b"SUBSCRIBE"]
    assert [request.name for request in protocol.pending] == [b"PING", b"UNSUBSCRIBE"]
    rest = b"+PONG\r\n" + message(b"unsubscribe", b"a", 1) + message(b"unsubscribe", b"b", 0)
    assert [name for name, _ in shown(protocol, rest)] == [b"PING", b"UNSUBSCRIBE", b"UNSUBSCRIBE"]
    assert not protocol.pending
    assert not protocol.streaming


def test_a_refused_subscription_is_one_reply() -> None:
    protocol = sent(b"SUBSCRIBE a b", b"PING")
    assert [name for name, _ in shown(protocol, b"-ERR no\r\n+PONG\r\n")] == [b"SUBSCRIBE", b"PING"]
    assert not protocol.streaming


# ---------------------------------------------------------------- login


def requests_after(*exchanges: tuple[bytes, bytes]) -> list[list[bytes]]:
    """Return the requests for a new connection, after lines and the replies to them."""
    login = Login("", "first", 1)
    protocol = ClientProtocol(login)
    protocol.version = 3
    for line, reply in exchanges:
        sent(line, protocol=protocol)
        protocol.receive(reply)
    return login.requests()


FIRST = [[b"AUTH", b"first"], [b"HELLO", b"3"], [b"SELECT", b"1"]]


def test_what_the_user_has_set_is_repeated_on_a_new_connection() -> None:
    assert requests_after() == FIRST
    done = [
        (b"SELECT 5", b"+OK\r\n"),
        (b"AUTH ada secret", b"+OK\r\n"),
        (b"CLIENT SETNAME me", b"+OK\r\n"),
        (b"HELLO 2", b"*0\r\n"),
    ]
    expected = [[b"AUTH", b"ada", b"secret"], [b"HELLO", b"2"], [b"SELECT", b"5"], [b"CLIENT", b"SETNAME", b"me"]]
    assert requests_after(*done) == expected
    assert requests_after(*done, (b"RESET", b"+RESET\r\n")) == [[b"AUTH", b"first"], [b"HELLO", b"2"]]
    assert requests_after((b"HELLO 3 AUTH ada pw", b"%0\r\n"))[0] == [b"AUTH", b"ada", b"pw"]


def test_after_reset_the_database_is_0_whatever_it_was_at_the_start() -> None:
    protocol = sent(b"RESET", protocol=ClientProtocol(Login(database=3)))
    protocol.receive(b"+RESET\r\n")
    assert protocol.login.database == 0


@pytest.mark.parametrize(
    "line", [b"SELECT abc", b"SELECT", b"SELECT " + b"1" * 5000, b"AUTH", b"AUTH a b c", b"HELLO abc", b"HELLO 3 AUTH"]
)
def test_a_server_may_accept_arguments_that_make_no_sense(line: bytes) -> None:
    protocol = sent(line)
    assert shown(protocol, b"+OK\r\n")[0][1] == [OK]
    assert (protocol.login.database, protocol.login.password) == (0, None)


@pytest.mark.parametrize("line", [b"AUTH secret", b"HELLO 3 AUTH default secret"])
def test_what_the_server_refuses_before_authentication_is_repeated_after_it(line: bytes) -> None:
    login = Login(database=5)
    login.name = b"me"
    protocol = ClientProtocol(login)
    protocol.login_requests()
    protocol.receive(b"-NOAUTH\r\n" * 3)
    repeated = encode_request([b"SELECT", b"5"]) + encode_request([b"CLIENT", b"SETNAME", b"me"])
    assert encode_line(protocol, line).endswith(repeated)
    requests = [each.name for each in protocol.pending]
    protocol.receive(b"-WRONGPASS\r\n" + b"-NOAUTH\r\n" * (len(requests) - 1))
    assert encode_line(protocol, line).endswith(repeated), "the password was wrong"
    received = protocol.receive(b"+OK\r\n" * len(requests))
    assert [each.request.hidden for each in received] == [False] + [True] * (len(requests) - 1)
    assert repeated not in encode_line(protocol, line)


def test_what_the_server_has_refused_or_queued_is_not_repeated() -> None:
    assert (
        requests_after((b"SELECT 99", b"-ERR\r\n"), (b"AUTH x", b"-WRONGPASS\r\n"), (b"HELLO 9", b"-NOPROTO\r\n"))
        == FIRST
    )
    assert requests_after((b"MULTI", b"+OK\r\n"), (b"SELECT 5", b"+QUEUED\r\n"), (b"DISCARD", b"+OK\r\n")) == FIRST


TRANSACTION = [
    (b"MULTI", b"+OK\r\n"),
    (b"GET k", b"+QUEUED\r\n"),
    (b"SELECT 5", b"+QUEUED\r\n"),
    (b"CLIENT SETNAME me", b"+QUEUED\r\n"),
    (b"SELECT 99", b"+QUEUED\r\n"),
]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (b"*4\r\n$-1\r\n+OK\r\n+OK\r\n-ERR\r\n", [*FIRST[:2], [b"SELECT", b"5"], [b"CLIENT", b"SETNAME", b"me"]]),
        (b"_\r\n", FIRST),
        (b"-EXECABORT\r\n", FIRST),
    ],
    ids=["executed", "a watched key has changed", "refused"],
)
def test_what_a_transaction_has_set_is_repeated_on_a_new_connection(reply: bytes, expected: list[list[bytes]]) -> None:
    assert requests_after(*TRANSACTION, (b"EXEC", reply)) == expected
    assert requests_after(*TRANSACTION, (b"DISCARD", b"+OK\r\n"), (b"MULTI", b"+OK\r\n"), (b"EXEC", b"*0\r\n")) == FIRST


def test_a_database_that_is_selected_in_a_transaction_after_a_run_of_plain_commands_is_repeated() -> None:
    protocol = ClientProtocol(Login())
    sent(b"MULTI", protocol=protocol)
    protocol.expect_run(3, 1)
    sent(b"SELECT 2", b"EXEC", protocol=protocol)
    protocol.receive(b"+OK\r\n" + b"+QUEUED\r\n" * 4 + b"*4\r\n-ERR\r\n-ERR\r\n:1\r\n+OK\r\n")
    assert protocol.login.database == 2


# ---------------------------------------------------------------- bounds


@pytest.mark.parametrize(
    "endless",
    [
        b"+" + b"x" * 2000,
        b"$2000\r\n",
        b"*1000000\r\n" + b"*0\r\n" * 30,
        b"*9\r\n$600\r\n" + b"x" * 600 + b"\r\n$600\r\n",
    ],
)
def test_a_reply_without_end_is_refused_at_the_bound(endless: bytes) -> None:
    protocol = ClientProtocol(max_reply_size=1000)
    with pytest.raises(MalformedReply, match="a reply of more than 1000 bytes"):
        protocol.receive(endless)


def test_many_replies_together_may_exceed_the_bound() -> None:
    protocol = sent(*[b"GET k"] * 100, protocol=ClientProtocol(max_reply_size=100))
    protocol.receive(b"$20\r\n" + b"x" * 20 + b"\r\n")
    for _ in range(99):
        protocol.receive(b"*1\r\n$20\r\n" + b"x" * 20 + b"\r\n")
    assert not protocol.pending
