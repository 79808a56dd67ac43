"""MONITOR: every command that the server gets, as it comes."""

from __future__ import annotations

import re

import pytest

from common.errors import MONITOR_NEEDS_CONNECTION
from common.replies import OK, SimpleString
from common.resp_client import ReplyDecoder, encode_request
from tests.harness.sessions import (
    ClientSession,
    connect,
    execute_line,
    feed,
    new_session,
    send_line,
    send_lines,
    transport_of,
)

LINE = re.compile(r"\d{10}\.\d{6} \[0 (\S*)\] (.*)")


def lines_of(output: bytes) -> list[str]:
    return output.decode().splitlines()


def shown(session: ClientSession) -> list[tuple[str, str]]:
    """Return what was pushed to a session that monitors in text: each command's address and arguments."""
    lines = lines_of(b"".join(transport_of(session).pushed))
    matches = [LINE.fullmatch(line) for line in lines]
    return [(match[1], match[2]) for match in matches if match]


def test_monitor_shows_what_others_send_and_what_the_client_itself_sends(
    session: ClientSession, other: ClientSession
) -> None:
    assert send_line(session, "MONITOR") == "OK"
    send_lines(other, 'SET "a b" "\\x00é"', "GET none", "set lower case")
    output = session.feed(b"PING\n") + session.stream.take_pushes()
    assert [(match[1], match[2]) if (match := LINE.fullmatch(line)) else line for line in lines_of(output)] == [
        ("10.0.0.2:6000", '"SET" "a b" "\\x00é"'),
        ("10.0.0.2:6000", '"GET" "none"'),
        ("10.0.0.2:6000", '"set" "lower" "case"'),
        "PONG",
        ("10.0.0.1:5000", '"PING"'),
    ]


def test_monitor_shows_the_commands_of_a_transaction_when_exec_has_executed_them(
    session: ClientSession, other: ClientSession
) -> None:
    send_line(session, "MONITOR")
    assert feed(other, b"MULTI\nSET a 1\n") == b"OK\nQUEUED\n"
    assert [args for _, args in shown(session)] == ['"MULTI"']
    assert feed(other, b"EXEC\n") == b"1) OK\n"
    assert [args for _, args in shown(session)] == ['"MULTI"', '"SET" "a" "1"', '"EXEC"']


@pytest.mark.parametrize("line", ["'", "x" * 70_000])
def test_monitor_does_not_show_protocol_errors(session: ClientSession, other: ClientSession, line: str) -> None:
    send_line(session, "MONITOR")
    send_line(other, line)
    assert shown(session) == []


def test_monitor_lines_have_the_protocol_of_the_monitor_request(session: ClientSession, other: ClientSession) -> None:
    assert execute_line(session, "MONITOR") == OK
    send_line(other, "GET a")
    (line,) = ReplyDecoder().feed(b"".join(transport_of(session).pushed))
    assert isinstance(line, SimpleString)
    assert line.text.endswith(b'[0 10.0.0.2:6000] "GET" "a"')
    third = connect(session.context)
    third.feed(b"MONITOR\r\n")
    send_line(other, "PING")
    assert b"".join(transport_of(third).pushed).endswith(b'"PING"\r\n')


def test_several_monitors_see_the_same_and_end_independently(session: ClientSession, other: ClientSession) -> None:
    third = connect(session.context)
    send_lines(session, "MONITOR")
    send_lines(third, "MONITOR")
    send_line(other, "GET a")
    assert [args for _, args in shown(session)] == ['"GET" "a"']
    session.close()
    send_line(other, "GET b")
    assert len(shown(session)) == 1
    assert [args for _, args in shown(third)] == ['"GET" "a"', '"GET" "b"']
    third.close()
    assert session.context.monitors.subscribers == ()


def test_monitor_twice_shows_nothing_twice(session: ClientSession, other: ClientSession) -> None:
    assert send_lines(session, "MONITOR", "MONITOR") == ["OK", "OK"]
    transport_of(session).pushed.clear()
    send_line(other, "PING")
    assert len(shown(session)) == 1
    assert transport_of(session).enabled == 1


def test_reset_ends_monitoring(session: ClientSession, other: ClientSession) -> None:
    send_lines(session, "MONITOR", "RESET")
    transport_of(session).pushed.clear()
    send_line(other, "PING")
    assert shown(session) == []


def test_monitor_without_a_connection_is_refused() -> None:
    session = new_session()
    assert execute_line(session, "MONITOR") == MONITOR_NEEDS_CONNECTION
    assert session.context.monitors.subscribers == ()


def test_info_counts_the_monitors(session: ClientSession, other: ClientSession) -> None:
    send_lines(session, "MONITOR")
    assert "monitoring_clients:1" in send_line(other, "INFO clients")
    assert other.feed(encode_request([b"PING"])) == b"+PONG\r\n"
