"""JSON frames: a length, then a JSON object, as the ``speicher`` client (0.1.0) sends them.

    request  00 00 00 1f {"command": "GET", "key": "k"}
    reply    00 00 00 22 {"status_code": 200, "value": 12}

The length is a signed 32-bit big-endian integer. A request becomes a command's arguments like any other. The encoder
that the decoder returns with it knows which form of reply ``SET``, ``GET``, ``DEL``, ``RST`` and ``args`` requests get.
Values are stored as their JSON text, so that other protocols can read numbers and strings, and values that other
protocols wrote are parsed as JSON if they are JSON.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from common.codec import (
    NO_COLUMNS,
    Args,
    DecodedRequests,
    Encoder,
    ProtocolError,
    Request,
    Scalars,
)
from common.errors import FRAME_REPLY_TOO_LONG, TOO_MANY_ARGUMENTS, invalid_frame, invalid_frame_length
from common.limits import DEFAULT_LIMITS, MIB, Limits
from common.pieces import PIECE_SIZE, collected
from common.replies import (
    QUEUED,
    ErrorKind,
    ErrorReply,
    Line,
    Lines,
    NoReply,
    NullArray,
    Push,
    PushItem,
    Reply,
    SimpleString,
)
from server.protocols.json_writer import array_pieces, escape, escaped_pieces, string_pieces
from server.protocols.strict_json import dump_json, parse_json, to_argument

HEADER = struct.Struct(">i")

MAX_REPLY_SIZE = 64 * MIB
"""Bytes of the JSON of a reply. A small request can ask for a value many times, and all of it is counted first."""

LENGTH_PREFIX_BYTES = bytes({*range(0x03), *range(0x80, 0xC2), *range(0xF5, 0x100)})
"""First bytes that are read as a frame's length.

