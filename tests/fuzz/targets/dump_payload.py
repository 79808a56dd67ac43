"""The payload of RESTORE and of the RESTORE that MIGRATE sends, with a valid checksum."""

from __future__ import annotations

import tracemalloc

from server.rdb.crc64 import crc64
from server.rdb.payload import VERSION, BadFormat, dump, load

TOKENS = [
    *(b"\x00\xc0\x01", b"\x00\xc1\x01\x02", b"\x00\xc2\x01\x02\x03\x04", b"\x00\xc3\x04\x08\x00a\xa0\x00", b"\x00\xc4"),
    *(b"\x40\x01", b"\x80\x00\x00\x00\x05", b"\x81\x00\x00\x00\x00\x00\x00\x00\x05", b"\xff" * 8, b"\xe0\xff\x00"),
]

MAX_SIZE = 4096


def check(data: bytes) -> None:
    """Load the input, and dump and load what it contained."""
    signed = data + VERSION.to_bytes(2, "little")
    payload = signed + crc64(signed).to_bytes(8, "little")
    tracemalloc.start()
    try:
        value = load(payload, MAX_SIZE)
    except BadFormat:
        value = None
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 4 * (MAX_SIZE + len(payload)) + 64 * 1024
    if value is not None:
        assert len(value) <= MAX_SIZE
        assert load(dump(value), MAX_SIZE) == value
