r"""RESP, the Redis serialization protocol, versions 2 and 3 (https://redis.io/docs/latest/develop/reference/protocol-spec/).

The server's half: it reads requests (`RequestDecoder`) and writes replies (`ReplyEncoder`). A client's half, which
writes requests and reads replies, is `common.resp_client`.

A request is an array of bulk strings: ``*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n``. After a malformed one the stream cannot be
resynchronised, so every protocol error closes the connection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from common.codec import (
    PIECE_SIZE,
    Args,
    DecodedRequest,
    DecodedRequests,
    Encoder,
    ProtocolError,
    RequestBatch,
    collected,
)
from common.errors import (
    INVALID_BULK_LENGTH,
    INVALID_MULTIBULK_LENGTH,
    MISSING_CRLF,
    bulk_string_expected,
    request_too_large,
)
from common.limits import DEFAULT_LIMITS, Limits
from common.replies import ErrorReply, Lines, NoReply, NullArray, Reply, SimpleString

CRLF = b"\r\n"

MAX_HEADER_SIZE = 32
"""Bytes of the longest valid header line: a type byte, a 64-bit number, CRLF. A longer one is refused unread."""


# ---------------------------------------------------------------- requests


class _Headers(dict[int, bytes]):
    """The headers of bulk strings by length, the short ones prepared."""

    def __missing__(self, length: int) -> bytes:
        return b"$%d" % length


bulk_header = _Headers((length, b"$%d" % length) for length in range(1024)).__getitem__
"""Return the header of a bulk string of this length, without its CRLF."""


MAX_SPLIT_ARGS = 64
_LINE_COUNTS = {b"*%d" % count: 1 + 2 * count for count in range(1, MAX_SPLIT_ARGS + 1)}
"""The number of lines of a request by its first line."""
MIN_BATCH = 4
MAX_BATCH = 64
"""Alike requests from which on, and up to which, they are decoded as one `RequestBatch`. It is executed as one step."""

BATCH_PROBE_INTERVAL = 8
"""Requests after a failed attempt before the next one, so that a pipeline of mixed commands does not pay for each."""

# int() would also accept "+1", "1_0", " 1" and "01", which Redis refuses (`string2ll`).
_LENGTH = re.compile(rb"0|-?[1-9][0-9]{0,18}")


class RequestDecoder:
    """Cut a stream of bytes into requests.

    Most reads contain whole requests whose arguments contain no CRLF. Such a read is split at every CRLF, and the
    declared lengths are compared with the pieces: a piece of the declared length can only be that argument. This is
    several times as fast as reading argument by argument (`python -m benchmarks throughput`, the pipelined rows). If
    the comparison fails (an argument with a CRLF in it, a partial or malformed request), the rest of the read is read
    argument by argument, with the position stored between reads. The next read is split again after that request.
    """

    __slots__ = (
        "_args",
        "_bulk",
        "_bulk_size",
        "_encoder",
        "_header",
        "_limits",
        "_line_counts",
        "_may_split",
        "_missing",
        "_size",
        "_smallest_limit",
    )

    def __init__(self, encoder: Encoder, limits: Limits = DEFAULT_LIMITS) -> None:
        self._encoder = encoder
        self._limits = limits
        self._smallest_limit = min(limits.max_bulk, limits.max_request)
        # With a smaller limit no request is split, so that `_argument_count` checks every one of them.
        self._line_counts = _LINE_COUNTS if limits.max_args >= MAX_SPLIT_ARGS else {}
        self._may_split = True  # false after another protocol began within the same read
        self._header = b""  # a partial header line
        self._args: Args = []  # the arguments of the partial request
        self._missing = 0  # the number of arguments that it still lacks
        self._size = 0  # the declared bytes of its arguments
        self._bulk: bytearray | None = None  # a partial argument, with the part of its CRLF that has arrived
        self._bulk_size = 0  # its declared size with its CRLF

    def decode(self, data: bytes) -> tuple[list[DecodedRequests], bytes]:
        """Return the requests that ``data`` completes, and the rest. See `common.codec.Decoder`."""
        requests: list[DecodedRequest] = []
        at = 0
        if self._header:
            data = self._header + data
            self._header = b""
        try:
            if self._missing:
                at = self._read(data, at, requests, only_one=True)
            # To split the rest of a read at each change of the protocol took 4.6 s for 64 KiB of changes.
            if self._may_split and not self._missing and at < len(data):
                at += self._split(data[at:] if at else data, requests)
            if at < len(data):
                at = self._read(data, at, requests)
        except _Malformed as problem:
            # The requests before it are valid and are executed first. Their replies precede the error.
            requests.append(ProtocolError(problem.error, close_connection=True))
            at = len(data)
        rest = data[at:]
        self._may_split = not rest
        return [(self._encoder, requests)] if requests else [], rest

    def _split(self, data: bytes, requests: list[DecodedRequest]) -> int:
        """Take the complete, plain requests at the beginning of the data. Return the position after them.

        Only between requests: inside one, a piece could be the end of an argument whose beginning was read before.
        """
        pieces = data.split(CRLF)
        last = len(pieces) - 1  # the only piece without a CRLF after it
        # A read that is shorter than the smallest limit cannot contain an argument or a request that exceeds one.
        may_exceed_limit = len(data) > self._smallest_limit
        line_counts, header = self._line_counts, bulk_header
        if line_counts.get(pieces[0]) == last and not pieces[last] and not may_exceed_limit:  # one request, as usual
            args = pieces[2:last:2]
            place = 1
            for arg in args:  # twice as fast as to map and compare slices, for the usual two or three
                if header(len(arg)) != pieces[place]:
                    break
                place += 2
            else:
                requests.append(args)
                return len(data)
        at = next_probe = 0
        while at < last:
            # Any other first line (a partial or malformed one, or another protocol) gets an end after the last piece.
            lines = line_counts.get(pieces[at], last + 1)
            end = at + lines
            if end > last:
                break
            if at + MIN_BATCH * lines <= last and at >= next_probe and not may_exceed_limit:
                batch = _split_batch(pieces, at, lines, last)
                if batch is not None:
                    requests.append(batch)
                    at += batch.count * lines
                    continue
                next_probe = at + BATCH_PROBE_INTERVAL * lines
            for place in range(at + 1, end, 2):
                if header(len(pieces[place + 1])) != pieces[place]:
                    break
            else:
                args = pieces[at + 2 : end : 2]
                if may_exceed_limit and not self._limits.allow(args):
                    break
                requests.append(args)
                at = end
                continue
            break
        # Back from pieces to bytes: the length of the pieces that are left, and of the CRLFs between them.
        return len(data) - sum(map(len, pieces[at:])) - 2 * (last - at)

    def _read(self, data: bytes, at: int, requests: list[DecodedRequest], only_one: bool = False) -> int:
        """Read requests argument by argument, or the rest of a partial one, and store a new partial one.

        Return the position after them. It is before the end of the data if a request of another protocol begins there,
        and after the first request with ``only_one``.
        """
        while at < len(data):
            if self._bulk is not None:
                at = self._continue_bulk(self._bulk, data, at)
            elif not self._missing and data[at] != 0x2A:
                break  # not "*": a request of another protocol
            else:
                # The bound makes a line that never ends an error after 32 bytes, instead of storing it.
                end = data.find(CRLF, at, at + MAX_HEADER_SIZE)
                if end < 0:
                    self._store_header(data[at:])
                    return len(data)
                if self._missing:
                    at = self._read_bulk(data[at:end], data, end + 2)
                else:
                    self._missing = self._argument_count(data[at:end])
                    at = end + 2
                    continue  # an empty request (*0) gets no reply, as in Redis
            if self._bulk is None and not self._missing:
                requests.append(self._args)
                self._args = []
                self._size = 0
                if only_one:
                    break
        return at

    def _store_header(self, part: bytes) -> None:
        if len(part) >= MAX_HEADER_SIZE:
            raise _Malformed(INVALID_BULK_LENGTH if self._missing else INVALID_MULTIBULK_LENGTH)
        self._header = part

    def _argument_count(self, header: bytes) -> int:
        count = parse_length(header[1:])
        if count is None or count > self._limits.max_args:
            raise _Malformed(INVALID_MULTIBULK_LENGTH)
        return max(count, 0)

    def _read_bulk(self, header: bytes, data: bytes, at: int) -> int:
        """Read the argument after this header from ``data`` at ``at``, or store the part that has arrived."""
        # The header is checked completely before a byte of the argument is stored: its length is a client's claim.
        if header[:1] != b"$":
            raise _Malformed(bulk_string_expected(header[:1]))
        length = parse_length(header[1:])
        if length is None or not 0 <= length <= self._limits.max_bulk:
            raise _Malformed(INVALID_BULK_LENGTH)
        self._size += length
        if self._size > self._limits.max_request:
            raise _Malformed(request_too_large(self._limits.max_request))
        end = at + length
        if len(data) >= end + 2:
            self._add_argument(data[at:end], data[end : end + 2])
            return end + 2
        # Not allocated at its declared size. Otherwise a client could reserve 512 MB with each "$536870912".
        self._bulk = bytearray(data[at:])
        self._bulk_size = length + 2
        return len(data)

    def _continue_bulk(self, bulk: bytearray, data: bytes, at: int) -> int:
        end = at + self._bulk_size - len(bulk)
        bulk += data[at:end]
        if len(bulk) == self._bulk_size:
            # A slice of the bytearray would be a second copy of up to `max_bulk` bytes.
            with memoryview(bulk) as view:
                self._add_argument(bytes(view[:-2]), bytes(view[-2:]))
            self._bulk = None
        return min(end, len(data))

    def _add_argument(self, arg: bytes, ending: bytes) -> None:
        # Redis does not look at these bytes. Here a wrong length must not make data be read as the next header.
        if ending != CRLF:
            raise _Malformed(MISSING_CRLF)
        self._args.append(arg)
        self._missing -= 1


def _split_batch(pieces: list[bytes], at: int, lines: int, last: int) -> RequestBatch | None:
    """Take the requests from ``at`` on that have as many lines and the same name, if they are enough.

    Returns None also if a line is not what the declared lengths say: then they are taken one by one.
    """
    name = pieces[at + 2]
    if pieces[at + lines + 2] != name or lines < 5:  # five lines: a name and an argument
        return None
    count = min(MAX_BATCH, (last - at) // lines)
    names = pieces[at + 2 : at + count * lines : lines]
    if names.count(name) != count:
        count = next(place for place, other in enumerate(names) if other != name)
        if count < MIN_BATCH:
            return None
    end = at + count * lines
    if (
        pieces[at:end:lines].count(pieces[at]) != count
        or pieces[at + 1 : end : lines].count(bulk_header(len(name))) != count
    ):
        return None
    columns: list[list[bytes]] = []
    for place in range(at + 4, at + lines, 2):
        column = pieces[place:end:lines]
        if list(map(bulk_header, map(len, column))) != pieces[place - 1 : end : lines]:
            return None
        columns.append(column)
    return RequestBatch(name, columns)


class _Malformed(Exception):
    """Raised for bytes that violate RESP. Caught in this module."""

    def __init__(self, error: ErrorReply) -> None:
        self.error = error


def parse_length(digits: bytes) -> int | None:
    """Parse a declared length strictly: an optional minus, no leading zeros, no blanks (as Redis's string2ll)."""
    return int(digits) if _LENGTH.fullmatch(digits) else None


# ---------------------------------------------------------------- replies

# As in Redis (`addReplyErrorFormat`): an error may repeat a client's argument, and a line break in it would end the
# error. What follows would be read as further replies, which the sender of the argument could choose.
_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")


def _encode_bulk(value: bytes) -> bytes | None:
    """Encode a value at once, or return None if it is so large that it must be sent in pieces."""
    size = len(value)
    return b"$%d\r\n%b\r\n" % (size, value) if size <= PIECE_SIZE else None


Scalars: TypeAlias = dict[type, Callable[[Any], bytes | None]]
"""Functions that encode a reply at once, or return None if it is too large for that."""

MAX_SHORT_ARRAY = 64
"""Elements up to which an array is encoded at once, if none of them is an array or large."""

# By the exact type of the reply, because bool is a subclass of int.
_IN_BOTH: Scalars = {
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


def _short_array_encoder(of_elements: Scalars) -> Callable[[list[Reply]], bytes | None]:
    """Return the function that encodes the reply to MGET with a few keys: twice as fast as a generator."""

    def encode(array: list[Reply]) -> bytes | None:
        if len(array) > MAX_SHORT_ARRAY:
            return None
        pieces = [b"*%d\r\n" % len(array)]
        for element in array:
            encode_element = of_elements.get(type(element))
            piece = None if encode_element is None else encode_element(element)
            if piece is None:
                return None
            pieces.append(piece)
        return b"".join(pieces)

    return encode


_SCALARS = {version: {**table, list: _short_array_encoder(table)} for version, table in _OF_ELEMENTS.items()}


def format_double(number: float) -> bytes:
    """Print a number with all the digits that distinguish it from any other."""
    # 17 significant digits identify every double (IEEE 754). Redis's `addReplyDouble` prints as many.
    return b"%.17g" % number


class ReplyEncoder:
    """Write replies in the RESP version that the connection has negotiated: 2 until HELLO asks for another."""

    __slots__ = ("scalars", "version")

    def __init__(self, version: int = 2) -> None:
        self.use(version)

    def use(self, version: int) -> None:
        """Encode in version 2 or 3 from now on."""
        self.version = version
        self.scalars: Mapping[type, Callable[[Any], bytes | None]] = _SCALARS[version]

    def stream(self, reply: Reply) -> Iterator[bytes]:
        """Encode any reply in pieces. See `common.codec.Encoder`."""
        if isinstance(reply, list):
            yield b"*%d\r\n" % len(reply)
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
        size = sum(map(len, reply.joined(reply.separator)))
        # The length of a verbatim string includes its format and the colon after it, "txt:" (RESP3 specification).
        yield b"$%d\r\n" % size if self.version == 2 else b"=%d\r\ntxt:" % (size + 4)
        yield from collected(reply.joined(reply.separator))
        yield CRLF


def _large_bulk(value: bytes) -> Iterator[bytes]:
    yield bulk_header(len(value)) + CRLF
    for at in range(0, len(value), PIECE_SIZE):
        yield value[at : at + PIECE_SIZE]
    yield CRLF
