"""RESP as a client speaks it: write requests, read replies of versions 2 and 3."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from common.replies import OK, PONG, QUEUED, ErrorReply, Lines, Reply, SimpleString
from common.resp import CRLF, bulk_header, parse_length
from common.set_reply import SetReply


def encode_request(args: Iterable[bytes]) -> bytes:
    """Encode a command as a client sends it: an array of bulk strings, which any bytes fit into."""
    parts = [b"%b\r\n%b\r\n" % (bulk_header(len(arg)), arg) for arg in args]
    return b"*%d\r\n%b" % (len(parts), b"".join(parts))


MAX_REPLY_DEPTH = 64
"""The maximum nesting of arrays. Redis's own replies stay below ten. Printing a reply recurses as deep."""


class MalformedReply(Exception):
    """Raised if the other end does not speak RESP."""


class Push(list[Reply]):
    """A push of RESP3: data that replies to no request. A list like any other for everything else."""


_LISTS: dict[int, Callable[[], list[Reply]]] = {0x3E: Push, 0x7E: SetReply}


class _Aggregate:
    """An array, set, push or map whose items are not complete yet."""

    __slots__ = ("is_map", "items", "missing")

    def __init__(self, mark: int, count: int) -> None:
        self.is_map = mark == 0x25
        self.items: list[Reply] = _LISTS.get(mark, list)()
        self.missing = count * 2 if self.is_map else count

    def value(self) -> Reply:
        if not self.is_map:
            return self.items
        # A `Reply` has only maps with bytes as keys. RESP3 allows any key: such a map stays flat, as in RESP2.
        keys = self.items[::2]
        if not all(isinstance(key, bytes) for key in keys):
            return self.items
        return dict(zip((key for key in keys if isinstance(key, bytes)), self.items[1::2], strict=True))


ELEMENT_SIZE = 64
"""Bytes of memory that a reply inside another counts besides its length. An empty list takes 56, and 8 in its list."""


class ReplyDecoder:
    """Cut a stream of bytes into replies, RESP2 and RESP3 alike, however the stream is cut into pieces.

    ``max_size`` bounds the bytes of memory, about, that one reply takes. A larger one is malformed.

    Most reads contain whole replies without aggregates. Such a read is split at every CRLF, like requests in
    `common.resp_requests`, because a loop in Python per line takes several times as long.

    Sets become a `SetReply`, pushes a `Push`. Attributes (``|``) and streamed types (``$?``) of RESP3 are malformed
    here. Redis 7 sends the former only for DEBUG PROTOCOL, and the latter never.
    """

    def __init__(self, max_size: float = math.inf) -> None:
        self._max_size = max_size
        self._size = 0  # what the partial reply takes
        self._buffer = bytearray()
        self._searched = 0  # no CRLF begins before this position in the buffer
        self._bulk: tuple[int, int] | None = None  # mark and length of a string whose header has been read
        # A stack instead of recursion: the state survives between two reads, in the middle of any nested reply.
        self._open: list[_Aggregate] = []

    def feed(self, data: bytes) -> list[Reply]:
        """Return the replies that ``data`` completes. Raises `MalformedReply`."""
        self._buffer += data
        replies: list[Reply] = []
        at = 0
        # Twice: at the beginning of the read, and after the reply whose beginning was in the read before. Not more
        # often, because to split the rest again after each of many aggregates would take quadratic time.
        splits = 2
        while True:
            if splits and self._bulk is None and not self._open:
                splits -= 1
                at = self._split(at, replies)
            if (step := self._step(at)) is None:
                break
            at, done, reply = step
            if done:
                self._size = 0
                replies.append(reply)
        # Once per read, not per reply: removing a beginning may move all bytes after it.
        del self._buffer[:at]
        self._searched = max(0, self._searched - at)
        return replies

    def _split(self, at: int, replies: list[Reply]) -> int:
        """Take the complete replies at this position that are no aggregates. Return the position after them."""
        if self._searched > at or len(self._buffer) - at > self._max_size:  # a long line that is not complete
            return at
        if self._buffer.startswith(_OK_LINE, at):
            count = (len(self._buffer) - at) // len(_OK_LINE)
            if self._buffer.startswith(_OK_LINE * count, at):
                replies += [OK] * count
                return at + count * len(_OK_LINE)
        pieces = bytes(self._buffer[at:]).split(CRLF)
        last = len(pieces) - 1  # the only piece without a CRLF after it
        place = 0
        while place < last:
            piece = pieces[place]
            if piece[:1] == b"$":
                # A piece of the declared length can only be that string.
                if place + 1 == last or bulk_header(len(pieces[place + 1])) != piece:
                    break
                replies.append(pieces[place + 1])
                place += 2
            elif piece[:1] in _SIMPLE_MARKS:
                replies.append(_simple(piece[0], piece[1:]))
                place += 1
            else:
                break
        # Back from pieces to bytes: the length of the pieces that are left, and of the CRLFs between them.
        return len(self._buffer) - sum(map(len, pieces[place:])) - 2 * (last - place)

    def _step(self, at: int) -> tuple[int, bool, Reply] | None:
        """Read the next header or string.

        Return the position after it, whether it completes a top-level reply, and that reply.
        """
        if self._bulk is not None:
            mark, length = self._bulk
            end = at + length
            # By its length, not by a search: a string may contain CRLF, and a long one is not scanned at each read.
            if len(self._buffer) < end + 2:
                return None
            if self._buffer[end : end + 2] != CRLF:
                raise MalformedReply("a string that is not as long as its header says")
            self._bulk = None
            return end + 2, *self._complete(_string(mark, bytes(self._buffer[at:end])))
        end = self._buffer.find(CRLF, max(at, self._searched))
        if end < 0:
            # The last byte may be a CR whose LF is in the next read. Without this position, a long line that arrives
            # in small pieces would be searched from its beginning each time, in quadratic time.
            self._searched = max(at, len(self._buffer) - 1)
            self._check_size(len(self._buffer) - at)
            return None
        mark, text = self._buffer[at], bytes(self._buffer[at + 1 : end])
        if mark in b"$=!":
            length = _declared(text)
            if length < 0:  # $-1, the null of RESP2
                return end + 2, *self._complete(None)
            self._check_size(length)  # before a byte of it is stored
            self._size += length
            self._bulk = (mark, length)
            return end + 2, False, None
        if mark in b"*%~>":
            count = _declared(text)
            # An empty aggregate is complete at once, *-1 is the null array of RESP2.
            if count > 0:
                # "*1" repeated costs a server four bytes a level, but the client a frame of its stack when it prints.
                if len(self._open) == MAX_REPLY_DEPTH:
                    raise MalformedReply(f"a reply nested more than {MAX_REPLY_DEPTH} deep")
                self._check_size(count * ELEMENT_SIZE)  # before an element is waited for
                self._open.append(_Aggregate(mark, count))
                return end + 2, False, None
            return end + 2, *self._complete(None if count < 0 else _Aggregate(mark, 0).value())
        return end + 2, *self._complete(_simple(mark, text))

    def _check_size(self, more: int) -> None:
        if self._size + more > self._max_size:
            raise MalformedReply(f"a reply of more than {self._max_size} bytes")

    def _complete(self, reply: Reply) -> tuple[bool, Reply]:
        """Add a reply to the innermost open aggregate. Return whether the outermost one is complete, and its value."""
        # One item may complete several levels: the last of the innermost aggregate, which is the last of the next.
        while self._open:
            self._size += ELEMENT_SIZE
            self._check_size(0)
            top = self._open[-1]
            top.items.append(reply)
            top.missing -= 1
            if top.missing:
                return False, None
            self._open.pop()
            reply = top.value()
        return True, reply


