"""MONITOR: every command that the server gets, as it comes."""

from __future__ import annotations

import re

import pytest

from common.replies import OK, Status
from common.resp_client import ReplyDecoder, encode_request
from server.errors import MONITOR_NEEDS_CONNECTION
from server.session import Session
from tests.support import call_line, connect, converse, new_session, peer_of, play, say

LINE = re.compile(r"\d{10}\.\d{6} \[0 (\S*)\] (.*)")


def shown(session: Session) -> list[tuple[str, str]]:
    """Return what was pushed to a session that monitors in text: each command's address and words."""
    lines = b"".join(peer_of(session).pushed).decode().splitlines()
    matches = [LINE.fullmatch(line) for line in lines]
    return [(match[1], match[2]) for match in matches if match]


def test_a_monitor_sees_what_others_send_and_what_it_sends_itself(session: Session, other: Session) -> None:
    assert say(session, "MONITOR") == "OK"
    play(other, 'SET "a b" "\\x00é"', "GET none", "set lower case")
    say(session, "PING")
    assert shown(session) == [
        ("10.0.0.2:6000", '"SET" "a b" "\\x00é"'),
        ("10.0.0.2:6000", '"GET" "none"'),
        ("10.0.0.2:6000", '"set" "lower" "case"'),
        ("10.0.0.1:5000", '"PING"'),
    ]


def test_commands_of_a_transaction_are_shown_as_they_come(session: Session, other: Session) -> None:
    say(session, "MONITOR")
    assert converse(other, b"MULTI\nSET a 1\nEXEC\n") == b"OK\nQUEUED\n1) OK\n"
    assert [words for _, words in shown(session)] == ['"MULTI"', '"SET" "a" "1"', '"EXEC"']


@pytest.mark.parametrize("line", ["'", "x" * 70_000])
def test_what_is_no_request_is_not_shown(session: Session, other: Session, line: str) -> None:
    say(session, "MONITOR")
    say(other, line)
    assert shown(session) == []


def test_a_monitor_is_shown_things_in_the_dialect_in_which_it_asked(session: Session, other: Session) -> None:
    assert call_line(session, "MONITOR") == OK
    say(other, "GET a")
    (line,) = ReplyDecoder().feed(b"".join(peer_of(session).pushed))
    assert isinstance(line, Status)
    assert line.text.endswith(b'[0 10.0.0.2:6000] "GET" "a"')
    third = connect(session.instance)
    third.feed(b"MONITOR\r\n")
    say(other, "PING")
    assert b"".join(peer_of(third).pushed).endswith(b'"PING"\r\n')


def test_all_monitors_see_the_same_and_each_of_them_ends_by_itself(session: Session, other: Session) -> None:
    third = connect(session.instance)
    play(session, "MONITOR")
    play(third, "MONITOR")
    say(other, "GET a")
    session.close()
    say(other, "GET b")
    assert [words for _, words in shown(session)] == ['"MONITOR"', '"GET" "a"']
    assert [words for _, words in shown(third)] == ['"GET" "a"', '"GET" "b"']
    third.close()
    assert session.instance.monitors.feeds == ()


def test_asking_twice_shows_nothing_twice(session: Session, other: Session) -> None:
    assert play(session, "MONITOR", "MONITOR") == ["OK", "OK"]
    peer_of(session).pushed.clear()
    say(other, "PING")
    assert len(shown(session)) == 1
    assert peer_of(session).channels == 1


def test_reset_ends_monitoring(session: Session, other: Session) -> None:
    play(session, "MONITOR", "RESET")
    peer_of(session).pushed.clear()
    say(other, "PING")
    assert shown(session) == []


def test_where_there_is_no_connection_there_is_no_monitoring() -> None:
    session = new_session()
    assert call_line(session, "MONITOR") == MONITOR_NEEDS_CONNECTION
    assert session.instance.monitors.feeds == ()


def test_info_counts_the_monitors(session: Session, other: Session) -> None:
    play(session, "MONITOR")
    assert "monitoring_clients:1" in say(other, "INFO clients")
    assert other.feed(encode_request([b"PING"])) == b"+PONG\r\n"
