"""Replies to JSON frames: written in pieces, whatever their size, and equal to what `json` would write."""

from __future__ import annotations

import json
from collections.abc import Iterator
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import FRAME_REPLY_TOO_LONG
from common.pieces import PIECE_SIZE
from common.replies import NO_REPLY, NULL_ARRAY, OK, ErrorReply, Line, Lines, Reply, SimpleString
from server.keyspace.store import Store
from server.protocols import json_frames
from server.protocols.json_frames import GENERIC, GET_REPLY
from tests.harness.frame_client import answers_in, frame, get, run
from tests.harness.memory import traced_memory
from tests.harness.sessions import ClientSession, answers, encode, feed

MIB = 1024 * 1024

strings = st.one_of(st.binary(max_size=20), st.text(max_size=20).map(str.encode))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    strings,
    strings.map(SimpleString),
    strings.map(lambda text: ErrorReply(b"ERR", text)),
    st.builds(Lines, st.lists(strings | st.lists(strings, max_size=3), max_size=3)),
    st.sampled_from([NULL_ARRAY, OK]),
)
replies = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text().map(str.encode), inner, max_size=3),
    max_leaves=10,
)


def plain(reply: Reply) -> object:
    """Return what the JSON should say, worked out in the plainest way."""

    def text(line: Line) -> str:
        return (line if isinstance(line, bytes) else b"".join(line)).decode(errors="replace")

    match reply:
        case bytes():
            return text(reply)
        case SimpleString():
            return text(reply.text)
        case ErrorReply():
            return text(reply.text)
        case Lines(lines=lines):
            return list(map(text, lines))
        case list():
            return list(map(plain, reply))
        case dict():
            return {text(key): plain(value) for key, value in reply.items()}
    return None if reply is NULL_ARRAY else reply


@given(reply=replies.filter(lambda reply: not isinstance(reply, ErrorReply)), piece=st.sampled_from([1, 7, PIECE_SIZE]))
def test_a_reply_is_json_of_its_plain_form_however_it_is_cut(reply: Reply, piece: int) -> None:
    with patch("common.pieces.PIECE_SIZE", piece), patch.object(json_frames, "PIECE_SIZE", piece):
        printed = encode(GENERIC, reply)
    assert printed == frame({"status_code": 200, "value": plain(reply)}, ascii_only=False)


def test_no_reply_is_no_frame() -> None:
    assert encode(GENERIC, NO_REPLY) == b""


# ---------------------------------------------------------------- large replies


def test_backpressure_a_frame_with_many_large_values_is_never_in_memory_as_a_whole(
    session: ClientSession, store: Store
) -> None:
    store.set(b"big", b"x" * 10 * MIB)
    with traced_memory() as memory:
        size = sum(map(len, answers(session, run("MGET", *["big"] * 6))))
    assert size > 60 * MIB
    assert memory.peak < 3 * MIB


def test_a_frame_that_asks_for_a_large_value_many_times_is_refused_without_much_memory(
    session: ClientSession, store: Store
) -> None:
    store.set(b"big", b"x" * 10 * MIB)
    with traced_memory() as memory:
        (answer,) = answers_in(feed(session, run("MGET", *["big"] * 200)))
    assert answer == {"status_code": 400, "error": FRAME_REPLY_TOO_LONG.text.decode()}
    assert memory.peak < 3 * MIB


@pytest.mark.parametrize(
    "value", [b"x" * MIB, bytes(range(256)) * 4096, "é☃😀".encode() * 100_000, b'"' * MIB], ids=lambda value: value[:5]
)
def test_a_large_value_in_pieces_is_the_same_string(session: ClientSession, store: Store, value: bytes) -> None:
    store.set(b"k", value)
    expected = {"status_code": 200, "value": value.decode(errors="replace")}
    assert answers_in(feed(session, get("k"))) == [expected]
    assert answers_in(feed(session, run("GET", "k"))) == [expected]


def test_a_large_value_that_is_json_stays_json(session: ClientSession, store: Store) -> None:
    value = {"numbers": list(range(100_000))}
    store.set(b"k", json.dumps(value, separators=(",", ":")).encode())
    assert answers_in(feed(session, get("k"))) == [{"status_code": 200, "value": value}]


def test_a_value_with_too_much_structure_is_a_string(session: ClientSession, store: Store) -> None:
    value = "[" + ",".join(["[]"] * 200_000) + "]"
    store.set(b"k", value.encode())
    assert answers_in(feed(session, get("k"))) == [{"status_code": 200, "value": value}]


def test_compact_in_a_frame_prints_a_long_line_in_pieces(session: ClientSession, store: Store) -> None:
    store.set(b"big", b"\x00" * MIB)
    store.set(b"k", b"v")
    with traced_memory() as memory:
        parts = list(answers(session, run("COMPACT")))
    (answer,) = answers_in(b"".join(parts))
    assert answer["value"] == ['SET big "' + "\\x00" * MIB + '"', "SET k v"]
    assert memory.peak < sum(map(len, parts)) + 3 * MIB


def test_lines_that_can_be_read_once_are_sent_too() -> None:
    lines = (b"x" * 1000 for _ in range(1000))
    (answer,) = answers_in(encode(GENERIC, Lines(lines)))
    assert answer["value"] == ["x" * 1000] * 1000


class Endless:
    """Lines that never end. They count how many were read."""

    def __init__(self) -> None:
        self.read = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.read += 1
            yield b"x" * 1000


def test_a_reply_that_is_too_long_for_a_frame_is_not_written_to_its_end() -> None:
    lines = Endless()
    with patch.object(json_frames, "MAX_REPLY_SIZE", MIB):
        printed = encode(GENERIC, Lines(lines))
    assert answers_in(printed) == [{"status_code": 400, "error": FRAME_REPLY_TOO_LONG.text.decode()}]
    assert lines.read < 2 * MIB // 1000


@pytest.mark.parametrize("encoder", [GENERIC, GET_REPLY], ids=["args", "GET"])
@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)])
def test_the_longest_reply_is_exact(encoder: json_frames.FrameEncoder, more: int, fits: bool) -> None:
    around = len(b'{"status_code": 200, "value": ""}')
    with patch.object(json_frames, "MAX_REPLY_SIZE", MIB):
        (answer,) = answers_in(encode(encoder, b"x" * (MIB - around + more)))
    assert answer["status_code"] == (200 if fits else 400)
