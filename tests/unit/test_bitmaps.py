"""Bitmaps: limits, values of several pieces, and what the mutation path is notified of. Replies are compared with a
real Redis in tests/differential."""

from __future__ import annotations

import random

import pytest

from common.errors import BIT_OFFSET_OUT_OF_RANGE
from common.limits import Limits
from server.commands.bitmaps import PIECE_SIZE
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from tests.harness.clock import Clock
from tests.harness.memory import traced_memory
from tests.harness.sessions import ClientSession, execute_line, new_session
from tests.harness.stores import Recorder, new_store

SIZES = [PIECE_SIZE - 1, PIECE_SIZE, PIECE_SIZE + 1, 3 * PIECE_SIZE + 5]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def recorded(recorder: Recorder) -> ClientSession:
    return new_session(EmbeddedEngine(new_store(Clock(), [recorder])))


@pytest.mark.parametrize(
    "line",
    [
        "SETBIT k 8000 1",
        "GETBIT k 8000",
        "BITFIELD k SET u8 8000 1",
        "BITFIELD k SET u8 7993 1",
        "BITFIELD k SET u8 #1000 1",
        "BITFIELD k GET u8 8000",
        "BITFIELD_RO k GET u8 #1000",
    ],
)
def test_a_bit_beyond_max_bulk_is_out_of_range(
    session: ClientSession, engine: EmbeddedEngine, store: Store, line: str
) -> None:
    engine.apply_limits(Limits(max_bulk=1000))
    assert execute_line(session, line) == BIT_OFFSET_OUT_OF_RANGE
    assert b"k" not in store


@pytest.mark.parametrize("line", ["SETBIT k 7999 1", "BITFIELD k SET u8 7992 1", "BITFIELD k SET u8 #999 1"])
def test_the_last_bit_within_max_bulk_can_be_set(
    session: ClientSession, engine: EmbeddedEngine, store: Store, line: str
) -> None:
    engine.apply_limits(Limits(max_bulk=1000))
    execute_line(session, line)
    assert store.get(b"k") == bytes(999) + b"\x01"


@pytest.mark.parametrize("size", SIZES)
def test_bits_of_a_value_of_several_pieces_are_counted_and_found(
    session: ClientSession, store: Store, size: int
) -> None:
    value = random.Random(size).randbytes(size)
    store.set(b"k", value)
    assert execute_line(session, "BITCOUNT k") == sum(byte.bit_count() for byte in value)
    store.set(b"zeros", bytes(size - 1) + b"\x10")
    assert execute_line(session, "BITPOS zeros 1") == 8 * size - 5
    assert execute_line(session, "BITPOS zeros 1 3 -6 BIT") == -1
    assert execute_line(session, "BITPOS zeros 1 3 -5 BIT") == 8 * size - 5
    store.set(b"ones", b"\xff" * (size - 1) + b"\xef")
    assert execute_line(session, "BITPOS ones 0 1") == 8 * size - 5
    assert execute_line(session, "BITCOUNT ones 1 -1") == 8 * (size - 1) - 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("other", [1, PIECE_SIZE, PIECE_SIZE + 3])
def test_values_of_several_pieces_are_combined(session: ClientSession, store: Store, size: int, other: int) -> None:
    dice = random.Random(size)
    a, b = dice.randbytes(size), dice.randbytes(other)
    store.set(b"a", a)
    store.set(b"b", b)
    length = max(size, other)
    x, y = (int.from_bytes(each.ljust(length, b"\0")) for each in (a, b))
    for name, expected in (("AND", x & y), ("OR", x | y), ("XOR", x ^ y)):
        assert execute_line(session, f"BITOP {name} d a b") == length
        assert store.get(b"d") == expected.to_bytes(length)
    assert execute_line(session, "BITOP NOT d a") == size
    assert store.get(b"d") == bytes(255 - byte for byte in a)


def test_counting_a_large_value_copies_a_piece_at_a_time(session: ClientSession, store: Store) -> None:
    store.set(b"k", bytes(100 * PIECE_SIZE))
    with traced_memory() as memory:
        execute_line(session, "BITCOUNT k")
        execute_line(session, "BITPOS k 1")
    assert memory.peak < 10 * PIECE_SIZE


def test_setbit_is_recorded_as_a_write_of_its_byte(recorded: ClientSession, recorder: Recorder) -> None:
    execute_line(recorded, "SETBIT k 10 1")
    execute_line(recorded, "SETBIT k 10 1")
    assert recorder.changes == [("range", b"k", 1, b"\x20")]


def test_bitfield_is_recorded_as_one_write_of_the_part_that_changes(
    recorded: ClientSession, recorder: Recorder
) -> None:
    execute_line(recorded, f"SET k {'a' * 100}")
    execute_line(recorded, "BITFIELD k SET u8 #10 98 GET u8 0 SET u8 #12 99 SET u8 #50 97")
    assert recorder.changes[1:] == [("range", b"k", 10, b"bac")]


def test_bitfield_that_fails_still_lets_the_value_grow(recorded: ClientSession, recorder: Recorder) -> None:
    assert execute_line(recorded, "BITFIELD k OVERFLOW FAIL SET u8 16 256") == [None]
    assert recorder.values == {b"k": bytes(3)}


def test_bitop_without_sources_deletes_the_destination(recorded: ClientSession, recorder: Recorder) -> None:
    execute_line(recorded, "SET d v EX 100")
    execute_line(recorded, "BITOP OR d missing")
    assert [change[0] for change in recorder.changes] == ["set", "remove"]