def _declared(text: bytes) -> int:
    length = parse_length(text)
    if length is None or length < -1:
        raise MalformedReply(f"a length that is not a number: {text[:40]!r}")
    return length


def _string(mark: int, data: bytes) -> Reply:
    if mark == 0x3D:  # a verbatim string: three letters of format, a colon, the text
        text = data[4:]
        # INFO separates its lines by CRLF, other texts by LF. The separator is kept, so that the text can be restored.
        separator = b"\r\n" if b"\r\n" in text else b"\n"
        terminated = text.endswith(separator)
        lines = text.removesuffix(separator).split(separator) if text else []
        return Lines(lines, separator, terminated)
    return ErrorReply.from_text(data) if mark == 0x21 else data


_BOOLEANS = {b"t": True, b"f": False}
_NOT_FINITE = {b"inf", b"+inf", b"-inf", b"nan", b"-nan"}


# int() and float() accept more than RESP: blanks around the digits, underscores, "infinity", ".5".
def _number(text: bytes) -> int:
    digits = text[1:] if text.startswith((b"+", b"-")) else text
    if not digits.isdigit():
        raise ValueError
    return int(text)


def _float(text: bytes) -> float:
    digits = text[1:] if text.startswith((b"+", b"-")) else text
    is_finite = digits[:1].isdigit() and not digits.translate(None, b"0123456789.eE+-")
    if not is_finite and text.lower() not in _NOT_FINITE:
        raise ValueError
    return float(text)


def _null(text: bytes) -> None:
    if text:
        raise ValueError


_STATUSES = {status.text: status for status in (OK, PONG, QUEUED)}
_SIMPLE: dict[int, Callable[[bytes], Reply]] = {
    ord("+"): lambda text: _STATUSES.get(text) or SimpleString(text),
    ord("-"): ErrorReply.from_text,
    ord(":"): _number,
    ord("("): _number,  # a big number, which Python's int holds
    ord(","): _float,
    ord("#"): lambda text: _BOOLEANS[text],
    ord("_"): _null,
}


_SIMPLE_MARKS = {bytes([mark]) for mark in _SIMPLE}
_OK_LINE = b"+OK\r\n"


def _simple(mark: int, text: bytes) -> Reply:
    try:
        return _SIMPLE[mark](text)
    except (KeyError, ValueError):
        raise MalformedReply(f"not a reply: {bytes([mark]) + text[:40]!r}") from None
