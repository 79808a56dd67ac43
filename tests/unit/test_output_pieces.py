"""Large replies: encoded in bounded pieces, so that memory does not depend on what a client asks for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from common.codec import Encoder
from common.pieces import PIECE_SIZE
from common.replies import Lines, Reply
from common.resp_client import ReplyDecoder, encode_request
from common.resp_replies import ReplyEncoder
from common.text import ENDING_IN_LF, quote, quoted_pieces
from common.text_args import split_args
from server.keyspace.store import Store
from server.session.stream import OUTPUT_SIZE
from tests.harness.sessions import ClientSession, answers, execute, send_line

MIB = 1024 * 1024
SLACK = 100
ENCODERS: list[Encoder] = [ReplyEncoder(2), ReplyEncoder(3), ENDING_IN_LF]
LARGE = bytes(range(256)) * (MIB // 256)


def pieces_of(session: ClientSession, *args: bytes) -> list[bytes]:
    return list(answers(session, encode_request(args)))


@pytest.mark.parametrize("encoder", ENCODERS, ids=["RESP2", "RESP3", "text"])
@pytest.mark.parametrize(
    "reply",
    [LARGE, b"x" * MIB, [LARGE, 1, [b"y" * MIB]], {b"k": LARGE}],
    ids=["binary", "plain", "array", "map"],
)
def test_a_large_value_is_encoded_in_pieces(encoder: Encoder, reply: Reply) -> None:
    factor = 4 if encoder is ENDING_IN_LF else 1  # a byte is printed as \xHH
    assert max(map(len, encoder.stream(reply))) <= factor * PIECE_SIZE + SLACK


@pytest.mark.parametrize("encoder", ENCODERS, ids=["RESP2", "RESP3", "text"])
@pytest.mark.parametrize(("size", "at_once"), [(PIECE_SIZE, True), (PIECE_SIZE + 1, False)])
def test_only_values_up_to_the_piece_size_are_encoded_at_once(encoder: Encoder, size: int, at_once: bool) -> None:
    piece = encoder.scalars[bytes](b"x" * size)
    assert (piece is not None) == at_once
    if piece is not None:
        assert piece == b"".join(encoder.stream(b"x" * size))


@pytest.mark.parametrize("version", [2, 3])
def test_a_value_in_pieces_is_the_same_reply(version: int) -> None:
    assert ReplyDecoder().feed(b"".join(ReplyEncoder(version).stream([LARGE, LARGE]))) == [[LARGE, LARGE]]


# ---------------------------------------------------------------- over RESP: EXEC, COMPACT, GET


def test_backpressure_a_large_value_leaves_in_bounded_outputs(session: ClientSession) -> None:
    execute(session, b"SET", b"k", LARGE)
    pieces = pieces_of(session, b"GET", b"k")
    assert max(map(len, pieces)) <= OUTPUT_SIZE + PIECE_SIZE
    assert b"".join(pieces) == b"$%d\r\n%b\r\n" % (MIB, LARGE)


def test_backpressure_execs_replies_leave_in_bounded_outputs(session: ClientSession) -> None:
    execute(session, b"SET", b"k", LARGE)
    execute(session, b"MULTI")
    for _ in range(5):
        execute(session, b"GET", b"k")
    pieces = pieces_of(session, b"EXEC")
    assert max(map(len, pieces)) <= OUTPUT_SIZE + PIECE_SIZE + SLACK
    assert ReplyDecoder().feed(b"".join(pieces)) == [[LARGE] * 5]


@pytest.mark.parametrize("version", [b"2", b"3"])
def test_backpressure_compact_leaves_in_bounded_outputs(session: ClientSession, store: Store, version: bytes) -> None:
    execute(session, b"HELLO", version)
    for number in range(5000):
        store.set(b"key:%d" % number, b"v" * 1000)
    pieces = pieces_of(session, b"COMPACT")
    assert max(map(len, pieces)) <= OUTPUT_SIZE + PIECE_SIZE + 1100
    (reply,) = ReplyDecoder().feed(b"".join(pieces))
    lines = list(reply.lines) if isinstance(reply, Lines) else reply.split(b"\n") if isinstance(reply, bytes) else []
    assert [line.split()[1] for line in lines] == [b"key:%d" % number for number in range(5000)]


MANY_LARGE_REPLIES = """
import threading
from server.session import stream
from tests.harness.sessions import answers, new_session

