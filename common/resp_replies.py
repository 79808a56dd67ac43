"""Replies in RESP 2 and 3, as the server writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from common.codec import Columns, Scalars, encode_together
from common.pieces import PIECE_SIZE, collected
from common.replies import ErrorReply, Lines, NoReply, NullArray, Push, Reply, SimpleString
from common.resp import CRLF, bulk_header
from common.set_reply import SetReply

# As in Redis (`addReplyErrorFormat`): an error may repeat a client's argument, and a line break in it would end the
# error. What follows would be read as further replies, which the sender of the argument could choose.
_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")


def _encode_bulk(value: bytes) -> bytes | None:
    """Encode a value at once, or return None if it is so large that it must be sent in pieces."""
    size = len(value)
    return b"$%d\r\n%b\r\n" % (size, value) if size <= PIECE_SIZE else None


MAX_SHORT_ARRAY = 64
"""Elements up to which an array is encoded at once, if none of them is an array or large."""

# By the exact type of the reply, because bool is a subclass of int.
_IN_BOTH: dict[type, Callable[[Any], bytes | None]] = {
    bytes: _encode_bulk,
    int: lambda number: b":%d\r\n" % number,
    SimpleString: lambda status: b"+%b\r\n" % status.text,
    NoReply: lambda _: b"",
    ErrorReply: lambda error: b"-%b\r\n" % error.text.translate(_LINE_BREAKS),
}
_OF_ELEMENTS: dict[int, Scalars] = {
    2: _IN_BOTH
    | {
        # RESP2 has two nulls: a bulk string and an array. An EXEC that did not run gets the array, as in Redis.
        type(None): lambda _: b"$-1\r\n",
        NullArray: lambda _: b"*-1\r\n",
        bool: lambda truth: b":%d\r\n" % truth,
        # As Redis's `addReplyDouble` without RESP3: RESP2 has no type for it.
        float: lambda number: _encode_bulk(format_double(number)),
    },
    3: _IN_BOTH
    | {
        type(None): lambda _: b"_\r\n",
        NullArray: lambda _: b"_\r\n",
        bool: lambda truth: b"#t\r\n" if truth else b"#f\r\n",
        float: lambda number: b",%b\r\n" % format_double(number),
    },
}


def _encode_bulks(values: Sequence[bytes]) -> bytes | None:
    sizes = list(map(len, values))
    if sum(sizes) > PIECE_SIZE:
        return None
    if sizes[-1] == sizes[0] and sizes.count(sizes[0]) == len(sizes):  # takes half of the time
        separator = b"\r\n$%d\r\n" % sizes[0]
        return separator[2:] + separator.join(values) + CRLF
    parts = [b""] * (2 * len(values) + 1)
    parts[:-1:2] = map(bulk_header, sizes)
    parts[1::2] = values
    return CRLF.join(parts)


def _encode_integers(numbers: Sequence[int]) -> bytes | None:
    if set(map(type, numbers)) != {int}:  # a bool would be printed as a number
        return None
    return b":%d\r\n" * len(numbers) % tuple(numbers)


def _encode_statuses(statuses: Sequence[SimpleString]) -> bytes | None:
    first = statuses[0]
    return b"+%b\r\n" % first.text * len(statuses) if statuses.count(first) == len(statuses) else None


_COLUMNS: Columns = {bytes: _encode_bulks, int: _encode_integers, SimpleString: _encode_statuses}


def _short_array_encoder(of_elements: Scalars) -> Callable[[list[Reply]], bytes | None]:
    """Return the function that encodes the reply to MGET with a few keys: twice as fast as a generator."""

    def encode(array: list[Reply]) -> bytes | None:
        if len(array) > MAX_SHORT_ARRAY:
            return None
        elements = encode_together(of_elements, _COLUMNS, array) if array else b""
        return None if elements is None else b"*%d\r\n%b" % (len(array), elements)

    return encode


def _push_encoder(mark: bytes, of_elements: Scalars) -> Callable[[Push], bytes]:
    """Return the function that encodes a push at once, whatever its size: it is stored before it is sent."""

    def encode(push: Push) -> bytes:
        pieces = [b"%b%d\r\n" % (mark, len(push.items))]
        for item in push.items:
            if isinstance(item, bytes):
                pieces += (b"$%d\r\n" % len(item), item, CRLF)
            elif isinstance(item, tuple):
                pieces.append(b"*%d\r\n" % len(item))
                pieces += [b"$%d\r\n%b\r\n" % (len(each), each) for each in item]
            else:
                pieces.append(of_elements[type(item)](item) or b"")
        return b"".join(pieces)

    return encode


_PUSH_MARKS = {2: b"*", 3: b">"}

_SCALARS: dict[int, Scalars] = {
    version: {**table, list: _short_array_encoder(table), Push: _push_encoder(_PUSH_MARKS[version], table)}
    for version, table in _OF_ELEMENTS.items()
}


def format_double(number: float) -> bytes:
    """Print a number with all the digits that distinguish it from any other."""
    # 17 significant digits identify every double (IEEE 754). Redis's `addReplyDouble` prints as many.
    return b"%.17g" % number


class ReplyEncoder:
    """Write replies in the RESP version that the connection has negotiated: 2 until HELLO asks for another."""

    __slots__ = ("columns", "scalars", "version")

    def __init__(self, version: int = 2) -> None:
        self.columns = _COLUMNS
        self.use(version)

    def use(self, version: int) -> None:
        """Encode in version 2 or 3 from now on."""
        self.version = version
        self.scalars = _SCALARS[version]

    @property
    def marks_pushes(self) -> bool:
        """Whether a push has a type of its own, as in RESP3. In RESP2 it is an array."""
        return self.version == 3

    def stream(self, reply: Reply) -> Iterator[bytes]:
        """Encode any reply in pieces. See `common.codec.Encoder`."""
        if isinstance(reply, list):
            is_set = self.version == 3 and type(reply) is SetReply
            yield (b"~%d\r\n" if is_set else b"*%d\r\n") % len(reply)
            yield from self._elements(reply)
        elif isinstance(reply, dict):
            yield b"*%d\r\n" % (2 * len(reply)) if self.version == 2 else b"%%%d\r\n" % len(reply)
            for pair in reply.items():
                for each in pair:
                    yield from self.stream(each)
        elif isinstance(reply, Lines):
            yield from self._lines(reply)
        else:
            # `RequestStream` calls these functions itself for small replies. This is for the items of larger ones.
            piece = self.scalars[type(reply)](reply)
            if piece is not None:
                yield piece
            else:
                assert isinstance(reply, bytes), "only values are too large to be encoded at once"
                yield from _large_bulk(reply)

    def _elements(self, array: list[Reply]) -> Iterator[bytes]:
        """Encode elements together as long as they make less than `PIECE_SIZE` bytes."""
        scalars = self.scalars
        encoded: list[bytes] = []
        size = 0
        for element in array:
            encode = scalars.get(type(element))
            piece = None if encode is None else encode(element)
            if piece is not None:
                encoded.append(piece)
                size += len(piece)
                if size < PIECE_SIZE:
                    continue
            yield b"".join(encoded)
            encoded.clear()
            size = 0
            if piece is None:
                yield from self.stream(element)
        yield b"".join(encoded)

    def _lines(self, reply: Lines) -> Iterator[bytes]:
        """Encode lines of text: a verbatim string in RESP3, a bulk string in RESP2.

        The length comes first, so the lines are generated twice, once to be counted. They never exist all at once.
        Only lines that can be read once (an iterator) are collected.
        """
        reply = reply.repeatable()
        size = sum(map(len, reply.as_string()))
        # The length of a verbatim string includes its format and the colon after it, "txt:" (RESP3 specification).
        yield b"$%d\r\n" % size if self.version == 2 else b"=%d\r\ntxt:" % (size + 4)
        yield from collected(reply.as_string())
        yield CRLF


def _large_bulk(value: bytes) -> Iterator[bytes]:
    yield bulk_header(len(value)) + CRLF
    for at in range(0, len(value), PIECE_SIZE):
        yield value[at : at + PIECE_SIZE]
    yield CRLF
