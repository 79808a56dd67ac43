"""Write JSON in pieces, so that a large reply never is in memory as a whole. Strings are made of bytes.

JSON cannot contain bytes that are not UTF-8. They become U+FFFD.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator

CHUNK_SIZE = 48 * 1024
"""Bytes of a string that are written at a time. A multiple of 3, so that only the end of base64 needs padding."""

# One for all strings: `json.dumps` with an option makes a new encoder for each.
_ENCODER = json.JSONEncoder(ensure_ascii=False)


def string_pieces(value: bytes) -> Iterator[bytes]:
    """Write a string."""
    if len(value) <= CHUNK_SIZE:  # most strings, without the generators of a long one
        yield b'"%b"' % escape(value.decode(errors="replace"))
    else:
        yield b'"'
        yield from escaped_pieces((value,))
        yield b'"'


def escaped_pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Write the inside of a string that is given in parts."""
    # Incremental, because a character of several bytes may be cut by the end of a chunk.
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for chunk in chunks(parts):
        yield escape(decoder.decode(chunk))
    yield escape(decoder.decode(b"", final=True))


def array_pieces(items: Iterable[Iterable[bytes]], separator: bytes = b",") -> Iterator[bytes]:
    """Write an array of items that are written already.

    An item is asked for when the pieces before it have been consumed. A pipeline executes its next command then.
    """
    lead = b"["
    for pieces in items:
        yield lead
        yield from pieces
        lead = separator
    yield b"[]" if lead == b"[" else b"]"


def escape(text: str) -> bytes:
    """Write the inside of a string."""
    # Without the quotes, because a long string is written in several parts.
    return _ENCODER.encode(text)[1:-1].encode()


def chunks(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Cut long parts into chunks."""
    for part in parts:
        for at in range(0, len(part), CHUNK_SIZE):
            yield part[at : at + CHUNK_SIZE]
