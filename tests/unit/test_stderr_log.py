"""The stream that writes standard error in a thread of its own, and messages that may repeat."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from math import inf

import pytest

from server.stderr_log import (
    MAX_TEXT_LENGTH,
    MAX_WAITING_TEXTS,
    NOTICE,
    BackgroundStream,
    JSONFormatter,
    RepeatedMessage,
    TextFormatter,
)
from tests.harness.processes import ROOT
from tests.harness.waiting import TIMEOUT, wait_until

logger = logging.getLogger(__name__)


class Pipe:
    """A pipe that is read when the test asks for it."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def fill(self) -> int:
        """Write until nothing fits any more. Return how much that was."""
        os.set_blocking(self.writer, False)
        size = 0
        try:
            while True:
                size += os.write(self.writer, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(self.writer, True)
            return size

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += os.read(self.reader, size - len(data))
        return data

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    opened = Pipe()
    yield opened
    opened.close()


def test_texts_are_written_in_their_order(pipe: Pipe) -> None:
    stream = BackgroundStream(pipe.writer)
    print("one", file=stream, flush=True)
    print("Ü", file=stream)
    stream.drain()
    assert pipe.read(7) == "one\nÜ\n".encode()


def test_a_write_to_a_full_pipe_returns_and_the_queue_is_bounded(pipe: Pipe, caplog: pytest.LogCaptureFixture) -> None:
    filled = pipe.fill()
    stream = BackgroundStream(pipe.writer)
    stream.write("first\n")
    for _ in range(MAX_WAITING_TEXTS + 100):
        stream.write("more\n")
    dropped = stream.dropped
    assert dropped in (100, 101), "the thread has taken the first text, or not yet"
    assert pipe.read(filled + 6) == b"x" * filled + b"first\n"
    written = MAX_WAITING_TEXTS + 100 - dropped
    assert pipe.read(written * 5) == b"more\n" * written
    wait_until(lambda: caplog.messages, "the number of dropped texts is logged")
    assert caplog.messages == [f"{dropped} log messages were dropped: standard error could not be written"]
    stream.drain()


def test_a_long_text_is_cut(pipe: Pipe) -> None:
    stream = BackgroundStream(pipe.writer)
    stream.write("x" * (MAX_TEXT_LENGTH + 1))
    stream.drain()
    assert pipe.read(MAX_TEXT_LENGTH + 4) == b"x" * MAX_TEXT_LENGTH + "…\n".encode()


def test_texts_that_cannot_be_written_are_counted_until_writing_works(
    pipe: Pipe, caplog: pytest.LogCaptureFixture
) -> None:
    broken, writer = os.pipe()
    os.close(broken)
    stream = BackgroundStream(writer)
    for _ in range(3):
        stream.write("lost\n")
    wait_until(lambda: stream.dropped == 3, "all three have failed")
    os.dup2(pipe.writer, writer)  # as if the disk has room again
    stream.write("works\n")
    assert pipe.read(6) == b"works\n"
    wait_until(lambda: caplog.messages, "the number is logged")
    assert caplog.messages == ["3 log messages were dropped: standard error could not be written"]
    stream.drain()
    os.close(writer)


def test_a_pipe_that_another_process_made_non_blocking_loses_nothing(pipe: Pipe) -> None:
    filled = pipe.fill()
    os.set_blocking(pipe.writer, False)
    stream = BackgroundStream(pipe.writer)
    stream.write("text\n")
    assert pipe.read(filled + 5).endswith(b"xtext\n")
    stream.drain()


def test_the_end_does_not_wait_for_a_pipe_that_is_full(pipe: Pipe) -> None:
    pipe.fill()
    stream = BackgroundStream(pipe.writer)
    stream.write("text\n")
    stream.drain()  # returns, although the text cannot be written
    assert any(each.name == "standard error" for each in threading.enumerate())
    pipe.read(4096)


# ---------------------------------------------------------------- messages that repeat


def test_a_message_is_logged_once_until_it_is_reset(caplog: pytest.LogCaptureFixture) -> None:
    message = RepeatedMessage(logger, logging.WARNING, "it failed: %s", inf)
    assert message.reset() is None
    for number in range(5):
        message.log(number)
    assert caplog.messages == ["it failed: 0"]
    assert message.reset() == 4
    assert message.reset() is None
    message.log("again")
    assert caplog.messages == ["it failed: 0", "it failed: again"]


def test_a_message_after_the_interval_says_how_many_were_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    monkeypatch.setattr("server.stderr_log.time.monotonic", lambda: now)
    message = RepeatedMessage(logger, logging.WARNING, "refused %s", 10)
    for name in "abc":
        message.log(name)
    now = 10.0
    message.log("d")
    now = 20.0
    message.log("e")
    assert caplog.messages == ["refused a", "refused d (and 2 more since the last line)", "refused e"]


# ---------------------------------------------------------------- formats


def record(level: int, message: str, *args: object, problem: BaseException | None = None) -> logging.LogRecord:
    exc_info = None if problem is None else (type(problem), problem, problem.__traceback__)
    return logging.LogRecord("server.somewhere", level, "file.py", 1, message, args, exc_info)


def test_text_has_time_level_and_message() -> None:
    line = TextFormatter().format(record(logging.WARNING, "%s failed", "it"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} WARNING it failed", line)


def test_a_notice_is_the_message_alone() -> None:
    assert TextFormatter().format(record(NOTICE, "listening on %s", "here")) == "listening on here"


def test_control_characters_of_a_message_are_escaped_in_text() -> None:
    line = TextFormatter().format(record(logging.INFO, "%s", "a\nb\x1b[2J\x7f\x9bü"))
    assert line.endswith(r" INFO a\x0ab\x1b[2J\x7f\x9bü")


def test_a_traceback_follows_the_line_in_text_and_is_a_member_in_json() -> None:
    try:
        int("bad")
    except ValueError as problem:
        failed = record(logging.ERROR, "it failed", problem=problem)
    assert TextFormatter().format(failed).partition("\n")[2].startswith("Traceback (most recent call last):\n")
    entry = json.loads(JSONFormatter().format(failed))
    assert (entry["level"], entry["logger"], entry["message"]) == ("error", "server.somewhere", "it failed")
    assert entry["traceback"].endswith("ValueError: invalid literal for int() with base 10: 'bad'")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_uncaught_exceptions_and_warnings_are_logged(log_format: str) -> None:
    program = (
        "import threading, warnings\n"
        "from server import stderr_log\n"
        f"stderr_log.configure('info', {log_format!r})\n"
        "thread = threading.Thread(target=lambda: 1 / 0)\n"
        "thread.start()\n"
        "thread.join()\n"
        "warnings.warn('careful')\n"
        "raise KeyError('main')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert ended.returncode == 1
    for expected in ("ZeroDivisionError", "careful", "KeyError"):
        assert ended.stderr.count(expected) >= 1, ended.stderr
    if log_format == "json":
        assert all(json.loads(line) for line in ended.stderr.splitlines())
