"""Reply values: the result of a command before a protocol encodes it.

A reply is a plain Python value if one fits: ``bytes`` for a value, ``int``, ``float``, ``bool``, ``None`` for null,
``list`` and ``dict``. The classes below are the rest. Nothing here knows a wire format.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from enum import Enum, auto

from common.set_reply import SetReply

# A start of the client imports neither `typing` nor `dataclasses`, which take longer than the rest of its imports.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, TypeAlias


class _Value:
    """An immutable value: equal to one of the same class with the same `_compared` fields."""

    __slots__ = ()

    def _compared(self) -> tuple[object, ...]:
        return ()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, _Value) and other._compared() == self._compared()

    def __hash__(self) -> int:
        return hash(self._compared())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join([repr(each) for each in self._compared()])})"


class SimpleString(_Value):
    """A short status such as ``OK``. Never a stored value."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text: Final = text

    def _compared(self) -> tuple[object, ...]:
        return (self.text,)


class ErrorKind(Enum):
    """The cause of an error. Protocols with statuses (HTTP, JSON frames) map kinds to them."""

    CLIENT = auto()
    """The request is wrong."""

    CONFLICT = auto()
    """The request is valid, but the stored value does not allow it."""

    AUTHENTICATION = auto()
    """The client has not authenticated, or with a wrong password."""

    OUT_OF_MEMORY = auto()
    """The memory limit does not allow the command."""

    UNAVAILABLE = auto()
    """The request cannot be executed for now, and may succeed later: the durable log cannot be written, for example."""

    INTERNAL = auto()
    """A bug of the server. Its log has the details."""

    UPSTREAM_DOWN = auto()
    """The backing Redis cannot be reached, or serves no client at present."""

    UPSTREAM_TIMEOUT = auto()
    """The backing Redis, or a connection to it, took too long."""


class ErrorReply(_Value):
    """An error. ``code`` is in capitals, as in Redis: ``ERR``, ``EXECABORT``, ``NOPROTO``.

    The kind does not travel over RESP or text, so it does not take part in comparisons.
    """

    __slots__ = ("code", "kind", "message")

    def __init__(self, code: bytes, message: bytes, kind: ErrorKind = ErrorKind.CLIENT) -> None:
        self.code: Final = code
        self.message: Final = message
        self.kind: Final = kind

    # `common.errors.with_kind` finds the kind of a backing server's error by comparing it with the errors from here.
    def _compared(self) -> tuple[object, ...]:
        return self.code, self.message

    @classmethod
    def from_text(cls, text: bytes) -> ErrorReply:
        """Make an error of what a server sent: the code is the text up to the first space."""
        # The first word is the code by convention, not by the RESP specification. A text without a space is all code.
        code, _, message = text.partition(b" ")
        return cls(code, message)

    @property
    def text(self) -> bytes:
        """The code and the message, as RESP and the text protocol send them."""
        return b"%b %b" % (self.code, self.message) if self.message else self.code


Line: TypeAlias = bytes | Iterable[bytes]
"""A line of `Lines`. A long one is an iterable of its pieces, so that it never is in memory as a whole."""


class Lines(_Value):
    """Lines of text for a person or for a file, without quoting. In RESP3 a verbatim string.

    ``lines`` may be lazy, so that the formatting is done while the reply is sent, outside the keyspace lock. An
    iterator is read once. Any other iterable is read again if an encoder needs the length first. No line contains a
    line break. ``separator`` joins the lines in protocols that send them as one string. If ``terminated``, the string
    ends with it too, unless there are no lines.
    """

    __slots__ = ("lines", "separator", "terminated")

    def __init__(self, lines: Iterable[Line], separator: bytes = b"\n", terminated: bool = False) -> None:
        self.lines: Final = lines
        self.separator: Final = separator
        self.terminated: Final = terminated

    def _compared(self) -> tuple[object, ...]:
        return self.lines, self.separator, self.terminated

    def repeatable(self) -> Lines:
        """Return the same lines, which can be read several times. Those of an iterator are collected."""
        if not isinstance(self.lines, Iterator):
            return self
        return Lines(list(self.lines), self.separator, self.terminated)

    def as_string(self) -> Iterator[bytes]:
        """Yield the lines in pieces, as protocols send them that know no lines."""
        return self.pieces(self.separator) if self.terminated else self.joined(self.separator)

    def pieces(self, ending: bytes) -> Iterator[bytes]:
        """Yield the lines in pieces, each line with this ending."""
        for line in self.lines:
            if isinstance(line, bytes):
                yield line + ending
            else:
                yield from line
                yield ending

    def joined(self, separator: bytes) -> Iterator[bytes]:
        """Yield the lines in pieces, with the separator between them."""
        lead = b""
        for line in self.lines:
            if isinstance(line, bytes):
                yield lead + line
            else:
                yield lead
                yield from line
            lead = separator


PushItem: TypeAlias = bytes | int | tuple[bytes, ...] | None
"""A part of a push. A tuple is an array of keys."""


class Push(_Value):
    """Data that is sent without a request: its kind, such as ``message``, and what follows. RESP3 marks it as such."""

    __slots__ = ("items",)

    def __init__(self, items: tuple[PushItem, ...]) -> None:
        self.items: Final = items

    def _compared(self) -> tuple[object, ...]:
        return (self.items,)


class NullArray(_Value):
    """Null instead of an array: the reply to an EXEC that did not run. RESP2 has a null of its own for it."""

    __slots__ = ()


class NoReply(_Value):
    """Nothing is sent. The client turned replies off, or the command has no reply."""

    __slots__ = ()


class Deferred(_Value):
    """There is no reply yet: the request was accepted and is executed later. Never reaches an encoder."""

    __slots__ = ()


# A string, because the alias refers to itself.
Reply: TypeAlias = (
    "bytes | int | float | bool | SimpleString | ErrorReply | Lines | Push | NullArray | NoReply | Deferred "
    "| list[Reply] | dict[bytes, Reply] | None"
)

# Shared instances: these replies are too frequent to be created for each request.
OK = SimpleString(b"OK")
QUEUED = SimpleString(b"QUEUED")
PONG = SimpleString(b"PONG")
NULL_ARRAY = NullArray()
NO_REPLY = NoReply()
DEFERRED = Deferred()

_CONTAINERS = {list, SetReply, dict, Lines}


def size_of(reply: Reply) -> int:
    """Return approximately how many bytes a reply takes, including those of stored values in it.

    What lazy lines are made of counts as their class says (``__sizeof__``).
    """
    size = sys.getsizeof(reply)
    if type(reply) not in _CONTAINERS:  # most replies
        return size
    if isinstance(reply, list):
        size += sum(map(size_of, reply))
    elif isinstance(reply, dict):
        size += sum(map(size_of, reply)) + sum(map(size_of, reply.values()))
    elif isinstance(reply, Lines):
        size += sum(map(sys.getsizeof, reply.lines)) if isinstance(reply.lines, list) else sys.getsizeof(reply.lines)
    return size