def run():
    session = new_session()
    print(len(b"".join(answers(session, b"PING\\n" * 5000))))

stream.OUTPUT_SIZE = 1
threading.stack_size(128 * 1024)
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""


def test_backpressure_many_large_replies_of_one_read_need_no_deep_stack() -> None:
    """Each large reply was one more level of recursion, which ended the process on a small stack."""
    done = subprocess.run([sys.executable, "-c", MANY_LARGE_REPLIES], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "25000\n"), done.stderr


def test_backpressure_pushed_data_counts_as_output(session: ClientSession) -> None:
    """A client that monitors is also sent its own requests."""
    send_line(session, "MONITOR")
    pieces = list(answers(session, encode_request([b"SET", b"k", b"x" * 50_000]) * 20))
    assert len(b"".join(pieces)) > 20 * 50_000 - PIECE_SIZE
    assert max(map(len, pieces)) <= OUTPUT_SIZE + PIECE_SIZE


class CountedLines:
    """Lines that count how many of them were generated."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.generated = 0

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(self.count):
            self.generated += 1
            yield b"x" * 1000


@pytest.mark.parametrize("version", [2, 3])
def test_lines_over_resp_never_exist_all_at_once(version: int) -> None:
    """The length comes first, so they are generated twice: counted, then encoded piece by piece."""
    lines = CountedLines(1000)
    stream = ReplyEncoder(version).stream(Lines(lines))
    next(stream)
    assert lines.generated == 1000
    next(stream)
    assert 1000 < lines.generated <= 1000 + PIECE_SIZE // 1000 + 2


# ---------------------------------------------------------------- quoting

MULTIBYTE = "é€😀\u2028".encode()


@pytest.mark.parametrize(
    "value",
    [
        LARGE,
        b"x" * (3 * PIECE_SIZE + 5),
        b"x y" * PIECE_SIZE,
        b'\\"\n\r\t\b\a\x00' * PIECE_SIZE,
        MULTIBYTE * PIECE_SIZE,
        b"x" * (PIECE_SIZE - 1) + MULTIBYTE * 10,
        b"x" * (PIECE_SIZE - 2) + MULTIBYTE * 10 + b" ",
        MULTIBYTE * PIECE_SIZE + b"\xff",
        b"x" * (2 * PIECE_SIZE) + b"\xc3",
        "é".encode() * PIECE_SIZE,
        b"(" + "é".encode() * PIECE_SIZE,
        b"(" + b"x" * PIECE_SIZE,
        b"x" * PIECE_SIZE + b"'",
        "\u00a0".encode() * PIECE_SIZE,
    ],
    ids=lambda value: f"{value[:6]!r}...{value[-6:]!r} ({len(value)})",
)
def test_quoting_a_large_value_in_pieces_equals_quoting_it_whole(value: bytes) -> None:
    pieces = list(quoted_pieces(value))
    printed = b"".join(pieces)
    assert printed == quote(value)
    assert split_args(printed) == [value]
    assert max(map(len, pieces)) <= 4 * PIECE_SIZE + SLACK


def test_a_large_value_in_text_leaves_in_bounded_outputs(session: ClientSession) -> None:
    execute(session, b"SET", b"k", LARGE)
    pieces = list(answers(session, b"GET k\n"))
    assert max(map(len, pieces)) <= OUTPUT_SIZE + 4 * PIECE_SIZE + SLACK
    assert b"".join(pieces) == quote(LARGE) + b"\n"


def test_a_large_value_within_exec_in_text_is_quoted_like_a_small_one(session: ClientSession) -> None:
    execute(session, b"SET", b"k", b"x y" * PIECE_SIZE)
    assert send_line(session, "MULTI") == "OK"
    send_line(session, "GET k")
    output = b"".join(answers(session, b"EXEC\n"))
    assert output == b'1) "' + b"x y" * PIECE_SIZE + b'"\n'
