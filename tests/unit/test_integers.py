"""Integers in their one spelling, and sums that fit."""

from __future__ import annotations

import pytest

from common.errors import NOT_AN_INTEGER, WOULD_OVERFLOW, CommandError
from server.args.integers import MAX_INTEGER, MIN_INTEGER, add, parse_integer


@pytest.mark.parametrize(
    "number", [0, 1, -1, 9, 10, -10, 2**31, MAX_INTEGER, MAX_INTEGER - 1, MIN_INTEGER, MIN_INTEGER + 1]
)
def test_an_integer_is_read_in_the_spelling_that_it_is_written_in(number: int) -> None:
    assert parse_integer(b"%d" % number) == number


NO_INTEGERS = [
    b"",
    b" ",
    b"-",
    b"+",
    b" 11",
    b"11 ",
    b"1 1",
    b"\t11",
    b"11\n",
    b"11\x00",
    b"+1",
    b"--1",
    b"01",
    b"00",
    b"-01",
    b"-0",
    b"1.0",
    b"1.",
    b"1e3",
    b"0x10",
    b"1_000",
    b"ten",
    b"inf",
    b"nan",
    "١".encode(),  # a digit, but no ASCII one
    b"\xff",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"99999999999999999999",
    b"1" * 10_000,
]


@pytest.mark.parametrize("arg", NO_INTEGERS, ids=lambda arg: repr(arg[:24]))
def test_any_other_argument_is_no_integer(arg: bytes) -> None:
    with pytest.raises(CommandError) as caught:
        parse_integer(arg)
    assert caught.value.reply == NOT_AN_INTEGER


@pytest.mark.parametrize(
    ("number", "increment", "total"),
    [
        (1, 2, 3),
        (MAX_INTEGER, MIN_INTEGER, -1),
        (MAX_INTEGER - 1, 1, MAX_INTEGER),
        (MIN_INTEGER + 1, -1, MIN_INTEGER),
        (MAX_INTEGER, 0, MAX_INTEGER),
    ],
)
def test_a_sum_that_fits_is_made(number: int, increment: int, total: int) -> None:
    assert add(number, increment) == total


@pytest.mark.parametrize(
    ("number", "increment"),
    [(MAX_INTEGER, 1), (1, MAX_INTEGER), (MIN_INTEGER, -1), (-1, MIN_INTEGER), (MAX_INTEGER, MAX_INTEGER)],
)
def test_a_sum_that_does_not_fit_is_refused(number: int, increment: int) -> None:
    with pytest.raises(CommandError) as caught:
        add(number, increment)
    assert caught.value.reply == WOULD_OVERFLOW
