"""How replies look to a person."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from common.replies import NO_REPLY, NULL_ARRAY, OK, ErrorReply, Lines, Reply
from common.text import ENDING_IN_CRLF, ENDING_IN_LF, TextEncoder
from tests.harness.sessions import encode


def lines(reply: Reply) -> list[str]:
    """Print a reply and return its lines."""
    printed = encode(ENDING_IN_LF, reply).decode()
    assert printed.endswith("\n")
    return printed.removesuffix("\n").split("\n")


@pytest.mark.parametrize(
    ("reply", "printed"),
    [
        (OK, ["OK"]),
        (b"value", ["value"]),
        (b"", ['""']),
        (b"two words", ['"two words"']),
        (11, ["11"]),
        (-(2**63), ["-9223372036854775808"]),
        (0.5, ["0.5"]),
        (-2.0, ["-2"]),
        (1e300, ["1.0000000000000001e+300"]),
        (math.inf, ["inf"]),
        (-math.inf, ["-inf"]),
        (True, ["(true)"]),
        (False, ["(false)"]),
        (None, ["(nil)"]),
        (NULL_ARRAY, ["(nil)"]),
        (ErrorReply.from_text(b"ERR no"), ["(error) ERR no"]),
        (ErrorReply.from_text(b"ERR a\r\nb"), [r"(error) ERR a\r\nb"]),
        (ErrorReply.from_text(b"ERR \x1b[2J\x07\x00"), [r"(error) ERR \x1b[2J\a\x00"]),
        (ErrorReply.from_text("ERR \x9b31m \u202e".encode()), [r"(error) ERR \xc2\x9b31m \xe2\x80\xae"]),
        (ErrorReply.from_text(b"ERR \xff\xc3"), [r"(error) ERR \xff\xc3"]),
        (ErrorReply.from_text("ERR 'Zoë' \"\\".encode()), ["(error) ERR 'Zoë' \"\\"]),
        (Lines([]), [""]),
        (Lines([b"one"]), ["one"]),
        (Lines([b'SET a "b c"', b"", b"three"]), ['SET a "b c"', "", "three"]),
        ([], ["(empty)"]),
        ({}, ["(empty)"]),
        ([b"a", 2, None], ["1) a", "2) 2", "3) (nil)"]),
        ({b"a": 1, b"b c": []}, ["1) a", "2) 1", '3) "b c"', "4) (empty)"]),
        ([[]], ["1) (empty)"]),
        ([[b"a", b"b"], b"c"], ["1) 1) a", "   2) b", "2) c"]),
        ([[[b"a", b"b"], b"c"]], ["1) 1) 1) a", "      2) b", "   2) c"]),
        ([b"x", {b"k": [1, 2]}], ["1) x", "2) 1) k", "   2) 1) 1", "      2) 2"]),
        ([Lines([b"one", b"two"]), OK], ["1) one", "   two", "2) OK"]),
        ([OK, Lines([])], ["1) OK", "2) "]),
        ([[Lines([b"one", b"two"])]], ["1) 1) one", "      two"]),
        ([ErrorReply.from_text(b"ERR no"), True, 0.5], ["1) (error) ERR no", "2) (true)", "3) 0.5"]),
    ],
)
def test_a_reply_is_printed_as_lines(reply: Reply, printed: list[str]) -> None:
    assert lines(reply) == printed


def test_the_items_of_a_long_array_are_indented_by_their_own_numbers_width() -> None:
    printed = lines([0] * 9 + [[b"a", b"b"]])
    assert printed[8:] == ["9) 0", "10) 1) a", "    2) b"]


@pytest.mark.parametrize(("encoder", "ending"), [(ENDING_IN_LF, b"\n"), (ENDING_IN_CRLF, b"\r\n")])
def test_an_encoder_ends_every_line_of_any_reply_alike(encoder: TextEncoder, ending: bytes) -> None:
    assert b"".join(encoder.stream([b"a", [1, 2]])) == ending.join([b"1) a", b"2) 1) 1", b"   2) 2", b""])
    assert encoder.scalars[bytes](b"two words") == b'"two words"' + ending
    assert encoder.scalars[type(None)](None) == b"(nil)" + ending
    assert encoder.scalars[type(NO_REPLY)](NO_REPLY) == b""


def test_lazy_lines_are_printed_while_they_are_generated() -> None:
    made: list[int] = []

    def generate() -> Iterator[bytes]:
        for number in range(3):
            made.append(number)
            yield b"%d" % number

    pieces = ENDING_IN_LF.stream(Lines(generate()))
    assert made == []
    assert next(pieces) == b"0\n"
    assert made == [0]
    assert list(pieces) == [b"1\n", b"2\n"]
