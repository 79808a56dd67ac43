"""The commands on string values, beside GET, SET and the counting ones."""

from __future__ import annotations

import pytest

from common.errors import (
    LCS_LEN_AND_IDX,
    LCS_TOO_LARGE,
    NOT_AN_INTEGER,
    OFFSET_OUT_OF_RANGE,
    STRING_TOO_LONG,
    SYNTAX_ERROR,
)
from common.replies import OK, ErrorReply, Reply
from server.keyspace.store import Store
from tests.harness.sessions import ClientSession, execute, execute_line, send_lines
from tests.harness.stores import pairs

# ---------------------------------------------------------------- SET


@pytest.mark.parametrize(
    ("before", "options", "reply", "after"),
    [
        (None, "NX", OK, b"new"),
        (b"old", "NX", None, b"old"),
        (None, "XX", None, None),
        (b"old", "XX", OK, b"new"),
        (None, "GET", None, b"new"),
        (b"old", "GET", b"old", b"new"),
        (b"old", "NX GET", b"old", b"old"),
        (None, "NX GET", None, b"new"),
        (b"old", "xx get", b"old", b"new"),
        (None, "XX GET", None, None),
        (b"old", "NX NX", None, b"old"),
    ],
)
def test_set_has_conditions_and_may_reply_what_was_there(
    session: ClientSession, store: Store, before: bytes | None, options: str, reply: Reply, after: bytes | None
) -> None:
    if before is not None:
        store.set(b"k", before)
    assert execute_line(session, f"SET k new {options}") == reply
    assert store.get(b"k") == after


@pytest.mark.parametrize("options", ["SOMETIMES", "NX XX", "EX", "PX 1 EX 1", "KEEPTTL PXAT 5", "GET GET x"])
def test_an_option_that_set_does_not_have_is_a_syntax_error(session: ClientSession, store: Store, options: str) -> None:
    assert execute_line(session, f"SET k v {options}") == SYNTAX_ERROR
    assert store.items() == []


# ---------------------------------------------------------------- several at once


def test_mset_and_mget_go_through_their_keys_in_order(session: ClientSession, store: Store) -> None:
    assert execute_line(session, "MSET b 1 a 2 b 3") == OK
    assert pairs(store) == [(b"b", b"3"), (b"a", b"2")]
    assert execute_line(session, "MGET a none b a") == [b"2", None, b"3", b"2"]


def test_msetnx_sets_all_or_none(session: ClientSession, store: Store) -> None:
    assert execute_line(session, "MSETNX a 1 b 2") == 1
    assert execute_line(session, "MSETNX c 3 b 4") == 0
    assert pairs(store) == [(b"a", b"1"), (b"b", b"2")]


@pytest.mark.parametrize("name", ["MSET", "MSETNX"])
@pytest.mark.parametrize("args", ["a 1 b", "a 1 b 2 c"])
def test_a_key_without_a_value_is_refused_and_nothing_is_set(
    session: ClientSession, store: Store, name: str, args: str
) -> None:
    error = ErrorReply.from_text(b"ERR wrong number of arguments for '%b' command" % name.lower().encode())
    assert execute_line(session, f"{name} {args}") == error
    assert store.items() == []


# ---------------------------------------------------------------- read and change


@pytest.mark.parametrize(
    ("line", "there", "after", "absent", "made"),
    [
        ("SETNX k new", 0, b"old", 1, b"new"),
        ("GETSET k new", b"old", b"new", None, b"new"),
        ("GETDEL k", b"old", None, None, None),
        ("GETEX k", b"old", b"old", None, None),
        ("APPEND k +", 4, b"old+", 1, b"+"),
        ("APPEND k ''", 3, b"old", 0, b""),
        ("STRLEN k", 3, b"old", 0, None),
        ("SETRANGE k 1 LD", 3, b"oLD", 3, b"\0LD"),
        ("SETRANGE k 2 DER", 5, b"olDER", 5, b"\0\0DER"),
        ("SETRANGE k 5 X", 6, b"old\0\0X", 6, b"\0\0\0\0\0X"),
        ("SETRANGE k 0 X", 3, b"Xld", 1, b"X"),
        ("SETRANGE k 9 ''", 3, b"old", 0, None),
    ],
)
def test_a_command_on_a_value_and_on_none(
    session: ClientSession,
    store: Store,
    line: str,
    there: Reply,
    after: bytes | None,
    absent: Reply,
    made: bytes | None,
) -> None:
    assert execute_line(session, line) == absent
    assert store.get(b"k") == made
    store.set(b"k", b"old")
    assert execute_line(session, line) == there
    assert store.get(b"k") == after


