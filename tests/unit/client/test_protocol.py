"""`ClientProtocol`: requests, the order of replies, transactions and reply modes, against a session in process."""

from __future__ import annotations

import pytest

from client.local import LocalConnection
from client.protocol import ClientProtocol
from common.errors import UNBALANCED_QUOTES
from common.replies import OK, PONG, ErrorReply, Reply, SimpleString


def run(*lines: bytes) -> list[Reply]:
    """Send the lines as one pipeline. Return the replies to show. No reply is pending afterwards."""
    connection, protocol = LocalConnection(), ClientProtocol()
    request = protocol.hello_request() + b"".join(map(protocol.request_for_line, lines))
    replies = connection.exchange(protocol, request)
    connection.close()
    assert not protocol.has_pending_replies
    return replies


def test_the_reply_to_hello_is_hidden() -> None:
    assert run() == []
    assert run(b"PING") == [PONG]


def test_replies_are_pending_until_they_are_received() -> None:
    protocol = ClientProtocol()
    protocol.request_for_line(b"PING")
    protocol.request_for_line(b"GET key")
    assert protocol.has_pending_replies
    assert protocol.receive(b"+PONG\r\n$5\r\nva") == [PONG]
    assert protocol.has_pending_replies
    assert protocol.receive(b"lue\r\n") == [b"value"]
    assert not protocol.has_pending_replies


def test_an_unsolicited_error_is_shown() -> None:
    assert ClientProtocol().receive(b"-ERR closing\r\n") == [ErrorReply(b"ERR", b"closing")]


def test_unbalanced_quotes_override_the_reply_to_the_request_that_is_sent_instead() -> None:
    assert run(b"ECHO 1", b"ECHO '2", b"ECHO 3") == [b"1", UNBALANCED_QUOTES, b"3"]


@pytest.mark.parametrize("line", [b"", b"  ", b"#", b"# it's a comment", b"#PING"])
def test_nothing_is_sent_for_an_empty_line_and_for_a_comment(line: bytes) -> None:
    protocol = ClientProtocol()
    assert protocol.request_for_line(line) == b""
    assert not protocol.has_pending_replies


@pytest.mark.parametrize("line", [b"QUIT", b"disconnect"])
def test_nothing_is_sent_after_a_closing_command(line: bytes) -> None:
    protocol = ClientProtocol()
    assert protocol.request_for_line(line) != b""
    assert protocol.closing
    assert protocol.request_for_line(b"PING") == b""
    assert protocol.request_for_line(b"PING '") == b""


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
    connection, protocol = LocalConnection(), ClientProtocol()
    for line in lines:
        connection.exchange(protocol, protocol.request_for_line(line))
    assert protocol.in_transaction is expected


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


def test_a_reply_mode_that_the_server_refuses_has_a_reply() -> None:
    (refused, pong) = run(b"CLIENT REPLY MAYBE", b"PING")
    assert isinstance(refused, ErrorReply)
    assert pong == PONG


def test_client_reply_in_a_transaction_is_queued() -> None:
    assert run(b"MULTI", b"CLIENT REPLY ON", b"EXEC", b"PING") == [OK, SimpleString(b"QUEUED"), [OK], PONG]