Only 0x00 begins a valid length. The others are claimed so that a length out of range gets an error instead of being
read as text: they begin negative lengths and no UTF-8 character, or are control characters that begin no command.
0x03 and 0x7F are text, because they are Ctrl-C and the delete key.
"""

NOT_IN_FRAMES = {b"MULTI", b"EXEC", b"DISCARD", b"WATCH", b"UNWATCH"}

STATUS_BY_KIND = {
    ErrorKind.CLIENT: 400,
    ErrorKind.CONFLICT: 400,
    ErrorKind.AUTHENTICATION: 401,
    ErrorKind.OUT_OF_MEMORY: 507,
    ErrorKind.UNAVAILABLE: 503,
    ErrorKind.INTERNAL: 503,
    ErrorKind.UPSTREAM_DOWN: 503,
    ErrorKind.UPSTREAM_TIMEOUT: 503,
}


@dataclass(frozen=True, slots=True)
class JSONText:
    """A value that is JSON already."""

    text: bytes


class Outcome(NamedTuple):
    """The object to send: a status, and perhaps one more member, the value or the error."""

    status: int
    name: bytes = b""
    value: Reply | JSONText = None


Form = Callable[[Reply], Outcome]
"""Turns a reply that is not an error into the object to send."""


# ---------------------------------------------------------------- values


def load_value(stored: bytes) -> bytes | JSONText:
    """Return a stored value as the JSON that it is, in its normal form, or unchanged if it is not JSON."""
    # No frame wrote a longer value.
    if len(stored) <= DEFAULT_LIMITS.max_frame:
        try:
            return JSONText(dump_json(parse_json(stored)))
        except ValueError:
            pass
    return stored


def _string(value: bytes) -> bytes:
    return b'"%b"' % escape(value.decode(errors="replace"))


def _by_json(value: float | None) -> bytes:
    return json.dumps(value).encode()


# By the exact type of the value. Values and statuses are strings.
_SCALARS: dict[type, Callable[[Any], bytes]] = {
    JSONText: lambda value: value.text,
    bytes: _string,
    SimpleString: lambda status: _string(status.text),
    ErrorReply: lambda error: _string(error.text),
    NullArray: lambda _: b"null",
    NoReply: lambda _: b"null",
    **dict.fromkeys((int, float, bool, type(None)), _by_json),
}


def _value_pieces(value: Reply | JSONText) -> Iterator[bytes]:
    """Write any reply as JSON. Lines of text are an array of strings."""
    match value:
        case bytes():
            yield from string_pieces(value)
        case Lines(lines=lines):
            yield from array_pieces(map(_line_pieces, lines), b", ")
        case list():
            yield from array_pieces(map(_value_pieces, value), b", ")
        case dict():
            yield from _object_pieces(value)
        case _:
            yield _SCALARS[type(value)](value)


def _line_pieces(line: Line) -> Iterator[bytes]:
    if isinstance(line, bytes):
        yield from string_pieces(line)
    else:
        yield b'"'
        yield from escaped_pieces(line)
        yield b'"'


def _object_pieces(members: dict[bytes, Reply]) -> Iterator[bytes]:
    lead = b"{"
    for name, value in members.items():
        yield lead
        yield from string_pieces(name)
        yield b": "
        yield from _value_pieces(value)
        lead = b", "
    yield b"{}" if lead == b"{" else b"}"


# ---------------------------------------------------------------- replies


class FrameEncoder:
    """Write the replies to one form of request. Pushes have the same form for all of them."""

    columns = NO_COLUMNS
    marks_pushes = True

    def __init__(self, form: Form) -> None:
        self._form = form
        self.scalars: Scalars = {
            **dict.fromkeys(_SCALARS, self._encode_at_once),
            # None for what `stream` must cut.
            bytes: lambda value: self._encode_at_once(value) if len(value) <= PIECE_SIZE else None,
            Push: _push_frame,
            NoReply: lambda _: b"",  # after CLIENT REPLY OFF on this connection, or to SHUTDOWN
        }

    def stream(self, reply: Reply) -> Iterator[bytes]:
        """Encode any reply in pieces. See `common.codec.Encoder`."""
        if isinstance(reply, NoReply):
            return
        outcome = self._outcome(reply.repeatable() if isinstance(reply, Lines) else reply)
        pieces = collected(_body(outcome))
        start = next(pieces)
        if len(start) < PIECE_SIZE:  # it is the whole
            yield HEADER.pack(len(start)) + start
            return
        # The length comes first, so a large reply is written twice, once to be counted.
        size = len(start)
        for piece in pieces:
            size += len(piece)
            # Not cut and not split: the client expects one object per request. The connection stays in step.
            if size > MAX_REPLY_SIZE:
                yield self._encode_at_once(FRAME_REPLY_TOO_LONG)
                return
        yield HEADER.pack(size)
        yield from collected(_body(outcome))

    def _encode_at_once(self, reply: Reply) -> bytes:
        body = _body_at_once(self._outcome(reply))
        return HEADER.pack(len(body)) + body

    def _outcome(self, reply: Reply) -> Outcome:
        if isinstance(reply, ErrorReply):
            return Outcome(STATUS_BY_KIND[reply.kind], b"error", reply)
        if reply == QUEUED:  # MULTI was sent on this connection in another protocol
            return Outcome(202, b"value", reply)
        return self._form(reply)


def _body_at_once(outcome: Outcome) -> bytes:
    if not outcome.name:
        return b'{"status_code": %d}' % outcome.status
    value = _SCALARS[type(outcome.value)](outcome.value)
    return b'{"status_code": %d, "%b": %b}' % (outcome.status, outcome.name, value)


def _body(outcome: Outcome) -> Iterator[bytes]:
    if outcome.name:
        yield b'{"status_code": %d, "%b": ' % (outcome.status, outcome.name)
        yield from _value_pieces(outcome.value)
        yield b"}"
    else:
        yield _body_at_once(outcome)


def _push_frame(push: Push) -> bytes:
    """Write a push: an object without a status, which every reply has."""
    body = b'{"push": [%b]}' % b", ".join([_push_item(item) for item in push.items])
    return HEADER.pack(len(body)) + body


def _push_item(item: PushItem) -> bytes:
    return b"[%b]" % b", ".join(map(_string, item)) if isinstance(item, tuple) else _SCALARS[type(item)](item)


def _get_reply(reply: Reply) -> Outcome:
    # Only this form parses the value, because only a frame's GET returns what a frame's SET has stored as JSON.
    return Outcome(200, b"value", load_value(reply)) if isinstance(reply, bytes) else Outcome(404)


def _del_reply(reply: Reply) -> Outcome:
    return Outcome(200 if reply else 404)  # the number of deleted keys


def _ack(_: Reply) -> Outcome:
    return Outcome(200)


def _generic_reply(reply: Reply) -> Outcome:
    return Outcome(200, b"value", reply)


GET_REPLY = FrameEncoder(_get_reply)
DEL_REPLY = FrameEncoder(_del_reply)
ACK = FrameEncoder(_ack)
GENERIC = FrameEncoder(_generic_reply)


# ---------------------------------------------------------------- requests


class FrameDecoder:
    """Cut a stream of bytes into frames and parse the requests in them."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._partial = bytearray()  # a partial frame, including its length

    def decode(self, data: bytes) -> tuple[list[DecodedRequests], bytes]:
        """Return the requests that ``data`` completes, and the rest. See `common.codec.Decoder`."""
        return self._decode(data, only_one=False)

    def decode_one(self, data: bytes) -> tuple[list[DecodedRequests], bytes]:
        """Return the first request that ``data`` completes, and the data after it. See `common.codec.Decoder`."""
        return self._decode(data, only_one=True)

    def use(self, limits: Limits) -> None:
        """Obey these bounds from now on. See `common.codec.Decoder`."""
        self._limits = limits

    def _decode(self, data: bytes, *, only_one: bool) -> tuple[list[DecodedRequests], bytes]:
        batches: list[DecodedRequests] = []
        at = 0
        while at < len(data) and not (only_one and batches):
            if not self._partial and data[at] not in LENGTH_PREFIX_BYTES:
                return batches, data[at:]
            at = self._fill(HEADER.size, data, at)
            if len(self._partial) < HEADER.size:
                break
            length = HEADER.unpack_from(self._partial)[0]
            # Checked before a byte of the body is stored. Nothing after a wrong length can be trusted.
            if not 0 < length <= self._limits.max_frame:
                error = invalid_frame_length(length, self._limits.max_frame)
                batches.append((ACK, [ProtocolError(error, close_connection=True)]))
                return batches, b""
            at = self._fill(HEADER.size + length, data, at)
            if len(self._partial) < HEADER.size + length:
                break
            # A slice of the bytearray would be a second copy.
            self._append(bytes(memoryview(self._partial)[HEADER.size :]), batches)
            # Not clear(), which would fail if a memoryview of the bytearray still existed.
            self._partial = bytearray()
        return batches, data[at:]

    def _fill(self, size: int, data: bytes, at: int) -> int:
        """Move bytes to the partial frame until it has this size or the data ends. Return the position after them."""
        end = at + max(0, size - len(self._partial))
        self._partial += data[at:end]
        return min(end, len(data))

    def _append(self, body: bytes, batches: list[DecodedRequests]) -> None:
        try:
            encoder, request = _parse_request(parse_json(body))
        except ValueError as problem:
            # The length was valid, so the next frame begins after this one, and the connection stays open.
            encoder, request = ACK, ProtocolError(invalid_frame(str(problem)))
        if isinstance(request, list) and len(request) > self._limits.max_args:
            request = ProtocolError(TOO_MANY_ARGUMENTS, close_connection=self._limits.unauthenticated)
        if batches and batches[-1][0] is encoder:
            batches[-1][1].append(request)
        else:
            batches.append((encoder, [request]))


