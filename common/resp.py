r"""RESP, the Redis serialization protocol, versions 2 and 3 (https://redis.io/docs/latest/develop/reference/protocol-spec/).

The server's half: it reads requests (``RequestDecoder``) and writes replies (``ReplyEncoder``). A client's half, which
writes requests and reads replies, is `common.resp_client`.

A request is an array of bulk strings: ``*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n``. The stream can't be found again behind a
malformed one, so every mistake in a request is fatal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from common.codec import Args, DecodedRequests, Encoder, ProtocolError, Request, protocol_error
from common.limits import DEFAULT_LIMITS, Limits
from common.replies import ErrorReply, Lines, NoReply, NullArray, Reply, SimpleString

CRLF = b"\r\n"

HEADER_SIZE = 32
"""The longest header line that makes sense: a type's mark, a 64-bit number, CRLF. A longer one is refused unread."""

WRITE_SIZE = 64 * 1024
"""About how many bytes of a long block of lines make one piece of its encoding."""


# ---------------------------------------------------------------- requests


class _BulkHeaders(dict[int, bytes]):
    """The header of a bulk string by its length: ready-made for short ones, computed for the others."""

    def __missing__(self, length: int) -> bytes:
        return b"$%d" % length


header_of = _BulkHeaders((length, b"$%d" % length) for length in range(1024)).__getitem__
"""Return the header of a bulk string of this length, without its CRLF."""

MOST_SPLIT_WORDS = 64
_SIZES = {b"*%d" % count: 1 + 2 * count for count in range(1, MOST_SPLIT_WORDS + 1)}
"""Of how many lines a request consists, by its first one."""
_LENGTH = re.compile(rb"0|-?[1-9][0-9]{0,18}")


class RequestDecoder:
    """Cut a stream of bytes into requests.

    Most reads hold whole requests whose words hold no CRLF. Splitting such a read at every CRLF, and checking the
    declared lengths against the pieces, is several times as fast as reading argument by argument, and just as exact: a
    piece that has the declared length can only be that word. Where it does not work out (a word with a CRLF in it, an
    unfinished or malformed request), the rest of the read goes argument by argument, keeping its place between reads.
    """

    def __init__(self, encoder: Encoder, limits: Limits = DEFAULT_LIMITS) -> None:
        self._encoder = encoder
        self._limits = limits
        self._smallest_limit = min(limits.max_bulk, limits.max_request)
        self._sizes = _SIZES if limits.max_args >= MOST_SPLIT_WORDS else {}
        self._header = b""  # an unfinished header line
        self._words: Args = []  # the unfinished request's words so far
        self._missing = 0  # how many more it declared
        self._size = 0  # their bytes so far, declared
        self._bulk: bytearray | None = None  # an unfinished word, with what has come of its CRLF
        self._bulk_size = 0  # what it will measure with its CRLF

    def decode(self, data: bytes, at: int, batches: list[DecodedRequests]) -> tuple[bytes, int]:
        """Append the requests that ``data`` holds from ``at`` on; see `common.codec.Decoder`."""
        requests: list[Request] = []
        if at == 0 and not self._missing and not self._header:
            at = self._split(data, requests)
        try:
            if at < len(data):
                data, at = self._read(data, at, requests)
        except _Malformed as problem:
            requests.append(problem.request)
        if requests:
            batches.append((self._encoder, requests))
        return data, at

    def _split(self, data: bytes, requests: list[Request]) -> int:
        """Take the whole, plain requests at the beginning of the data; return where they end."""
        pieces = data.split(CRLF)
        last = len(pieces) - 1  # no CRLF stands behind this one
        may_be_too_large = len(data) > self._smallest_limit
        sizes, expected = self._sizes, header_of
        at = 0
        while at < last:
            end = at + sizes.get(pieces[at], last + 1)
            if end > last:
                break
            for place in range(at + 1, end, 2):  # a loop is faster here than to map and compare slices
                if expected(len(pieces[place + 1])) != pieces[place]:
                    break
            else:
                args = pieces[at + 2 : end : 2]
                if may_be_too_large and not self._limits.allow(args):
                    break
                requests.append(args)
                at = end
                continue
            break
        if at == last and not pieces[last]:
            return len(data)
        return len(data) - sum(map(len, pieces[at:])) - 2 * (last - at)

    def _read(self, data: bytes, at: int, requests: list[Request]) -> tuple[bytes, int]:
        """Take requests argument by argument, from wherever the last read left off."""
        if self._header:
            data = self._header + data[at:]
            at = 0
            self._header = b""
        while at < len(data):
            if self._bulk is not None:
                at = self._go_on_with_bulk(self._bulk, data, at)
            elif not self._missing and data[at] != 0x2A:
                break
            else:
                end = data.find(CRLF, at, at + HEADER_SIZE)
                if end < 0:
                    self._keep_header(data[at:])
                    return data, len(data)
                if self._missing:
                    at = self._read_bulk(data[at:end], data, end + 2)
                else:
                    self._missing = self._count(data[at:end])
                    at = end + 2
                    continue  # an empty request (*0) gets no answer, as in Redis
            if self._bulk is None and not self._missing:
                requests.append(self._words)
                self._words = []
                self._size = 0
        return data, at

    def _keep_header(self, part: bytes) -> None:
        if len(part) >= HEADER_SIZE:
            raise _Malformed(b"invalid bulk length" if self._missing else b"invalid multibulk length")
        self._header = part

    def _count(self, header: bytes) -> int:
        count = parse_length(header[1:])
        if count is None or count > self._limits.max_args:
            raise _Malformed(b"invalid multibulk length")
        return max(count, 0)

    def _read_bulk(self, header: bytes, data: bytes, at: int) -> int:
        """Take the word that the header announces and ``data`` holds at ``at``; begin it if it is not all there."""
        if header[:1] != b"$":
            raise _Malformed(b"expected '$', got '%b'" % header[:1])
        length = parse_length(header[1:])
        if length is None or not 0 <= length <= self._limits.max_bulk:
            raise _Malformed(b"invalid bulk length")
        self._size += length
        if self._size > self._limits.max_request:
            raise _Malformed(b"request larger than %d bytes" % self._limits.max_request)
        end = at + length
        if len(data) >= end + 2:
            self._add_word(data[at:end], data[end : end + 2])
            return end + 2
        self._bulk = bytearray(data[at:])
        self._bulk_size = length + 2
        return len(data)

    def _go_on_with_bulk(self, bulk: bytearray, data: bytes, at: int) -> int:
        end = at + self._bulk_size - len(bulk)
        bulk += data[at:end]
        if len(bulk) == self._bulk_size:
            with memoryview(bulk) as view:
                self._add_word(bytes(view[:-2]), bytes(view[-2:]))
            self._bulk = None
        return min(end, len(data))

    def _add_word(self, word: bytes, ending: bytes) -> None:
        if ending != CRLF:
            raise _Malformed(b"expected CRLF after a bulk string")
        self._words.append(word)
        self._missing -= 1


