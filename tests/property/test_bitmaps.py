"""Bitmaps against strings of zeros and ones, and the checksum against its definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.replies import Reply
from server.commands.bitfields import Field, Patch
from server.rdb.crc64 import POLYNOMIAL, crc64
from server.rdb.payload import BadFormat, WrongChecksum, dump, load
from tests.harness.sessions import ClientSession, execute, new_session
from tests.harness.stores import new_engine

values = st.one_of(
    st.binary(max_size=6), st.integers(0, 6).map(bytes), st.integers(0, 6).map(lambda size: b"\xff" * size)
)
positions = st.integers(-60, 60)
units = st.sampled_from([b"BIT", b"BYTE"])


def session_with(value: bytes) -> ClientSession:
    session = new_session(new_engine())
    execute(session, b"SET", b"k", value)
    return session


def bits_of(value: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in value)


def chosen(value: bytes, start: int, end: int, unit: bytes) -> tuple[int, str]:
    """Return the first bit of a range, and its bits."""
    width, total = (1, 8 * len(value)) if unit == b"BIT" else (8, len(value))
    first = max(start + total, 0) if start < 0 else start
    last = min(max(end + total, 0) if end < 0 else end, total - 1)
    return width * first, bits_of(value)[width * first : width * (last + 1)] if last >= first else ""


def number(value: int) -> bytes:
    return b"%d" % value


@given(values, positions, positions, units)
def test_bitcount_counts_the_ones_of_its_range(value: bytes, start: int, end: int, unit: bytes) -> None:
    _, bits = chosen(value, start, end, unit)
    expected = 0 if start < 0 and end < 0 and start > end else bits.count("1")
    assert execute(session_with(value), b"BITCOUNT", b"k", number(start), number(end), unit) == expected


@given(values, st.sampled_from([0, 1]), positions, positions, units)
def test_bitpos_finds_the_first_bit_of_its_range(value: bytes, bit: int, start: int, end: int, unit: bytes) -> None:
    first, bits = chosen(value, start, end, unit)
    place = bits.find(str(bit))
    reply: Reply = execute(session_with(value), b"BITPOS", b"k", number(bit), number(start), number(end), unit)
    assert reply == (-1 if place < 0 else first + place)


@given(values, st.integers(0, 70), st.sampled_from([0, 1]))
def test_setbit_changes_one_bit(value: bytes, offset: int, bit: int) -> None:
    session = session_with(value)
    before = bits_of(value).ljust(offset // 8 * 8 + 8, "0")
    assert execute(session, b"SETBIT", b"k", number(offset), number(bit)) == int(before[offset])
    after = execute(session, b"GET", b"k")
    assert isinstance(after, bytes)
    assert bits_of(after) == before[:offset] + str(bit) + before[offset + 1 :]
    assert execute(session, b"GETBIT", b"k", number(offset)) == bit


@given(values, st.integers(0, 70), st.integers(1, 64), st.booleans(), st.integers(-(2**63), 2**63 - 1))
def test_a_field_is_the_bits_at_its_offset(value: bytes, offset: int, width: int, signed: bool, operand: int) -> None:
    field = Field(offset, width, signed)
    bits = bits_of(value).ljust(field.end + 8, "0")
    patch = Patch(value)
    unsigned = int(bits[offset : field.end], 2)
    assert patch.read(field) == (unsigned - (1 << width) if signed and bits[offset] == "1" else unsigned)
    wrapped = field.wrap(operand)
    assert field.lowest <= wrapped <= field.highest
    assert (wrapped - operand) % (1 << width) == 0
    patch.write(field, wrapped)
    assert patch.read(field) == wrapped
    after = bits[:offset] + f"{operand % (1 << width):0{width}b}" + bits[field.end :]
    part = patch.part()
    if part is None:
        assert after.rstrip("0") == bits.rstrip("0")
    else:
        start, data = part
        patched = value[:start].ljust(start, b"\0") + data + value[start + len(data) :]
        assert bits_of(patched).rstrip("0") == after.rstrip("0")


# ---------------------------------------------------------------- RDB


@given(st.binary(max_size=3000), st.integers(0, 2**64 - 1))
def test_the_checksum_is_the_remainder_of_a_division(data: bytes, crc: int) -> None:
    expected = crc
    for byte in data:
        expected ^= byte
        for _ in range(8):
            expected = expected >> 1 ^ (POLYNOMIAL if expected & 1 else 0)
    assert crc64(data, crc) == expected


@given(st.binary(max_size=40_000).map(lambda data: data * 3), st.integers(0, 120_000))
def test_the_checksum_of_data_in_two_parts_is_that_of_the_whole(data: bytes, cut: int) -> None:
    assert crc64(data[cut:], crc64(data[:cut])) == crc64(data)


@given(st.one_of(st.binary(max_size=300), st.integers(-(2**70), 2**70).map(b"%d".__mod__)))
def test_a_dumped_value_is_loaded(value: bytes) -> None:
    assert load(dump(value), 1000) == value


@given(st.binary(max_size=60), st.sampled_from([0, 10, 11]))
def test_any_payload_is_loaded_within_the_limit_or_refused(body: bytes, version: int) -> None:
    data = body + version.to_bytes(2, "little")
    try:
        value = load(data + crc64(data).to_bytes(8, "little"), 100)
    except (BadFormat, WrongChecksum):
        return
    assert len(value) <= 100
