"""The forms of replies for programs: the text protocol's, raw bytes, JSON and CSV.

A renderer yields a reply in pieces, the last of which ends the line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

from common.replies import OK, ErrorReply, Lines, Reply, SimpleString
from common.text import ENDING_IN_LF, without_controls

TYPE_CHECKING = False  # not from `typing`, as in `common.replies`
if TYPE_CHECKING:
    from typing import BinaryIO, TypeAlias

Renderer: TypeAlias = Callable[[Reply], Iterator[bytes]]


def render_text(reply: Reply) -> Iterator[bytes]:
    """Print a reply as the text protocol does, so that what is printed can be typed."""
    return ENDING_IN_LF.stream(reply)


def render_raw(reply: Reply) -> Iterator[bytes]:
    """Print the bytes of a reply as they are, and one line end. The elements of an array are printed one a line."""
    for element in _flat(reply):
        yield from _raw_pieces(element)
        yield b"\n"


def render_json(reply: Reply) -> Iterator[bytes]:
    """Print a reply as a line of JSON.

    Bytes that are not UTF-8 are ``{"base64": "…"}``, and an error is ``{"error": "…"}``, as over HTTP.
    """
    import json  # noqa: PLC0415  # takes 4 ms

    yield json.dumps(_json_value(reply), ensure_ascii=False).encode() + b"\n"


def render_csv(reply: Reply) -> Iterator[bytes]:
    """Print a reply as a line of CSV (RFC 4180). Nested arrays are flat, as in redis-cli."""
    yield b",".join(map(_csv_field, _flat(reply))) + b"\n"


def for_terminal(render: Renderer) -> Renderer:
    """Return a renderer that prints the same without what controls a terminal. Each piece must be whole characters."""

    def render_visible(reply: Reply) -> Iterator[bytes]:
        for piece in render(reply):
            yield without_controls(piece.decode(errors="replace")).encode()

    return render_visible


FORMS: Mapping[str, Renderer] = {"text": render_text, "raw": render_raw, "json": render_json, "csv": render_csv}


def print_replies(render: Renderer, replies: Iterable[Reply], output: BinaryIO) -> None:
    """Print replies. They are visible when this returns: before the next prompt, and to the reader of a pipe."""
    if render is render_text and isinstance(replies, list) and replies.count(OK) == len(replies):
        output.write(b"OK\n" * len(replies))  # what a batch of SET prints: 10 times as fast as one by one
    else:
        output.writelines(piece for reply in replies for piece in render(reply))
    output.flush()


def _flat(reply: Reply) -> Iterator[Reply]:
    if isinstance(reply, list):
        for element in reply:
            yield from _flat(element)
    elif isinstance(reply, dict):
        for key, value in reply.items():
            yield key
            yield from _flat(value)
    else:
        yield reply


def _raw_pieces(reply: Reply) -> Iterable[bytes]:
    if isinstance(reply, Lines):
        return reply.joined(reply.separator)
    if isinstance(reply, bool):
        return [b"%d" % reply]
    return [_plain(reply)]


def _plain(reply: Reply) -> bytes:
    """Return a reply without elements as bytes. Empty for null."""
    match reply:
        case bytes():
            return reply
        case SimpleString() | ErrorReply():
            return reply.text
        case Lines():
            return b"".join(reply.joined(reply.separator))
        case bool():
            return b"true" if reply else b"false"
        case float():
            return b"%.17g" % reply
        case int():
            return b"%d" % reply
        case _:
            return b""


def _json_value(reply: Reply) -> object:
    match reply:
        case list():
            return [_json_value(each) for each in reply]
        case dict():
            return {key.decode(errors="backslashreplace"): _json_value(value) for key, value in reply.items()}
        case ErrorReply():
            return {"error": reply.text.decode(errors="replace")}
        case bytes() | SimpleString() | Lines():
            return _json_string(_plain(reply))
        case float() if not math.isfinite(reply):
            return str(reply)  # JSON has no such numbers
        case int() | float():  # includes bool
            return reply
        case _:
            return None


def _json_string(data: bytes) -> object:
    try:
        return data.decode()
    except UnicodeDecodeError:
        from base64 import b64encode  # noqa: PLC0415

        return {"base64": b64encode(data).decode()}


def _csv_field(reply: Reply) -> bytes:
    if isinstance(reply, int | float) or reply is None:
        return _plain(reply)
    return b'"%b"' % _plain(reply).replace(b'"', b'""')