class _Malformed(Exception):
    """The stream broke RESP's rules; never leaves this module."""

    def __init__(self, reason: bytes) -> None:
        self.request: ProtocolError = protocol_error(reason, close_connection=True)


def parse_length(digits: bytes) -> int | None:
    """Read a declared length strictly: no sign but a minus, no leading zeros, no blanks (as Redis's string2ll)."""
    return int(digits) if _LENGTH.fullmatch(digits) else None


# ---------------------------------------------------------------- replies

_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")


_IN_BOTH: dict[type, Callable[[Any], bytes]] = {
    bytes: lambda value: b"$%d\r\n%b\r\n" % (len(value), value),
    int: lambda number: b":%d\r\n" % number,
    SimpleString: lambda status: b"+%b\r\n" % status.text,
    NoReply: lambda _: b"",
    ErrorReply: lambda error: b"-%b\r\n" % error.text.translate(_LINE_BREAKS),
}
_SCALARS: dict[int, dict[type, Callable[[Any], bytes]]] = {
    2: _IN_BOTH
    | {
        type(None): lambda _: b"$-1\r\n",
        NullArray: lambda _: b"*-1\r\n",
        bool: lambda truth: b":%d\r\n" % truth,
        float: lambda number: _IN_BOTH[bytes](format_double(number)),
    },
    3: _IN_BOTH
    | {
        type(None): lambda _: b"_\r\n",
        NullArray: lambda _: b"_\r\n",
        bool: lambda truth: b"#t\r\n" if truth else b"#f\r\n",
        float: lambda number: b",%b\r\n" % format_double(number),
    },
}


def format_double(number: float) -> bytes:
    """Print a number with all the digits that tell it from any other."""
    return b"%.17g" % number


class ReplyEncoder:
    """Write replies in the version of RESP that the connection has agreed on: 2 until it asks for another."""

    def __init__(self, version: int = 2) -> None:
        self.use(version)

    def use(self, version: int) -> None:
        """Go on in version 2 or 3."""
        self.version = version
        self.scalars: Mapping[type, Callable[[Any], bytes]] = _SCALARS[version]

    def encode(self, reply: Reply) -> bytes:
        """Encode any reply whole."""
        return b"".join(self.stream(reply))

    def stream(self, reply: Reply) -> Iterator[bytes]:
        """Encode any reply in pieces, so that one far larger than memory's comfort is never held twice."""
        if isinstance(reply, Lines):
            yield from self._block(reply)
        elif isinstance(reply, dict):
            if self.version == 2:
                yield b"*%d\r\n" % (2 * len(reply))
            else:
                yield b"%%%d\r\n" % len(reply)
            for pair in reply.items():
                for each in pair:
                    yield from self.stream(each)
        elif isinstance(reply, list):
            yield b"*%d\r\n" % len(reply)
            for item in reply:
                yield from self.stream(item)
        else:
            yield self.scalars[type(reply)](reply)

    def _block(self, block: Lines) -> Iterator[bytes]:
        """Encode a block of lines: a verbatim string in RESP3; RESP2 has none, so there it is a bulk string."""
        lines = list(block.lines)
        separator = block.separator
        size = sum(map(len, lines)) + max(0, len(lines) - 1) * len(separator)
        yield b"$%d\r\n" % size if self.version == 2 else b"=%d\r\ntxt:" % (size + 4)
        lead = b""
        piece: list[bytes] = []
        size = 0
        for line in lines:
            piece += (lead, line)
            lead = separator
            size += len(line)
            if size >= WRITE_SIZE:
                yield b"".join(piece)
                piece.clear()
                size = 0
        yield b"".join(piece) + CRLF