@pytest.mark.parametrize(
    ("line", "error"), [("SETRANGE k -1 x", OFFSET_OUT_OF_RANGE), ("SETRANGE k x y", NOT_AN_INTEGER)]
)
def test_a_place_before_the_value_is_refused(session: ClientSession, line: str, error: ErrorReply) -> None:
    assert execute_line(session, line) == error


@pytest.mark.parametrize("offset", [512 * 1024 * 1024, 2**62])
def test_a_value_longer_than_any_may_be_is_refused_before_it_is_made(
    session: ClientSession, store: Store, offset: int
) -> None:
    assert execute(session, b"SETRANGE", b"k", b"%d" % offset, b"x") == STRING_TOO_LONG
    assert execute(session, b"SETRANGE", b"k", b"%d" % offset, b"") == 0
    assert store.items() == []


RANGES = [
    (0, 3),
    (-3, -1),
    (0, -1),
    (10, 100),
    (3, 2),
    (-1, -3),
    (-100, 2),
    (-100, -90),
    (5, 5),
    (2, -2),
    (0, 0),
    (-6, -6),
]


@pytest.mark.parametrize("name", [b"GETRANGE", b"SUBSTR"])
@pytest.mark.parametrize(("start", "end"), RANGES)
def test_a_range_takes_the_bytes_from_start_to_end(
    session: ClientSession, store: Store, name: bytes, start: int, end: int
) -> None:
    """Counted from the end below zero, and no further than the value goes, as Redis has it."""
    value = b"abcdef"
    store.set(b"k", value)
    first, last = (max(place + 6, 0) if place < 0 else place for place in (start, end))
    expected = bytes(byte for place, byte in enumerate(value) if first <= place <= last)
    if start < 0 and end < 0 and start > end:
        expected = b""
    assert execute(session, name, b"k", b"%d" % start, b"%d" % end) == expected
    assert execute(session, name, b"none", b"%d" % start, b"%d" % end) == b""


# ---------------------------------------------------------------- LCS


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("LCS a b", b"mytext"),
        ("LCS a b LEN", 6),
        ("LCS a b IDX", {b"matches": [[[4, 7], [5, 8]], [[2, 3], [0, 1]]], b"len": 6}),
        ("LCS a b IDX MINMATCHLEN 4", {b"matches": [[[4, 7], [5, 8]]], b"len": 6}),
        ("LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN", {b"matches": [[[4, 7], [5, 8], 4]], b"len": 6}),
        ("LCS a b idx withmatchlen", {b"matches": [[[4, 7], [5, 8], 4], [[2, 3], [0, 1], 2]], b"len": 6}),
        ("LCS a none", b""),
        ("LCS none b LEN", 0),
        ("LCS none none IDX", {b"matches": [], b"len": 0}),
        ("LCS a a", b"ohmytext"),
    ],
)
def test_lcs_replies_as_in_the_manual_of_redis(session: ClientSession, line: str, reply: Reply) -> None:
    send_lines(session, "MSET a ohmytext b mynewtext", "HELLO 3")
    assert execute_line(session, line) == reply


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("LEN IDX", LCS_LEN_AND_IDX),
        ("LENGTH", SYNTAX_ERROR),
        ("MINMATCHLEN", SYNTAX_ERROR),
        ("IDX MINMATCHLEN x", NOT_AN_INTEGER),
    ],
)
def test_an_option_that_lcs_does_not_have_is_refused(session: ClientSession, options: str, error: ErrorReply) -> None:
    assert execute_line(session, f"LCS a b {options}") == error


@pytest.mark.parametrize(("a", "b", "found"), [("ab", "ba", b"b"), ("ba", "ab", b"a"), ("abcb", "bdcab", b"bcb")])
def test_of_several_longest_ones_lcs_finds_the_one_that_redis_finds(
    session: ClientSession, a: str, b: str, found: bytes
) -> None:
    """Where both ways are as long, Redis goes back in the second value."""
    send_lines(session, f"MSET a {a} b {b}")
    assert execute_line(session, "LCS a b") == found


def test_values_whose_table_would_be_too_large_are_refused(session: ClientSession, store: Store) -> None:
    store.set(b"a", b"a" * 12_000)
    assert execute_line(session, "LCS a a LEN") == LCS_TOO_LARGE
