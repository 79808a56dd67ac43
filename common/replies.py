"""Reply values: what a command answers, before a dialect puts it on the wire.

A reply is a plain Python value wherever one can say it: ``bytes`` for a value, ``int``, ``float``, ``bool``, ``None``
for "there is none", ``list`` and ``dict``. The classes below are the rest. Nothing here knows a wire format.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class SimpleString:
    """A short word that says how it went, such as ``OK``; never a stored value."""

    text: bytes


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """A refusal. The text begins with its code in capitals, as Redis's do: ``ERR value is not an integer…``."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines for a person, or for a file that is fed back, printed as they stand.

    ``lines`` may be lazy, so that the work of formatting is done where the reply is sent and not where it was made; it
    is then good for one reading. No line holds a line break. ``separator`` is what stands between lines where they
    travel as one string, as RESP's do.
    """

    lines: Iterable[bytes]
    separator: bytes = b"\n"


@dataclass(frozen=True, slots=True)
class NullArray:
    """None where an array was asked for: a transaction that did not run. RESP2 has its own null for that."""


@dataclass(frozen=True, slots=True)
class NoReply:
    """Nothing is sent at all: the client asked for silence."""


Reply: TypeAlias = (
    "bytes | int | float | bool | SimpleString | ErrorReply | Lines | NullArray | NoReply | list[Reply] "
    "| dict[bytes, Reply] | None"
)

OK = SimpleString(b"OK")
QUEUED = SimpleString(b"QUEUED")
PONG = SimpleString(b"PONG")
NULL_ARRAY = NullArray()
NO_REPLY = NoReply()
