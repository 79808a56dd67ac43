"""A connection with frames: QUIT, transactions of another protocol, failures, CLIENT REPLY, MONITOR."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from common.codec import Args
from common.replies import Reply
from server.commands import COMMANDS
from server.engines.base import CallContext
from server.registry import Command
from tests.harness.cases import case
from tests.harness.engines import CustomEngine, OwnedDatabase
from tests.harness.frame_client import FrameClient, answers_in, frame, get, run, set_to, take_answer
from tests.harness.processes import ServerProcess
from tests.harness.sessions import feed, new_session, send_line
from tests.harness.stores import new_store
from tests.integration.tcp.frames.test_table import refused


@pytest.mark.parametrize("command", ["QUIT", "DISCONNECT", "quit"])
def test_quitting_by_frame_is_replied_to_and_nothing_after_it_runs(
    client: FrameClient, beside: FrameClient, command: str
) -> None:
    client.send(set_to("before", 1) + frame({"command": command}) + set_to("after", 1))
    assert answers_in(client.rest()) == [{"status_code": 200}, {"status_code": 200, "value": "OK"}]
    assert beside.run("EXISTS", "before", "after") == 1


def test_frames_inside_a_transaction_of_text_are_queued_and_replied_to_202(server: ServerProcess) -> None:
    peer = server.connect()
    queued = b""
    for request in (set_to("k", "v"), get("k"), frame({"command": "DEL", "key": "l"}), run("INCR", "n")):
        queued += request
    peer.send(b"MULTI\n" + queued + b"EXEC\n" + get("k"))
    peer.finish_sending()
    assert peer.line() == b"OK\n"
    stream = peer.rest()
    for _ in range(4):
        answer, stream = take_answer(stream)
        assert answer == {"status_code": 202, "value": "QUEUED"}
    exec_lines = b'1) OK\n2) "\\"v\\""\n3) 0\n4) 1\n'
    assert stream.startswith(exec_lines)
    assert answers_in(stream.removeprefix(exec_lines)) == [{"status_code": 200, "value": "v"}]


def test_what_a_frame_queued_is_not_visible_before_exec(server: ServerProcess, client: FrameClient) -> None:
    peer = server.connect()
    assert peer.ask(b"MULTI") == b"OK"
    request = set_to("k", 1)
    peer.send(request + b"PING\n")
    expected = b'{"status_code": 202, "value": "QUEUED"}'
    assert peer.receive(4 + len(expected))[4:] == expected
    assert peer.line() == b"QUEUED\n"
    assert client.ask({"command": "GET", "key": "k"}) == {"status_code": 404}
    peer.send(b"EXEC\n")
    assert peer.line() + peer.line() == b"1) OK\n2) PONG\n"
    assert client.get("k") == 1


class FailingDatabase(OwnedDatabase):
    """A database whose engine lost whatever it stood on, for all that is about the key ``lost``."""

    def execute(self, command: Command, args: Args, call: CallContext) -> Reply:
        if b"lost" in args:
            raise ConnectionError("no backing store")
        return super().execute(command, args, call)


class FailingEngine(CustomEngine):
    database_class = FailingDatabase


@pytest.mark.uncompiled
@pytest.mark.parametrize(
    "request_",
    [get("lost"), set_to("lost", 1), frame({"command": "DEL", "key": "lost"}), run("INCR", "lost")],
    ids=["GET", "SET", "DEL", "by args"],
)
def test_a_failure_of_the_server_is_503_and_logged_and_the_connection_stays(
    caplog: pytest.LogCaptureFixture, request_: bytes
) -> None:
    session = new_session(FailingEngine(new_store()))
    failure, *after = answers_in(feed(session, request_ + set_to("k", 1) + get("k")))
    assert refused(failure, 503)
    assert failure["error"].startswith("ERR internal error")
    assert after == [{"status_code": 200}, {"status_code": 200, "value": 1}]
    assert not session.closing
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [str(record.exc_info[1]) for record in errors if record.exc_info] == ["no backing store"]


def test_a_commands_own_error_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    (answer,) = answers_in(feed(new_session(), run("INCRBY", "k", "ten")))
    assert refused(answer)
    assert caplog.records == []


@pytest.mark.parametrize("arguments", [(), ("k",), ("HELP",), ("0", "1"), ("k", "1", "2")], ids=len)
def test_whatever_a_command_replies_is_one_frame(caplog: pytest.LogCaptureFixture, arguments: tuple[str, ...]) -> None:
    for command in (each.name.decode() for each in COMMANDS):
        session = new_session()
        caplog.clear()
        with case(command):
            (answer,) = answers_in(feed(session, run(command, *arguments)))
            denied = command == "AUTH" and len(arguments) == 2  # a user name that does not exist
            assert refused(answer, 401 if denied else 400) or (answer["status_code"] == 200 and "value" in answer)
            assert session.closing == (command == "QUIT" or (command == "DISCONNECT" and not arguments))
            assert len(caplog.records) == denied


def test_no_reply_is_no_frame() -> None:
    session = new_session()
    stream = run("CLIENT", "REPLY", "SKIP") + set_to("k", 1) + get("k")
    assert answers_in(feed(session, stream)) == [{"status_code": 200, "value": 1}]


def test_the_version_of_resp_is_nothing_to_frames() -> None:
    session = new_session()
    before = feed(session, run("CONFIG", "GET", "maxmemory"))
    (hello,) = answers_in(feed(session, run("HELLO", 3)))
    assert hello["value"]["proto"] == 3
    assert feed(session, run("CONFIG", "GET", "maxmemory")) == before


def test_monitor_by_frame_shows_commands_of_every_protocol_as_frames(
    server: ServerProcess, connect: Callable[[], FrameClient]
) -> None:
    watcher, writer = connect(), connect()
    assert watcher.ask({"command": "MONITOR"}) == {"status_code": 200, "value": "OK"}
    writer.set("k", "v")
    assert server.connect().ask(b"INCR n") == b"1"
    assert server.connect().ask(b"GET k") == rb'"\"v\""'
    for shown in (r'"SET" "k" "\"v\""', '"INCR" "n"', '"GET" "k"'):
        answer = watcher.answer()
        assert answer["status_code"] == 200
        assert answer["value"].endswith(f"] {shown}"), answer


def test_text_on_the_same_connection_is_replied_to_in_text() -> None:
    session = new_session()
    feed(session, set_to("k", [1, "two"]))
    assert send_line(session, "GET k") == r'"[1, \"two\"]"'
