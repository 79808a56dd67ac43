"""The checksum of RDB: CRC-64 with the polynomial of Jones, bits reflected, no final XOR, as in Redis (``crc64.c``).

The usual table of 256 entries needs a step per byte. So the bulk of the data is first replaced by much shorter data
with the same checksum, which is ten times as fast. As a polynomial over GF(2), data is ``H * x**m + L``. It has the
same remainder modulo P as ``H * c + L`` with ``c = x**m mod P``, which is about half as long. The product takes a shift
of a long integer for each bit of ``c`` that is 1.
"""

from __future__ import annotations

from functools import cache

POLYNOMIAL = 0x95AC9329AC4BC9B5
"""P without its highest coefficient. As in data, the coefficient of the lowest degree is the highest bit."""

BLOCK_SIZES = (16384, 2048, 256)
"""Bytes that are processed at a time. The sizes are few, because each needs constants of its own."""

SHORT_SIZE = 64
"""Bytes up to which the table is faster."""


def crc64(data: bytes | memoryview, crc: int = 0) -> int:
    """Return the checksum of data that follows data with the checksum ``crc``."""
    at = 0
    for size in BLOCK_SIZES:
        while len(data) - at >= size:
            crc = _by_table(_shorten(data[at : at + size], crc), 0)
            at += size
    return _by_table(data[at:], crc)


def _by_table(data: bytes | memoryview, crc: int) -> int:
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc


def _shorten(block: bytes | memoryview, crc: int) -> bytes:
    """Return at most `SHORT_SIZE` bytes whose checksum is that of the block after data with the checksum ``crc``."""
    size = 8 * len(block)
    bits = int.from_bytes(block, "little") ^ crc
    while size > 8 * SHORT_SIZE:
        lower = (size // 2 + 39) // 8 * 8  # m: room for the product, in whole bytes
        # The coefficients of the high degrees are the low bits.
        higher = bits & (1 << size - lower) - 1
        product = 0
        for shift in _shifts(lower):
            product ^= higher << shift
        bits = bits >> size - lower ^ product << 2 * lower - size - 63
        size = lower
    return bits.to_bytes(size // 8, "little")


@cache
def _shifts(exponent: int) -> tuple[int, ...]:
    """Return the bits that are 1 in ``x**exponent mod P``."""
    power, square = 1 << 63, 1 << 62  # 1 and x
    while exponent:
        if exponent & 1:
            power = _multiply(power, square)
        square = _multiply(square, square)
        exponent >>= 1
    return tuple(shift for shift in range(64) if power >> shift & 1)


def _multiply(a: int, b: int) -> int:
    """Return ``a * b mod P``."""
    product = 0
    for degree in range(64):
        if b >> 63 - degree & 1:
            product ^= a
        a = _times_x(a)
    return product


def _times_x(a: int) -> int:
    return a >> 1 ^ (POLYNOMIAL if a & 1 else 0)


def _table_entry(byte: int) -> int:
    for _ in range(8):
        byte = _times_x(byte)
    return byte


_TABLE = tuple(map(_table_entry, range(256)))
