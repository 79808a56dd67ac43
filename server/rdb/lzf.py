"""Decompression of LZF, with which Redis compresses strings of more than 20 bytes."""

from __future__ import annotations

FIRST_REFERENCE = 32
"""A control byte below this is followed by so many literal bytes, plus one. Others refer to bytes before."""


def decompress(data: bytes, size: int) -> bytes | None:
    """Return the ``size`` bytes that were compressed, or None if ``data`` is invalid or makes another size.

    It stops at the first reference that goes beyond ``size`` bytes.
    """
    output = bytearray()
    at = 0
    try:
        while at < len(data) and len(output) <= size:
            control = data[at]
            at += 1
            if control < FIRST_REFERENCE:
                end = at + control + 1
                if end > len(data):
                    return None
                output += data[at:end]
                at = end
                continue
            length = control >> 5
            if length == 7:
                length += data[at]
                at += 1
            distance = ((control & 0x1F) << 8 | data[at]) + 1
            at += 1
            if distance > len(output):
                return None
            _repeat(output, distance, length + 2)
    except IndexError:  # it ends within a reference
        return None
    return bytes(output) if len(output) == size else None


def _repeat(output: bytearray, distance: int, length: int) -> None:
    """Append the bytes from ``distance`` before the end. They may overlap with what is appended."""
    start = len(output) - distance
    part = output[start : start + length]
    output += part if distance >= length else (part * (length // distance + 1))[:length]
