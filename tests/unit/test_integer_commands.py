"""INCR, DECR, INCRBY and DECRBY."""

from __future__ import annotations

import pytest

from common.errors import NOT_AN_INTEGER, WOULD_OVERFLOW
from common.replies import ErrorReply
from common.resp_client import encode_request
from common.resp_requests import MIN_BATCH
from server.args.integers import MAX_INTEGER, MIN_INTEGER, SHARED_INTEGERS
from server.keyspace.store import Store
from tests.harness.cases import case
from tests.harness.sessions import ClientSession, execute, feed
from tests.harness.stores import pairs
from tests.unit.test_integers import NO_INTEGERS

COUNTING: list[tuple[bytes, ...]] = [(b"INCR",), (b"DECR",), (b"INCRBY", b"5"), (b"DECRBY", b"5")]
STEPS = dict(zip(COUNTING, (1, -1, 5, -5), strict=True))
EACH_COUNTING = pytest.mark.parametrize("counting", COUNTING, ids=lambda args: b" ".join(args).decode())


@EACH_COUNTING
def test_a_missing_key_counts_as_zero(session: ClientSession, store: Store, counting: tuple[bytes, ...]) -> None:
    name, *by = counting
    assert execute(session, name, b"n", *by) == STEPS[counting]
    assert store.get(b"n") == b"%d" % STEPS[counting]


@EACH_COUNTING
@pytest.mark.parametrize(
    "value", [0, 1, 7, -7, SHARED_INTEGERS - 1, SHARED_INTEGERS, 10**17, MAX_INTEGER - 5, MIN_INTEGER + 5]
)
def test_a_number_is_counted_up_and_down(
    session: ClientSession, store: Store, counting: tuple[bytes, ...], value: int
) -> None:
    name, *by = counting
    store.set(b"n", b"%d" % value)
    assert execute(session, name, b"n", *by) == value + STEPS[counting]
    assert store.get(b"n") == b"%d" % (value + STEPS[counting])


@EACH_COUNTING
def test_a_value_that_is_no_integer_is_refused_and_kept(
    session: ClientSession, store: Store, counting: tuple[bytes, ...]
) -> None:
    name, *by = counting
    for value in NO_INTEGERS:
        store.set(b"n", value)
        with case(value):
            assert execute(session, name, b"n", *by) == NOT_AN_INTEGER
            assert pairs(store) == [(b"n", value)]


@pytest.mark.parametrize("name", [b"INCRBY", b"DECRBY"])
def test_a_step_that_is_no_integer_is_refused(session: ClientSession, store: Store, name: bytes) -> None:
    store.set(b"n", b"11")
    for by in NO_INTEGERS:
        with case(by):
            assert execute(session, name, b"n", by) == NOT_AN_INTEGER
            assert execute(session, name, b"new", by) == NOT_AN_INTEGER
            assert pairs(store) == [(b"n", b"11")]


@pytest.mark.parametrize(
    ("value", "args"),
    [
        (MAX_INTEGER, [b"INCR", b"n"]),
        (MIN_INTEGER, [b"DECR", b"n"]),
        (MAX_INTEGER, [b"INCRBY", b"n", b"1"]),
        (MIN_INTEGER, [b"INCRBY", b"n", b"-1"]),
        (MAX_INTEGER - 5, [b"INCRBY", b"n", b"6"]),
        (1, [b"INCRBY", b"n", b"%d" % MAX_INTEGER]),
        (-1, [b"INCRBY", b"n", b"%d" % MIN_INTEGER]),
        (MIN_INTEGER, [b"DECRBY", b"n", b"1"]),
        (MAX_INTEGER, [b"DECRBY", b"n", b"-1"]),
        (-2, [b"DECRBY", b"n", b"%d" % MAX_INTEGER]),
    ],
)
def test_a_sum_beyond_64_bits_is_refused_and_changes_nothing(
    session: ClientSession, store: Store, value: int, args: list[bytes]
) -> None:
    store.set(b"n", b"%d" % value)
    assert execute(session, *args) == WOULD_OVERFLOW
    assert pairs(store) == [(b"n", b"%d" % value)]


@pytest.mark.parametrize(
    ("value", "args", "total"),
    [
        (MAX_INTEGER - 1, [b"INCR", b"n"], MAX_INTEGER),
        (MIN_INTEGER + 1, [b"DECR", b"n"], MIN_INTEGER),
        (0, [b"INCRBY", b"n", b"%d" % MAX_INTEGER], MAX_INTEGER),
        (0, [b"INCRBY", b"n", b"%d" % MIN_INTEGER], MIN_INTEGER),
        (MAX_INTEGER, [b"INCRBY", b"n", b"%d" % MIN_INTEGER], -1),
        (-1, [b"DECRBY", b"n", b"%d" % MAX_INTEGER], MIN_INTEGER),
        (MIN_INTEGER, [b"DECRBY", b"n", b"%d" % (MIN_INTEGER + 1)], -1),
        (7, [b"INCRBY", b"n", b"0"], 7),
        (7, [b"DECRBY", b"n", b"-7"], 14),
    ],
)
def test_a_sum_within_64_bits_is_made(
    session: ClientSession, store: Store, value: int, args: list[bytes], total: int
) -> None:
    store.set(b"n", b"%d" % value)
    assert execute(session, *args) == total
    assert store.get(b"n") == b"%d" % total


@pytest.mark.parametrize("value", [None, b"0", b"-1", b"x"])
def test_decrby_cannot_turn_the_smallest_integer_round(
    session: ClientSession, store: Store, value: bytes | None
) -> None:
    """Redis 7 refuses this decrement before it looks at the key."""
    if value is not None:
        store.set(b"n", value)
    before = pairs(store)
    assert execute(session, b"DECRBY", b"n", b"%d" % MIN_INTEGER) == ErrorReply.from_text(
        b"ERR decrement would overflow"
    )
    assert pairs(store) == before


@EACH_COUNTING
@pytest.mark.parametrize(
    "value",
    [
        *NO_INTEGERS,
        None,
        *map(b"%d".__mod__, (7, 0, -7, SHARED_INTEGERS - 2, SHARED_INTEGERS + 1)),
        *map(b"%d".__mod__, (10**18 - 1, MAX_INTEGER - 2, MIN_INTEGER + 2)),
    ],
    ids=lambda value: repr(value and value[:24]),
)
def test_a_pipeline_of_increments_has_the_replies_of_one_by_one(
    session: ClientSession, store: Store, counting: tuple[bytes, ...], value: bytes | None
) -> None:
    request = encode_request([counting[0], b"n", *counting[1:]])
    found = []
    for pipeline in ([request * MIN_BATCH], [request] * MIN_BATCH):
        store.delete(b"n")
        if value is not None:
            store.set(b"n", value)
        found.append((b"".join(feed(session, data) for data in pipeline), store.get(b"n")))
    assert found[0] == found[1]
