"""The payload of DUMP and RESTORE: a type, a string in one of its encodings, the version of RDB, and a checksum.

    type (1 byte, 0 for a string) | length and bytes, or an integer, or LZF | version (2 bytes) | CRC-64 (8 bytes)

Numbers have the lowest byte first, but for lengths. The format is that of Redis 7.0 (``rdb.c``, ``cluster.c``), which
every later Redis reads.
"""

from __future__ import annotations

from functools import reduce

from server.rdb.crc64 import crc64
from server.rdb.lzf import decompress

VERSION = 10
"""The version of RDB that Redis 7.0 writes, and the highest that it reads."""

TYPE_STRING = 0
FOOTER_SIZE = 10
CHECKSUM_SIZE = 8

INTEGER_SIZES = {0: 1, 1: 2, 2: 4}
"""Bytes of an integer, by its encoding."""

LZF = 3

LENGTH_OF_32_BITS, LENGTH_OF_64_BITS = 0x80, 0x81

LONGEST_INTEGER = len(b"-2147483648")


class WrongChecksum(ValueError):
    """The version of a payload is too high, or its checksum is wrong."""


class BadFormat(ValueError):
    """A payload is not that of a string of an allowed size."""


def dump(value: bytes) -> bytes:
    """Return the payload of a string. Integers are encoded as Redis does; nothing is compressed."""
    integer = _integer(value)
    head, rest = (_length(len(value)), value) if integer is None else (integer, b"")
    parts = bytes((TYPE_STRING,)) + head, rest, VERSION.to_bytes(2, "little")
    checksum = reduce(lambda crc, part: crc64(part, crc), parts, 0)
    return b"".join((*parts, checksum.to_bytes(CHECKSUM_SIZE, "little")))  # the only copy of the value


def load(payload: bytes, max_size: int) -> bytes:
    """Return the string in a payload. Raises `WrongChecksum`, or `BadFormat` also for more than ``max_size`` bytes.

    As in Redis, bytes between the string and the version are ignored.
    """
    end = len(payload) - CHECKSUM_SIZE
    body_end = len(payload) - FOOTER_SIZE
    if body_end < 0 or int.from_bytes(payload[body_end:end], "little") > VERSION:
        raise WrongChecksum
    if crc64(memoryview(payload)[:end]) != int.from_bytes(payload[end:], "little"):
        raise WrongChecksum
    if body_end == 0 or payload[0] != TYPE_STRING:
        raise BadFormat
    return _Reader(payload, body_end, max_size).read_string()


def _integer(value: bytes) -> bytes | None:
    """Return a string that is a canonical integer of up to 32 bits in the smallest encoding, None for others."""
    if len(value) > LONGEST_INTEGER:
        return None
    try:
        number = int(value)
    except ValueError:
        return None
    if b"%d" % number == value:
        for encoding, size in INTEGER_SIZES.items():
            if -(1 << 8 * size - 1) <= number < 1 << 8 * size - 1:
                return bytes((0xC0 | encoding,)) + number.to_bytes(size, "little", signed=True)
    return None


def _length(size: int) -> bytes:
    if size < 1 << 6:
        return bytes((size,))
    if size < 1 << 14:
        return (0x4000 | size).to_bytes(2, "big")
    if size < 1 << 32:
        return bytes((LENGTH_OF_32_BITS,)) + size.to_bytes(4, "big")
    return bytes((LENGTH_OF_64_BITS,)) + size.to_bytes(8, "big")


class _Reader:
    """Reads the encoded string after the type."""

    def __init__(self, payload: bytes, end: int, max_size: int) -> None:
        self._payload = payload
        self._at = 1
        self._end = end
        self._max_size = max_size

    def read_string(self) -> bytes:
        first = self._take(1)[0]
        if first >> 6 != 3:
            return self._take(self._size(first))
        encoding = first & 0x3F
        if encoding in INTEGER_SIZES:
            return b"%d" % int.from_bytes(self._take(INTEGER_SIZES[encoding]), "little", signed=True)
        if encoding != LZF:
            raise BadFormat
        compressed_size = self._size(self._take(1)[0])
        # Before a byte is decompressed: a few bytes can claim to be half a gigabyte.
        size = self._size(self._take(1)[0])
        value = decompress(self._take(compressed_size), size)
        if value is None:
            raise BadFormat
        return value

    def _size(self, first: int) -> int:
        """Read the rest of a length, of at most ``max_size``."""
        kind = first >> 6
        if kind == 0:
            size = first
        elif kind == 1:
            size = (first & 0x3F) << 8 | self._take(1)[0]
        elif first in (LENGTH_OF_32_BITS, LENGTH_OF_64_BITS):
            size = int.from_bytes(self._take(4 if first == LENGTH_OF_32_BITS else 8), "big")
        else:
            raise BadFormat
        if size > self._max_size:
            raise BadFormat
        return size

    def _take(self, size: int) -> bytes:
        start = self._at
        self._at += size
        if self._at > self._end:
            raise BadFormat
        return self._payload[start : self._at]
