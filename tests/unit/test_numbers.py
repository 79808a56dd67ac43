"""INCRBYFLOAT: exact decimal sums, in the spellings of Redis."""

from __future__ import annotations

import tracemalloc

import pytest

from common.errors import NOT_A_FLOAT, WOULD_BE_INFINITE
from server.keyspace.store import Store
from tests.harness.sessions import ClientSession, execute
from tests.harness.stores import pairs


@pytest.mark.parametrize(
    ("value", "increment", "total"),
    [
        (None, b"0", b"0"),
        (None, b"10.5", b"10.5"),
        (b"10.50", b"0.1", b"10.6"),
        (b"0.1", b"0.2", b"0.3"),
        (b"5.0e3", b"2.0e2", b"5200"),
        (b"3", b"1.10", b"4.1"),
        (b"3.0", b"1.000000000000000000", b"4"),
        (b"-1", b"1", b"0"),
        (b"-0.5", b"0.5", b"0"),
        (b"-0", b"-0", b"0"),
        (b"1", b"-3.25", b"-2.25"),
        (b"+1", b"+1", b"2"),
        (b".5", b"5.", b"5.5"),
        (b"1e-17", b"0", b"0.00000000000000001"),
        (b"1e-18", b"0", b"0"),
        (b"1e20", b"1", b"100000000000000000001"),
        (b"1E2", b"1e+2", b"200"),
        (b"9223372036854775807", b"1", b"9223372036854775808"),
        (b"0.00000000000000001", b"123456789", b"123456789.00000000000000001"),
    ],
)
def test_a_sum_is_exact_and_has_no_zeros_to_spare(
    session: ClientSession, store: Store, value: bytes | None, increment: bytes, total: bytes
) -> None:
    if value is not None:
        store.set(b"n", value)
    assert execute(session, b"INCRBYFLOAT", b"n", increment) == total
    assert store.get(b"n") == total


@pytest.mark.parametrize(
    "arg",
    [b"", b" ", b" 1", b"1 ", b"1 1", b"x", b"1x", b"nan", b"-nan", b"1e", b"e5", b".", b"-", b"+-1", b"1,5", b"1_0",
     b"0x", "١".encode(), b"1\x00", b"1e400000", b"1" * 6000],
    ids=lambda arg: repr(arg[:12]),
)  # fmt: skip
def test_an_invalid_number_is_refused_in_every_position(session: ClientSession, store: Store, arg: bytes) -> None:
    store.set(b"n", b"1")
    store.set(b"word", arg)
    assert execute(session, b"INCRBYFLOAT", b"n", arg) == NOT_A_FLOAT
    assert execute(session, b"INCRBYFLOAT", b"word", b"1") == NOT_A_FLOAT
    assert pairs(store) == [(b"n", b"1"), (b"word", arg)]


@pytest.mark.parametrize(
    ("value", "increment"),
    [(b"1", b"inf"), (b"1", b"-Infinity"), (b"inf", b"1"), (b"inf", b"-inf"), (b"1e4932", b"1e4932")],
)
def test_a_sum_that_is_infinite_or_none_is_refused(
    session: ClientSession, store: Store, value: bytes, increment: bytes
) -> None:
    store.set(b"n", value)
    assert execute(session, b"INCRBYFLOAT", b"n", increment) == WOULD_BE_INFINITE
    assert pairs(store) == [(b"n", value)]


def test_the_largest_sums_are_printed_whole(session: ClientSession) -> None:
    total = execute(session, b"INCRBYFLOAT", b"n", b"1e4932")
    assert total == b"1" + b"0" * 4932
    total = execute(session, b"INCRBYFLOAT", b"n", b"0.5")
    assert isinstance(total, bytes)
    assert total == b"1" + b"0" * 4932 + b".5"


def test_many_steps_of_a_tenth_lose_nothing(session: ClientSession) -> None:
    for _ in range(1000):
        total = execute(session, b"INCRBYFLOAT", b"n", b"0.1")
    assert total == b"100"


@pytest.mark.parametrize(("size", "is_read"), [(255, True), (5119, True), (5120, False)])
def test_the_longest_number_is_as_long_as_in_redis(
    session: ClientSession, store: Store, size: int, is_read: bool
) -> None:
    number = b"1".rjust(size, b"0")
    assert execute(session, b"INCRBYFLOAT", b"n", number) == (b"1" if is_read else NOT_A_FLOAT)
    store.set(b"n", number)
    assert execute(session, b"INCRBYFLOAT", b"n", b"1") == (b"2" if is_read else NOT_A_FLOAT)


def test_a_value_that_is_too_long_for_a_number_is_not_parsed(session: ClientSession, store: Store) -> None:
    store.set(b"n", b"1" * 50_000_000)
    tracemalloc.start()
    try:
        assert execute(session, b"INCRBYFLOAT", b"n", b"1") == NOT_A_FLOAT
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
