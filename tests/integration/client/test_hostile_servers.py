"""The tools, batches and commands at a server that is hostile or broken. `test_connection_states.py` has the prompt.

Whatever the server sends: the client ends, with a sentence if it cannot go on, and nothing controls the terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest

from client.main import main
from client.protocol import ClientProtocol
from client.render.forms import FORMS, for_terminal
from common.resp_client import MalformedReply
from tests.harness.fake_redis import CLOSE, FakeRedis, Step, array, bulk

TEXT = b"\x1b[2J\x1b]0;title\x07\x9b31m\xe2\x80\xae"
NINES = b"9" * 5000

REPLIES: dict[str, Step | Sequence[Step]] = {
    "error": b"-ERR %b\r\n" % TEXT,
    "status": b"+%b\r\n" % TEXT,
    "string": bulk(TEXT + b"\r\n\0"),
    "number": b":%d\r\n" % (2**63 - 1),
    "null": b"$-1\r\n",
    "fields": bulk(b"used_memory:%b\r\nconnected_clients:%b\r\ndb0:keys=%b" % (NINES, TEXT, NINES)),
    "page": array(bulk(b"0"), array(bulk(TEXT), b":1\r\n", b"*0\r\n", b"$-1\r\n")),
    "cursor": array(bulk(TEXT), b"*0\r\n"),
    "nested": b"*1\r\n" * 60 + bulk(TEXT),
    "map": b"%1\r\n*0\r\n" + bulk(TEXT),
    "push": b">2\r\n+message\r\n" + bulk(TEXT) + b"+OK\r\n",
    "surplus": b"+a\r\n*0\r\n:1\r\n",
    "too deep": b"*1\r\n" * 1000,
    "too long": b"$9999999999999\r\n",
    "too many": b"*9999999999999\r\n",
    "no reply": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a part": [b"*2\r\n$1\r\n0\r\n*100\r\n$1\r\n", CLOSE],
    "the end": CLOSE,
}

COMMANDS = "COMPACT DBSIZE EXEC EXISTS GET INFO MEMORY MONITOR MULTI PEXPIRETIME PTTL SCAN STRLEN SUBSCRIBE TYPE"

TOOLS = {
    "scan": ["--scan"],
    "bigkeys": ["--bigkeys"],
    "stat": ["--stat", "-i", "0.001", "-r", "2"],
    "latency": ["--latency", "-i", "0.001"],
    "dump": ["--dump", "-"],
}

COMMANDS_FOR_PROGRAMS = {"command": ["GET", "key"], "monitor": ["MONITOR"], "subscribe": ["SUBSCRIBE", "channel"]}
"""Their output is no terminal here. `tests/fuzz/targets/client_replies.py` has the forms for a terminal."""

MAX_REQUESTS = 30
"""After so many requests the server closes the connection, so that no tool can go on for ever."""


def hostile_server(reply: Step | Sequence[Step], *, closes: bool) -> FakeRedis:
    """Return a server that has the same reply to all commands but those of a login."""
    fake = FakeRedis()
    steps = [reply] if isinstance(reply, bytes) or not isinstance(reply, Sequence) else [*reply]
    if closes:
        steps.append(CLOSE)
    fake.script = {
        name.encode(): lambda _: steps if len(fake.requests) < MAX_REQUESTS else CLOSE for name in COMMANDS.split()
    }
    return fake


def run_at(fake: FakeRedis, *options: str, capfd: pytest.CaptureFixture[str]) -> str:
    """Run the client in this process. Return its output."""
    assert main(["-p", str(fake.port), *options]) in (0, 1)
    printed, errors = capfd.readouterr()
    assert_controls_nothing(errors)
    return printed


def assert_controls_nothing(text: str) -> None:
    assert all(character.isprintable() or character in "\n\t" for character in text), text


EACH_REPLY = pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)


@EACH_REPLY
@pytest.mark.parametrize("options", TOOLS.values(), ids=TOOLS)
def test_a_tool_ends_and_prints_nothing_that_controls_the_terminal(
    options: list[str], reply: Step | Sequence[Step], capfd: pytest.CaptureFixture[str]
) -> None:
    with closing(hostile_server(reply, closes=False)) as fake:
        assert_controls_nothing(run_at(fake, *options, capfd=capfd))


def test_a_cursor_that_is_no_number_ends_a_scan(capfd: pytest.CaptureFixture[str]) -> None:
    with closing(hostile_server(REPLIES["cursor"], closes=False)) as fake:
        run_at(fake, "--scan", capfd=capfd)
        assert fake.count(b"SCAN") == 1


@EACH_REPLY
@pytest.mark.parametrize("form", ["json", "csv"])
def test_json_and_csv_control_no_terminal(form: str, reply: Step | Sequence[Step]) -> None:
    if isinstance(reply, bytes):
        protocol = ClientProtocol()
        protocol.encode([b"GET"])
        with suppress(MalformedReply):
            for received in protocol.receive(reply):
                shown = b"".join(for_terminal(FORMS[form])(received.replies[0]))
                assert_controls_nothing(shown.decode())


@EACH_REPLY
@pytest.mark.parametrize("options", [["--bigkeys"], ["--memkeys"], ["--dump", "-"]], ids=" ".join)
def test_a_tool_that_gets_keys_and_then_what_it_did_not_ask_for_ends(
    options: list[str], reply: Step | Sequence[Step], capfd: pytest.CaptureFixture[str]
) -> None:
    with closing(hostile_server(reply, closes=False)) as fake:
        fake.script[b"SCAN"] = array(bulk(b"0"), array(bulk(b"one"), bulk(TEXT)))
        assert_controls_nothing(run_at(fake, *options, capfd=capfd))


@EACH_REPLY
@pytest.mark.parametrize("options", COMMANDS_FOR_PROGRAMS.values(), ids=COMMANDS_FOR_PROGRAMS)
def test_a_command_and_a_stream_end_with_the_connection(
    options: list[str], reply: Step | Sequence[Step], capfd: pytest.CaptureFixture[str]
) -> None:
    with closing(hostile_server(reply, closes=True)) as fake:
        run_at(fake, *options, capfd=capfd)


@EACH_REPLY
@pytest.mark.parametrize("option", ["--quiet", "--stop-on-error"])
def test_a_batch_ends_with_errors_that_control_nothing(
    option: str, reply: Step | Sequence[Step], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lines"
    path.write_text("GET a\nEXISTS b\nMULTI\nGET c\nEXEC\nGET d\n")
    with closing(hostile_server(reply, closes=False)) as fake:
        run_at(fake, option, "--file", str(path), capfd=capfd)


@EACH_REPLY
@pytest.mark.parametrize("name", [b"AUTH", b"HELLO"])
def test_a_login_ends_with_errors_that_control_nothing(
    name: bytes, reply: Step | Sequence[Step], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVLINE_PASSWORD", "secret")
    with closing(FakeRedis({name: reply})) as fake:
        run_at(fake, "-n", "1", "PING", capfd=capfd)
