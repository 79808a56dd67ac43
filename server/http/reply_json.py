"""Encode replies as JSON, in the form of Upstash's REST API.

A reply looks as in RESP2: maps are flat arrays, floats are strings. JSON cannot contain bytes that are not UTF-8. They
become U+FFFD, unless the client asks for base64.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator

from common.replies import OK, ErrorReply, Lines, NoReply, NullArray, Reply, SimpleString
from common.resp_replies import format_double
from server.protocols.json_writer import array_pieces, chunks, escaped_pieces, string_pieces


def json_pieces(reply: Reply, *, base64: bool = False) -> Iterator[bytes]:
    """Encode a reply, piece by piece. With base64 all strings are in it but the status ``OK``, as Upstash does."""
    match reply:
        case None | NullArray() | NoReply():
            yield b"null"
        case int():
            yield b"%d" % reply
        case float():  # a string, as in RESP2; JSON has neither inf nor nan
            yield from _string(format_double(reply), base64)
        case bytes():
            yield from _string(reply, base64)
        case SimpleString(text=text):
            yield from _string(text, base64 and reply != OK)
        case ErrorReply():
            yield from _string(reply.text, base64)
        case Lines():
            parts = reply.as_string()
            yield b'"'
            yield from _in_base64(parts) if base64 else escaped_pieces(parts)
            yield b'"'
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


def _string(value: bytes, base64: bool) -> Iterator[bytes]:
    if base64:
        yield b'"'
        yield from _in_base64((value,))
        yield b'"'
    else:
        yield from string_pieces(value)


def _in_base64(parts: Iterable[bytes]) -> Iterator[bytes]:
    left = b""
    for chunk in chunks(parts):
        data = left + chunk
        # Base64 encodes 3 bytes as 4 characters. A part may have any length, so up to 2 bytes wait for the next one.
        whole = len(data) - len(data) % 3
        left = data[whole:]
        yield b64encode(data[:whole])
    yield b64encode(left)
