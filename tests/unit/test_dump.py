"""DUMP and RESTORE: the format, its checksum, and hostile payloads. tests/differential exchanges them with Redis."""

from __future__ import annotations

import pytest

from common.errors import BAD_DUMP_FORMAT, WRONG_DUMP_CHECKSUM
from common.limits import MIB, Limits
from common.replies import OK
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.rdb.crc64 import crc64
from server.rdb.lzf import decompress
from server.rdb.payload import BadFormat, WrongChecksum, dump, load
from tests.harness.clock import Clock
from tests.harness.memory import traced_memory
from tests.harness.sessions import ClientSession, execute, execute_line

LIMIT = 512 * MIB


def signed(body: bytes, version: int = 10) -> bytes:
    data = body + version.to_bytes(2, "little")
    return data + crc64(data).to_bytes(8, "little")


def size_of_64_bits(size: int) -> bytes:
    return b"\x81" + size.to_bytes(8, "big")


def test_the_checksum_is_that_of_redis() -> None:
    assert crc64(b"123456789") == 0xE9C6D914C4B8D9CA  # crc64.c, crc64Test
    assert (
        dump(b"10") == b"\x00\xc0\n\n\x00n\x9fWE\x0e\xaec\xbb"
    )  # the example of Redis's documentation of DUMP, as RDB 10


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        b"\x00\x06value",
        b"\x00\x40",
        b"\x00\x82\0\0\0\5value",
        b"\x00\xc1\x01",
        b"\x00\xc2\x01\x02\x03",
        b"\x00\xc4",
        b"\x00\xc3",
        b"\x00\xc3\x05",
        b"\x00\xc3\x05\x05ab",
        b"\x01\x01\x01a",
        b"\x0f\x01a",
        b"\xff",
        b"\x00" + size_of_64_bits(2**64 - 1),
        b"\x00\xc3" + size_of_64_bits(2**63) + b"\x01a",
    ],
)
def test_a_payload_that_is_no_string_is_refused(body: bytes) -> None:
    with pytest.raises(BadFormat):
        load(signed(body), LIMIT)


@pytest.mark.parametrize("size", range(11))
def test_a_payload_that_is_too_short_is_refused(size: int) -> None:
    with pytest.raises((WrongChecksum, BadFormat)):
        load(dump(b"value")[:size], LIMIT)


def test_no_flipped_bit_goes_unnoticed() -> None:
    payload = dump(b"a value of some bytes" * 20)
    for place in range(8 * len(payload)):
        damaged = bytearray(payload)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(WrongChecksum):
            load(bytes(damaged), LIMIT)


def test_a_length_beyond_the_limit_is_refused_before_anything_is_decompressed() -> None:
    size = 1 + 264 * 1000
    data = b"\x00a" + b"\xe0\xff\x00" * 1000
    bomb = signed(b"\x00\xc3\x80" + len(data).to_bytes(4, "big") + size_of_64_bits(size) + data)
    assert load(bomb, size) == b"a" * size
    with traced_memory() as memory, pytest.raises(BadFormat):
        load(bomb, size - 1)
    assert memory.peak < 10_000


def test_lzf_that_makes_more_than_it_declares_is_stopped_there() -> None:
    data = b"\x00a" + b"\xe0\xff\x00" * 100_000  # references to 264 bytes each
    with traced_memory() as memory:
        assert decompress(data, 1000) is None
    assert memory.peak < 20_000


@pytest.mark.parametrize(
    ("data", "size", "value"),
    [
        (b"\x00a\xe0\xff\x00", 265, b"a" * 265),
        (b"\x02abc\xe0\x00\x02", 12, b"abcabcabcabc"),
        (b"\x02abc\x20\x02", 6, b"abcabc"),
        (b"\x02abc\x40\x01", 7, b"abcbcbc"),
        (b"\x00a\xe0", 9, None),
        (b"\x00a\xe0\x00", 10, None),
        (b"\x00a\x20", 4, None),
        (b"\x20\x00", 3, None),
        (b"\x05ab", 6, None),
        (b"\x09abcdefghij\x20\x13", 13, None),
        (b"", 1, None),
        (b"", 0, b""),
    ],
)
def test_lzf(data: bytes, size: int, value: bytes | None) -> None:
    assert decompress(data, size) == value


def test_a_value_beyond_max_bulk_is_not_restored(session: ClientSession, engine: EmbeddedEngine, store: Store) -> None:
    engine.apply_limits(Limits(max_bulk=100))
    assert execute(session, b"RESTORE", b"k", b"0", dump(b"v" * 101)) == BAD_DUMP_FORMAT
    assert execute(session, b"RESTORE", b"k", b"0", dump(b"v" * 100)) == OK
    assert store.items() == [(b"k", b"v" * 100, None)]


def test_a_refused_payload_leaves_the_key_as_it_is(session: ClientSession, store: Store, clock: Clock) -> None:
    store.set(b"k", b"old", clock.now + 1000)
    for payload, error in ((b"x" * 20, WRONG_DUMP_CHECKSUM), (signed(b"\x01"), BAD_DUMP_FORMAT)):
        assert execute(session, b"RESTORE", b"k", b"0", payload, b"REPLACE") == error
    assert store.items() == [(b"k", b"old", clock.now + 1000)]


def test_a_time_to_live_counts_from_now_unless_it_is_absolute(
    session: ClientSession, store: Store, clock: Clock
) -> None:
    payload = dump(b"v")
    assert execute(session, b"RESTORE", b"a", b"1500", payload) == OK
    assert execute(session, b"RESTORE", b"b", b"%d" % (clock.now + 7), payload, b"ABSTTL") == OK
    assert execute(session, b"RESTORE", b"gone", b"%d" % clock.now, payload, b"ABSTTL") == OK
    assert store.items() == [(b"a", b"v", clock.now + 1500), (b"b", b"v", clock.now + 7)]


def test_a_time_to_live_that_exceeds_64_bits_is_refused(session: ClientSession, store: Store) -> None:
    reply = execute(session, b"RESTORE", b"k", b"%d" % (2**63 - 1), dump(b"v"))
    assert reply.text == b"ERR invalid expire time in 'restore' command"  # type: ignore[union-attr]
    assert store.items() == []


def test_a_dump_is_restored(session: ClientSession, store: Store) -> None:
    for value in (b"", b"7", b"-300", b"x" * 100_000, bytes(range(256))):
        store.set(b"k", value)
        payload = execute_line(session, "DUMP k")
        assert isinstance(payload, bytes)
        assert execute(session, b"RESTORE", b"copy", b"0", payload, b"REPLACE") == OK
        assert store.get(b"copy") == value


def test_dump_makes_one_copy_of_a_value(store: Store) -> None:
    value = bytes(4 * MIB)
    with traced_memory() as memory:
        payload = dump(value)
    assert len(payload) > len(value)
    assert memory.peak < 1.2 * len(value)
