"""Replies as JSON: whatever the reply and however it is cut, the pieces are JSON of its plain form."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.replies import NO_REPLY, NULL_ARRAY, OK, ErrorReply, Lines, Reply, SimpleString
from common.resp_replies import format_double
from server.http.messages import MIN_STREAMED_SIZE, lazy_response, next_part
from server.http.reply_json import json_pieces, outcome_pieces
from server.protocols import json_writer
from server.protocols.json_writer import CHUNK_SIZE

strings = st.one_of(st.binary(max_size=40), st.text(max_size=20).map(str.encode))
lines = st.lists(strings, max_size=5)
scalars = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    strings,
    strings.map(SimpleString),
    st.just(OK),
    st.builds(Lines, lines, st.sampled_from([b"\n", b"\r\n"])),
    st.sampled_from([NULL_ARRAY, NO_REPLY]),
)
replies = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(strings, inner, max_size=3), max_leaves=10
)


def plain(reply: Reply, base64: bool) -> object:
    """Return what the JSON should say, worked out in the plainest way."""

    def text(data: bytes) -> str:
        return b64encode(data).decode() if base64 else data.decode(errors="replace")

    match reply:
        case int():
            return reply
        case float():
            return text(format_double(reply))
        case bytes():
            return text(reply)
        case SimpleString(text=data):
            return "OK" if reply == OK else text(data)
        case Lines(lines=lines, separator=separator):
            return text(separator.join(lines))
        case list():
            return [plain(each, base64) for each in reply]
        case dict():
            return [plain(each, base64) for pair in reply.items() for each in pair]
    return None


@given(reply=replies, base64=st.booleans(), chunk=st.sampled_from([3, 6, 48 * 1024]))
def test_any_reply_is_json_of_its_plain_form_however_it_is_cut(reply: Reply, base64: bool, chunk: int) -> None:
    with patch.object(json_writer, "CHUNK_SIZE", chunk):
        printed = b"".join(json_pieces(reply, base64=base64))
    assert json.loads(printed) == plain(reply, base64)


@pytest.mark.parametrize("shift", range(5))
@pytest.mark.parametrize("text", ["é☃😀", '"\\\n\x00', "\ufffd"], ids=ascii)
def test_characters_at_the_border_of_two_chunks_stay_whole(text: str, shift: int) -> None:
    value = b"x" * (CHUNK_SIZE - shift) + text.encode() * 10 + b"y" * CHUNK_SIZE
    assert json.loads(b"".join(json_pieces(value))) == value.decode()
    assert b64decode(json.loads(b"".join(json_pieces(value, base64=True)))) == value


def test_half_a_character_at_the_end_is_replaced() -> None:
    value = b"x" * CHUNK_SIZE + "☃".encode()[:2]
    assert json.loads(b"".join(json_pieces(value))) == "x" * CHUNK_SIZE + "\ufffd"


def test_large_strings_come_in_pieces() -> None:
    assert max(map(len, json_pieces(b"x" * CHUNK_SIZE * 4))) <= 2 * CHUNK_SIZE
    assert max(map(len, json_pieces(b"\x00" * CHUNK_SIZE * 4, base64=True))) <= 2 * CHUNK_SIZE


@given(reply=replies, base64=st.booleans())
def test_an_outcome_is_a_result(reply: Reply, base64: bool) -> None:
    assert json.loads(b"".join(outcome_pieces(reply, base64=base64))) == {"result": plain(reply, base64)}


@given(text=strings)
def test_an_error_is_never_in_base64(text: bytes) -> None:
    error = ErrorReply(b"ERR", text)
    printed = b"".join(outcome_pieces(error, base64=True))
    assert json.loads(printed) == {"error": error.text.decode(errors="replace")}


@given(sizes=st.lists(st.integers(0, MIN_STREAMED_SIZE), max_size=8))
def test_a_body_is_whole_or_in_parts_and_nothing_is_lost(sizes: list[int]) -> None:
    pieces = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    answer = lazy_response(b"text/plain", iter(pieces))
    if isinstance(answer.body, bytes):
        assert answer.body == b"".join(pieces)
        return
    parts = list(parts_of(answer.body))
    assert b"".join(parts) == b"".join(pieces)
    assert all(len(part) >= MIN_STREAMED_SIZE for part in parts[:-1])


def parts_of(body: Iterator[bytes]) -> Iterator[bytes]:
    while part := next_part(body):
        yield part
