"""JSON frames: a length, then a JSON object, as the ``speicher`` client speaks them.

    request  00 00 00 1f {"command": "GET", "key": "k"}
    reply    00 00 00 22 {"status_code": 200, "value": 12}

A request becomes a command's words like any other, and the encoder that comes with it knows which kind of reply it
owes: that is all the difference between ``SET``, ``GET``, ``DEL``, ``RST`` and the commands given by ``args``. Values
are kept as their JSON text, so that other dialects can read a number or a word, and what they write is read as the JSON
that it is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from common.codec import Args, DecodedRequests, Encoder, ProtocolError, Request
from common.errors import BACKEND_UNAVAILABLE, INTERNAL_ERROR
from common.limits import DEFAULT_LIMITS, Limits
from common.replies import QUEUED, ErrorReply, Lines, NoReply, NullArray, Reply, SimpleString
from server.protocols.strict_json import parse_json, print_json, word_of

HEADER = struct.Struct(">i")

LONGEST_REPLY = 2**31 - 1
"""What a signed length of four bytes can say."""

FIRST_BYTES = bytes({*range(0x04), *range(0x7F, 0xC2), *range(0xF5, 0x100)})
"""What a length begins with: a zero, if it is one that a client may send.

The others are here so that a length out of bounds is told so: what begins negative ones and no character of UTF-8, and
a few control characters, which begin large ones and hardly ever a line.
"""

WITHOUT_FRAMES = {b"MULTI", b"EXEC", b"DISCARD", b"WATCH", b"UNWATCH"}

Form = Callable[[Reply], dict[str, Any]]
"""Turn a reply that is no error into the object to send."""


# ---------------------------------------------------------------- values


def value_of(stored: bytes) -> Any:
    """Read a stored value, by whatever dialect it was written: as the JSON that it is, or else as a string."""
    if (
        len(stored) <= DEFAULT_LIMITS.max_frame
    ):  # a longer one was set by no frame, and may be a thousand times as large
        try:
            return parse_json(stored)
        except ValueError:
            pass
    return stored.decode(errors="replace")


def _plain(reply: Reply) -> Any:
    """Turn any reply into what JSON can say: bytes and statuses are strings, a block is an array of its lines."""
    match reply:
        case bytes():
            return reply.decode(errors="replace")
        case SimpleString(text) | ErrorReply(text):
            return text.decode(errors="replace")
        case Lines(lines):
            return [line.decode(errors="replace") for line in lines]
        case list():
            return [_plain(item) for item in reply]
        case dict():
            return {key.decode(errors="replace"): _plain(item) for key, item in reply.items()}
        case NullArray():
            return None
        case _:
            return reply


# ---------------------------------------------------------------- replies


class FrameEncoder:
    """Write the replies to requests of one kind."""

    scalars: Mapping[type, Callable[[Any], bytes]] = {}

    def __init__(self, form: Form) -> None:
        self._form = form

    def stream(self, reply: Reply) -> Iterator[bytes]:
        """Encode a reply as one piece, for a client reads its length with a single call."""
        if isinstance(reply, NoReply):
            return
        body = print_json(self._answer(reply))
        if len(body) > LONGEST_REPLY:
            body = print_json(_refusal(400, "ERR the reply is too long for a frame"))
        yield HEADER.pack(len(body)) + body

    def _answer(self, reply: Reply) -> dict[str, Any]:
        if isinstance(reply, ErrorReply):
            is_ours = reply == INTERNAL_ERROR or reply.text.startswith(BACKEND_UNAVAILABLE)
            return _refusal(503 if is_ours else 400, _plain(reply))
        if reply == QUEUED:  # another dialect has opened a transaction on this connection
            return {"status_code": 202, "value": "QUEUED"}
        return self._form(reply)


def _refusal(status: int, text: str) -> dict[str, Any]:
    return {"status_code": status, "error": text}


def _value(reply: Reply) -> dict[str, Any]:
    if isinstance(reply, bytes):
        return {"status_code": 200, "value": value_of(reply)}
    return {"status_code": 404}


def _count(reply: Reply) -> dict[str, Any]:
    return {"status_code": 200 if reply else 404}


def _done(_: Reply) -> dict[str, Any]:
    return {"status_code": 200}


def _whatever(reply: Reply) -> dict[str, Any]:
    return {"status_code": 200, "value": _plain(reply)}


VALUE = FrameEncoder(_value)
COUNT = FrameEncoder(_count)
DONE = FrameEncoder(_done)
WHATEVER = FrameEncoder(_whatever)


# ---------------------------------------------------------------- requests


class FrameDecoder:
    """Cut a stream of bytes into frames and read the requests in them."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._partial = bytearray()  # an unfinished frame, its length included

    def decode(self, data: bytes, at: int, batches: list[DecodedRequests]) -> tuple[bytes, int]:
        """Append the requests that ``data`` holds from ``at`` on; see `common.codec.Decoder`."""
        while at < len(data):
            if not self._partial and data[at] not in FIRST_BYTES:
                break
            at = self._take(HEADER.size, data, at)
            if len(self._partial) < HEADER.size:
                break
            length = HEADER.unpack_from(self._partial)[0]
            if not 0 < length <= self._limits.max_frame:
                reason = f"ERR a frame's length is from 1 to {self._limits.max_frame}, not {length}"
                batches.append((DONE, [ProtocolError(ErrorReply(reason.encode()), close_connection=True)]))
                break
            at = self._take(HEADER.size + length, data, at)
            if len(self._partial) < HEADER.size + length:
                break
            self._append(bytes(memoryview(self._partial)[HEADER.size :]), batches)
            self._partial = bytearray()
        return data, at

    def _take(self, size: int, data: bytes, at: int) -> int:
        """Move bytes to the unfinished frame until it has this size or the data is at its end."""
        end = at + max(0, size - len(self._partial))
        self._partial += data[at:end]
        return min(end, len(data))

    def _append(self, body: bytes, batches: list[DecodedRequests]) -> None:
        try:
            encoder, request = _read(parse_json(body))
        except ValueError as problem:
            encoder, request = DONE, ProtocolError(ErrorReply(f"ERR not a request: {problem}".encode(errors="replace")))
        if isinstance(request, list) and len(request) > self._limits.max_args:
            request = ProtocolError(ErrorReply(b"ERR too many words in request"))
        if batches and batches[-1][0] is encoder:
            batches[-1][1].append(request)
        else:
            batches.append((encoder, [request]))