def _parse_request(request: Any) -> tuple[Encoder, Request]:
    """Convert a request to arguments and choose the encoder of its reply. Raises ValueError."""
    if not isinstance(request, dict):
        raise ValueError("it must be an object")
    name = request.get("command")
    if not isinstance(name, str) or not name:
        raise ValueError('it needs a "command"')
    command = name.encode(errors="replace")
    capitals = command.upper()  # of ASCII alone: in Unicode the ligature in "ﬂushall" becomes FL
    if capitals in NOT_IN_FRAMES:
        raise ValueError(f"{capitals.decode()} is not available in frames")
    # First: GET with "args" is a command like any other, with the generic form of reply.
    if "args" in request:
        return GENERIC, [command, *_arguments(request["args"])]
    match capitals:
        case b"GET":
            return GET_REPLY, [command, _key(request)]
        case b"DEL":
            return DEL_REPLY, [command, _key(request)]
        case b"SET":
            return ACK, _set(request)
        case b"RST":
            return ACK, [b"FLUSHALL"]
    return GENERIC, [command]


def _set(request: dict[str, Any]) -> Args:
    key, value = _key(request), request.get("value")
    if value is None:
        raise ValueError('it needs a "value" that is not null')
    return [b"SET", key, dump_json(value)]


def _key(request: dict[str, Any]) -> bytes:
    key = request.get("key")
    if not isinstance(key, str) or not key:
        raise ValueError('it needs a "key", a string that is not empty')
    return to_argument(key)


def _arguments(arguments: Any) -> Args:
    if not isinstance(arguments, list):
        raise ValueError('its "args" must be an array')
    return [to_argument(each) for each in arguments]
