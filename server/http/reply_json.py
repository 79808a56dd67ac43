"""Encode replies as JSON, in the form of Upstash's REST API.

A reply looks as in RESP2: maps are flat arrays, floats are strings. JSON cannot contain bytes that are not UTF-8. They
become U+FFFD, unless the client asks for base64.
"""

from __future__ import annotations

import codecs
import json
from base64 import b64encode
from collections.abc import Iterable, Iterator

from common.replies import OK, ErrorReply, Lines, NoReply, NullArray, Reply, SimpleString
from common.resp import format_double

CHUNK_SIZE = 48 * 1024
"""Bytes of a string that are encoded at a time. A multiple of 3, so that only the end of base64 needs padding."""

# One for all strings: `json.dumps` with an option makes a new encoder for each.
_ENCODER = json.JSONEncoder(ensure_ascii=False)


def json_pieces(reply: Reply, *, base64: bool = False) -> Iterator[bytes]:
    """Encode a reply, piece by piece. With base64 all strings are in it but the status ``OK``, as Upstash does."""
    match reply:
        case None | NullArray() | NoReply():
            yield b"null"
        case int():
            yield b"%d" % reply
        case float():  # a string, as in RESP2; JSON has neither inf nor nan
            yield from _string((format_double(reply),), base64)
        case bytes() if len(reply) <= CHUNK_SIZE:  # most strings, without the generators of a long one
            yield b'"%b"' % (b64encode(reply) if base64 else _escape(reply.decode(errors="replace")))
        case bytes():
            yield from _string((reply,), base64)
        case SimpleString(text):
            yield from _string((text,), base64 and reply != OK)
        case ErrorReply():
            yield from _string((reply.text,), base64)
        case Lines(lines, separator):
            yield from _string(_joined(lines, separator), base64)
        case dict():
            flat = (each for pair in reply.items() for each in pair)
            yield from array_pieces(json_pieces(each, base64=base64) for each in flat)
        case list():
            yield from array_pieces(json_pieces(each, base64=base64) for each in reply)


def outcome_pieces(reply: Reply, *, base64: bool = False) -> Iterator[bytes]:
    """Encode the outcome of a command: ``{"result": …}``, or ``{"error": …}``, which is never in base64."""
    if isinstance(reply, ErrorReply):
        yield b'{"error":'
        yield from json_pieces(reply)
    else:
        yield b'{"result":'
        yield from json_pieces(reply, base64=base64)
    yield b"}"


def array_pieces(items: Iterable[Iterator[bytes]]) -> Iterator[bytes]:
    """Encode an array of items that are encoded already.

    An item is asked for when the pieces before it have been consumed. A pipeline executes its next command then.
    """
    lead = b"["
    for pieces in items:
        yield lead
        yield from pieces
        lead = b","
    yield b"[]" if lead == b"[" else b"]"


def _joined(lines: Iterable[bytes], separator: bytes) -> Iterator[bytes]:
    lead = b""
    for line in lines:
        yield lead + line
        lead = separator


def _string(parts: Iterable[bytes], base64: bool) -> Iterator[bytes]:
    """Encode one string, given in parts."""
    yield b'"'
    yield from _in_base64(parts) if base64 else _escaped(parts)
    yield b'"'


def _escaped(parts: Iterable[bytes]) -> Iterator[bytes]:
    # Incremental, because a character of several bytes may be cut by the end of a chunk.
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for chunk in _chunks(parts):
        yield _escape(decoder.decode(chunk))
    yield _escape(decoder.decode(b"", final=True))


def _escape(text: str) -> bytes:
    # Without the quotes, because a long string is encoded in several parts.
    return _ENCODER.encode(text)[1:-1].encode()


def _in_base64(parts: Iterable[bytes]) -> Iterator[bytes]:
    left = b""
    for chunk in _chunks(parts):
        data = left + chunk
        # Base64 encodes 3 bytes as 4 characters. A part may have any length, so up to 2 bytes wait for the next one.
        whole = len(data) - len(data) % 3
        left = data[whole:]
        yield b64encode(data[:whole])
    yield b64encode(left)


def _chunks(parts: Iterable[bytes]) -> Iterator[bytes]:
    for part in parts:
        for at in range(0, len(part), CHUNK_SIZE):
            yield part[at : at + CHUNK_SIZE]
