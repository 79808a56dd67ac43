"""RESP replies: what the server writes in either version, and what a client makes of any peer's bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from common.codec import encode_together
from common.pieces import PIECE_SIZE
from common.replies import NO_REPLY, NULL_ARRAY, OK, ErrorReply, Lines, Reply, SimpleString
from common.resp_client import MAX_REPLY_DEPTH, MalformedReply, ReplyDecoder, encode_request
from common.resp_replies import ReplyEncoder
from tests.harness.sessions import encode


@pytest.mark.parametrize(
    ("reply", "in_2", "in_3"),
    [
        (OK, b"+OK\r\n", b"+OK\r\n"),
        (ErrorReply.from_text(b"ERR no"), b"-ERR no\r\n", b"-ERR no\r\n"),
        (ErrorReply.from_text(b"ERR a\r\nb"), b"-ERR a  b\r\n", b"-ERR a  b\r\n"),
        (b"", b"$0\r\n\r\n", b"$0\r\n\r\n"),
        (b"a\r\nb", b"$4\r\na\r\nb\r\n", b"$4\r\na\r\nb\r\n"),
        (0, b":0\r\n", b":0\r\n"),
        (-(2**63), b":-9223372036854775808\r\n", b":-9223372036854775808\r\n"),
        (None, b"$-1\r\n", b"_\r\n"),
        (NULL_ARRAY, b"*-1\r\n", b"_\r\n"),
        (NO_REPLY, b"", b""),
        (1e300, b"$23\r\n1.0000000000000001e+300\r\n", b",1.0000000000000001e+300\r\n"),
        (True, b":1\r\n", b"#t\r\n"),
        (False, b":0\r\n", b"#f\r\n"),
        (0.5, b"$3\r\n0.5\r\n", b",0.5\r\n"),
        (math.inf, b"$3\r\ninf\r\n", b",inf\r\n"),
        (-math.inf, b"$4\r\n-inf\r\n", b",-inf\r\n"),
        ([], b"*0\r\n", b"*0\r\n"),
        ([1, [b"a", None]], b"*2\r\n:1\r\n*2\r\n$1\r\na\r\n$-1\r\n", b"*2\r\n:1\r\n*2\r\n$1\r\na\r\n_\r\n"),
        ({}, b"*0\r\n", b"%0\r\n"),
        ({b"a": 1, b"b": {}}, b"*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n*0\r\n", b"%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n%0\r\n"),
        (Lines([]), b"$0\r\n\r\n", b"=4\r\ntxt:\r\n"),
        (Lines([b"one"]), b"$3\r\none\r\n", b"=7\r\ntxt:one\r\n"),
        (Lines([b"one", b"", b"two"]), b"$8\r\none\n\ntwo\r\n", b"=12\r\ntxt:one\n\ntwo\r\n"),
        (Lines([b"a", b"b"], b"\r\n"), b"$4\r\na\r\nb\r\n", b"=8\r\ntxt:a\r\nb\r\n"),
        ([Lines([b"a"])], b"*1\r\n$1\r\na\r\n", b"*1\r\n=5\r\ntxt:a\r\n"),
    ],
)
def test_a_reply_is_encoded_in_either_version(reply: Reply, in_2: bytes, in_3: bytes) -> None:
    assert encode(ReplyEncoder(2), reply) == in_2
    assert encode(ReplyEncoder(3), reply) == in_3


@pytest.mark.parametrize(
    "replies",
    [
        [b"", b"a", b"x" * 2000],
        [b"a", None, b"b"],
        [b"a", [], b"b"],
        [1, -5, 2**63 - 1],
        [1, True, 0.5],
        [1, None],
        [OK, OK],
        [OK, SimpleString(b"QUEUED"), 1],
        [None, None, b"a"],
        [NO_REPLY, ErrorReply.from_text(b"ERR no"), 1.5],
        [b"x" * PIECE_SIZE, b"y"],
    ],
    ids=lambda replies: repr(replies)[:40],
)
@pytest.mark.parametrize("version", [2, 3])
def test_replies_are_encoded_together_as_one_by_one(version: int, replies: list[Reply]) -> None:
    encoder = ReplyEncoder(version)
    together = encode_together(encoder.scalars, encoder.columns, replies)
    assert together == b"".join(encode(encoder, each) for each in replies)


@pytest.mark.parametrize("replies", [[b"a", b"x" * (PIECE_SIZE + 1)], [1, Lines([])]])
def test_replies_that_are_large_are_not_encoded_together(replies: list[Reply]) -> None:
    encoder = ReplyEncoder()
    assert encode_together(encoder.scalars, encoder.columns, replies) is None


def test_an_encoder_uses_resp2_by_default() -> None:
    encoder = ReplyEncoder()
    assert (encoder.version, encode(encoder, None)) == (2, b"$-1\r\n")
    encoder.use(3)
    assert (encoder.version, encode(encoder, None)) == (3, b"_\r\n")
    encoder.use(2)
    assert (encoder.version, encode(encoder, {})) == (2, b"*0\r\n")


@pytest.mark.parametrize("count", [999, 1000, 1001, 2000, 2001])
@pytest.mark.parametrize("version", [2, 3])
def test_a_long_block_is_encoded_in_pieces_with_the_length_it_declares(version: int, count: int) -> None:
    lines = [b"line %d" % number for number in range(count)]
    text = b"\n".join(lines)

    def lazy() -> Iterator[bytes]:
        yield from lines

    pieces = list(ReplyEncoder(version).stream(Lines(lazy())))
    assert max(map(len, pieces)) < 20_000
    expected = b"$%d\r\n%b\r\n" % (len(text), text) if version == 2 else b"=%d\r\ntxt:%b\r\n" % (len(text) + 4, text)
    assert b"".join(pieces) == expected


@pytest.mark.parametrize("version", [2, 3])
def test_a_block_of_long_lines_is_encoded_in_pieces_of_about_the_write_size(version: int) -> None:
    line = b"x" * 10_000
    pieces = list(ReplyEncoder(version).stream(Lines([line] * 100)))
    assert max(map(len, pieces)) <= PIECE_SIZE + len(line) + 10
    assert b"".join(pieces).count(line) == 100


# ---------------------------------------------------------------- decoding

SPECIMENS: dict[str, tuple[bytes, Any]] = {
    "a status": (b"+OK\r\n", SimpleString(b"OK")),
    "an empty status": (b"+\r\n", SimpleString(b"")),
    "an error": (b"-ERR no\r\n", ErrorReply.from_text(b"ERR no")),
    "a long error": (b"!7\r\nERR\r\nno\r\n", ErrorReply.from_text(b"ERR\r\nno")),
    "an integer": (b":11\r\n", 11),
    "a negative integer": (b":-11\r\n", -11),
    "a big number": (b"(-123456789012345678901234567890\r\n", -123456789012345678901234567890),
    "a double": (b",0.5\r\n", 0.5),
    "a double that is whole": (b",10\r\n", 10.0),
    "a double with an exponent": (b",1e+300\r\n", 1e300),
    "infinity": (b",inf\r\n", math.inf),
    "minus infinity": (b",-inf\r\n", -math.inf),
    "true": (b"#t\r\n", True),
    "false": (b"#f\r\n", False),
    "null": (b"_\r\n", None),
    "a null string": (b"$-1\r\n", None),
    "a null array": (b"*-1\r\n", None),
    "a string": (b"$5\r\nhello\r\n", b"hello"),
    "an empty string": (b"$0\r\n\r\n", b""),
    "a string with line breaks": (b"$6\r\n\r\n*1\r\n\r\n", b"\r\n*1\r\n"),
    "a verbatim string": (b"=11\r\ntxt:one\ntwo\r\n", Lines([b"one", b"two"])),
    "a verbatim string of markdown": (b"=7\r\nmkd:one\r\n", Lines([b"one"])),
    "an empty verbatim string": (b"=4\r\ntxt:\r\n", Lines([])),
    "an array": (b"*2\r\n$1\r\na\r\n:1\r\n", [b"a", 1]),
    "an empty array": (b"*0\r\n", []),
    "nested arrays": (b"*3\r\n*2\r\n:1\r\n*0\r\n*-1\r\n*1\r\n*1\r\n_\r\n", [[1, []], None, [[None]]]),
    "a set": (b"~2\r\n:1\r\n:2\r\n", [1, 2]),
    "a push": (b">2\r\n$3\r\nmsg\r\n:2\r\n", [b"msg", 2]),
    "a map": (b"%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n*1\r\n:2\r\n", {b"a": 1, b"b": [2]}),
    "an empty map": (b"%0\r\n", {}),
    "a map in a map": (b"%1\r\n$1\r\na\r\n%1\r\n$1\r\nb\r\n#t\r\n", {b"a": {b"b": True}}),
    "a map whose keys are no strings": (b"%1\r\n:1\r\n:2\r\n", [1, 2]),
    "an error within an array": (b"*2\r\n-ERR no\r\n+OK\r\n", [ErrorReply.from_text(b"ERR no"), OK]),
}


@pytest.mark.parametrize("name", SPECIMENS)
def test_a_reply_is_decoded_whole_and_byte_by_byte(name: str) -> None:
    data, reply = SPECIMENS[name]
    # Compared as they are written, since 1 == 1.0 == True.
    assert repr(ReplyDecoder().feed(data)) == repr([reply])
    decoder = ReplyDecoder()
    for place in range(len(data) - 1):
        assert decoder.feed(data[place : place + 1]) == []
    assert repr(decoder.feed(data[-1:])) == repr([reply])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_replies_in_a_row_are_decoded_in_their_order(size: int) -> None:
    data = b"".join(data for data, _ in SPECIMENS.values())
    decoder = ReplyDecoder()
    replies = [reply for at in range(0, len(data), size) for reply in decoder.feed(data[at : at + size])]
    assert repr(replies) == repr([reply for _, reply in SPECIMENS.values()])


def test_arrays_may_be_nested_so_deep_and_no_deeper() -> None:
    (reply,) = ReplyDecoder().feed(b"*1\r\n" * MAX_REPLY_DEPTH + b":7\r\n")
    for _ in range(MAX_REPLY_DEPTH):
        assert isinstance(reply, list)
        (reply,) = reply
    assert reply == 7
    with pytest.raises(MalformedReply, match="nested"):
        ReplyDecoder().feed(b"*1\r\n" * (MAX_REPLY_DEPTH + 1))


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n",
        b"hello\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"1) a\r\n",
        b"\x00\r\n",
        b":\r\n",
        b":x\r\n",
        b":1.5\r\n",
        b"(x\r\n",
        b",x\r\n",
        b"$\r\n",
        b"$x\r\n",
        b"$05\r\n",
        b"$99999999999999999999\r\n",
        b"*x\r\n",
        b"%x\r\n",
        b"=x\r\n",
        b"!x\r\n",
        b"*1\r\nx\r\n",
    ],
)
@pytest.mark.parametrize("before", [b"", b"+OK\r\n"])
def test_what_is_no_resp_is_refused(before: bytes, data: bytes) -> None:
    decoder = ReplyDecoder()
    with pytest.raises(MalformedReply):
        decoder.feed(before + data)


@pytest.mark.parametrize("data", [b"$3\r\nhello\r\n", b"$3\r\nabcXX", b"=7\r\ntxt:onetwo\r\n", b"$0\r\n+OK\r\n"])
def test_a_string_that_does_not_end_where_it_said_is_refused(data: bytes) -> None:
    decoder = ReplyDecoder()
    with pytest.raises(MalformedReply):
        decoder.feed(data)


@pytest.mark.parametrize(
    "line",
    [
        *(b":1_0", b": 1", b":+", b":+-1", b":"),
        *(b",1_0.5", b", 1", b",.5", b",+-5", b",1e", b",infinity", b",+nan", b","),
        *(b"#x", b"_x", b"$-2", b"*-7", b"$-0", b"$+1", b"$1_0", b"$9999999999999999999999"),
    ],
)
def test_a_scalar_in_a_spelling_that_resp_does_not_know_is_refused(line: bytes) -> None:
    decoder = ReplyDecoder()
    with pytest.raises(MalformedReply):
        decoder.feed(line + b"\r\n")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        *((b":+1", 1), (b":-01", -1), (b"(123456789012345678901234567890", 123456789012345678901234567890)),
        *(
            (b",5", 5.0),
            (b",5.", 5.0),
            (b",-0.5E-2", -0.005),
            (b",+1e3", 1000.0),
            (b",INF", math.inf),
            (b",-inf", -math.inf),
        ),
    ],
)
def test_a_number_may_have_a_sign_a_fraction_and_an_exponent(line: bytes, expected: float) -> None:
    assert ReplyDecoder().feed(line + b"\r\n") == [expected]


# ---------------------------------------------------------------- requests as a client writes them


@pytest.mark.parametrize(
    ("args", "encoded"),
    [
        ([b"PING"], b"*1\r\n$4\r\nPING\r\n"),
        ([b"SET", b"", b"a\r\nb"], b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\na\r\nb\r\n"),
        ([b"ECHO", b"x" * 2000], b"*2\r\n$4\r\nECHO\r\n$2000\r\n" + b"x" * 2000 + b"\r\n"),
    ],
    ids=["one word", "odd words", "a long word"],
)
def test_a_request_is_encoded_as_an_array_of_strings(args: list[bytes], encoded: bytes) -> None:
    assert encode_request(args) == encoded
    assert encode_request(iter(args)) == encoded
