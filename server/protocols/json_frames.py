"""JSON frames: a length, then a JSON object, as the ``speicher`` client (0.1.0) sends them.

    request  00 00 00 1f {"command": "GET", "key": "k"}
    reply    00 00 00 22 {"status_code": 200, "value": 12}

The length is a signed 32-bit big-endian integer. A request becomes a command's arguments like any other. The encoder
that the decoder returns with it knows which form of reply ``SET``, ``GET``, ``DEL``, ``RST`` and ``args`` requests get.
Values are stored as their JSON text, so that other protocols can read numbers and strings, and values that other
protocols wrote are parsed as JSON if they are JSON.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from common.codec import Args, DecodedRequests, Encoder, ProtocolError, Request
from common.errors import FRAME_REPLY_TOO_LONG, TOO_MANY_ARGUMENTS, invalid_frame, invalid_frame_length
from common.limits import DEFAULT_LIMITS, Limits
from common.replies import QUEUED, ErrorKind, ErrorReply, Lines, NoReply, NullArray, Reply, SimpleString
from server.protocols.strict_json import dump_json, parse_json, to_argument

HEADER = struct.Struct(">i")

MAX_REPLY_SIZE = 2**31 - 1
"""The largest length that fits into the header."""

LENGTH_PREFIX_BYTES = bytes({*range(0x04), *range(0x7F, 0xC2), *range(0xF5, 0x100)})
"""First bytes that are read as a frame's length.

Only 0x00 begins a valid length. The others are claimed so that a length out of range gets an error instead of being
read as text: they begin negative lengths and no UTF-8 character, or are control characters that begin no command.
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

Form = Callable[[Reply], dict[str, Any]]
"""Turns a reply that is not an error into the object to send."""


# ---------------------------------------------------------------- values


def load_value(stored: bytes) -> Any:
    """Parse a stored value as JSON, or decode it as a string if it is not JSON."""
    # No frame wrote a longer value. Parsing one could take a thousand times its memory.
    if len(stored) <= DEFAULT_LIMITS.max_frame:
        try:
            return parse_json(stored)
        except ValueError:
            pass
    return stored.decode(errors="replace")


def _to_json(reply: Reply) -> Any:
    """Convert any reply to JSON values: bytes and statuses become strings, lines of text an array of strings."""
    match reply:
        case bytes():
            return reply.decode(errors="replace")
        case SimpleString(text):
            return text.decode(errors="replace")
        case ErrorReply():
            return reply.text.decode(errors="replace")
        case Lines(lines):
            return [line.decode(errors="replace") for line in lines]
        case list():
            return [_to_json(item) for item in reply]
        case dict():
            return {key.decode(errors="replace"): _to_json(item) for key, item in reply.items()}
        case NullArray():
            return None
        case _:
            return reply


# ---------------------------------------------------------------- replies


class FrameEncoder:
    """Write the replies to one form of request."""

    # Empty: no reply can be encoded without its request's form, so each goes through `stream`.
    scalars: Mapping[type, Callable[[Any], bytes | None]] = {}

    def __init__(self, form: Form) -> None:
        self._form = form

    def stream(self, reply: Reply) -> Iterator[bytes]:
        """Encode a reply as one piece, because its length comes first. `NoReply` is no piece."""
        if isinstance(reply, NoReply):  # after CLIENT REPLY OFF on this connection, or to SHUTDOWN
            return
        body = dump_json(self._object(reply))
        # Not cut and not split: the client expects one object per request. The connection stays in step.
        if len(body) > MAX_REPLY_SIZE:
            body = dump_json(_error_object(FRAME_REPLY_TOO_LONG))
        yield HEADER.pack(len(body)) + body

    def _object(self, reply: Reply) -> dict[str, Any]:
        if isinstance(reply, ErrorReply):
            return _error_object(reply)
        if reply == QUEUED:  # MULTI was sent on this connection in another protocol
            return {"status_code": 202, "value": "QUEUED"}
        return self._form(reply)


def _error_object(error: ErrorReply) -> dict[str, Any]:
    return {"status_code": STATUS_BY_KIND[error.kind], "error": error.text.decode(errors="replace")}


def _get_reply(reply: Reply) -> dict[str, Any]:
    # Only this form parses the value, because only a frame's GET returns what a frame's SET has stored as JSON.
    if isinstance(reply, bytes):
        return {"status_code": 200, "value": load_value(reply)}
    return {"status_code": 404}


def _del_reply(reply: Reply) -> dict[str, Any]:
    return {"status_code": 200 if reply else 404}  # the number of deleted keys


def _ack(_: Reply) -> dict[str, Any]:
    return {"status_code": 200}


def _generic_reply(reply: Reply) -> dict[str, Any]:
    return {"status_code": 200, "value": _to_json(reply)}


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
        batches: list[DecodedRequests] = []
        at = 0
        while at < len(data):
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
                break
            at = self._fill(HEADER.size + length, data, at)
            if len(self._partial) < HEADER.size + length:
                break
            # A slice of the bytearray would be a second copy.
            self._append(bytes(memoryview(self._partial)[HEADER.size :]), batches)
            # Not clear(), which would fail if a memoryview of the bytearray still existed.
            self._partial = bytearray()
        return batches, b""

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
            request = ProtocolError(TOO_MANY_ARGUMENTS)
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