def _read(request: Any) -> tuple[Encoder, Request]:
    """Turn a request into words, and tell what form its reply has. Raises ValueError."""
    if not isinstance(request, dict):
        raise ValueError("it must be an object")
    name = request.get("command")
    if not isinstance(name, str) or not name:
        raise ValueError('it needs a "command"')
    command = name.encode(errors="replace")
    capitals = command.upper()  # of ASCII alone: to Unicode, the ligature in "ﬂushall" is FL
    if capitals in WITHOUT_FRAMES:
        raise ValueError(f"frames know no {capitals.decode()}")
    if "args" in request:
        return WHATEVER, [command, *_arguments(request["args"])]
    match capitals:
        case b"GET":
            return VALUE, [command, _key(request)]
        case b"DEL":
            return COUNT, [command, _key(request)]
        case b"SET":
            return DONE, _set(request)
        case b"RST":
            return DONE, [b"FLUSHALL"]
    return WHATEVER, [command]


def _set(request: dict[str, Any]) -> Args:
    key, value = _key(request), request.get("value")
    if value is None:
        raise ValueError('it needs a "value" that is not null')
    return [b"SET", key, print_json(value)]


def _key(request: dict[str, Any]) -> bytes:
    key = request.get("key")
    if not isinstance(key, str) or not key:
        raise ValueError('it needs a "key", a string that is not empty')
    return word_of(key)


def _arguments(arguments: Any) -> Args:
    if not isinstance(arguments, list):
        raise ValueError('its "args" must be an array')
    return [word_of(each) for each in arguments]
