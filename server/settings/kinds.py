"""The kinds of settings: how a value is parsed from text, and how it is printed.

The command line and the environment use ``parse``, CONFIG SET uses ``parse_config``. Both raise `ValueError`: the first
with one sentence for a person, the second with the text that Redis uses for the same error.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from common.errors import NOT_A_MEMORY_VALUE, NOT_PARSED_AS_INTEGER, NOT_YES_OR_NO, not_one_of, out_of_range
from common.limits import GIB, KIB, MIB

T = TypeVar("T")

MIN_INTEGER = -(2**63)
MAX_INTEGER = 2**63 - 1

# Also excludes "inf", which float() accepts.
MAX_SECONDS = 3600.0

CONFIG_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
"""Redis accepts one spelling of an integer: no plus sign, no leading zero (``string2ll``)."""


class Kind(Protocol[T]):
    """Convert the values of one kind of setting from and to text."""

    @property
    def metavar(self) -> str | None: ...

    def parse(self, text: str) -> T: ...

    def parse_config(self, text: str) -> T: ...

    def format(self, value: T) -> str: ...


@runtime_checkable
class PartialKind(Protocol[T]):
    """A kind of which CONFIG SET may give a part of the value."""

    def parse_change(self, text: str, before: T) -> T: ...


class Integer(NamedTuple):
    """An integer from ``minimum`` to ``maximum``, both included. ``rule`` begins the sentence about a bad value."""

    rule: str
    minimum: int = 1
    maximum: int = MAX_INTEGER
    metavar: str = "N"
    too_large: str = ""
    """Begins the sentence about a value above the maximum. If it is empty, ``rule`` does."""

    def parse(self, text: str) -> int:
        # int() would also accept blanks, underscores and digits of other scripts.
        number = int(text) if re.fullmatch(r"-?[0-9]{1,19}", text) else None
        if number is not None and self.minimum <= number <= self.maximum:
            return number
        if number is not None and number > self.maximum and self.too_large:
            raise ValueError(f"{self.too_large}, not {text}")
        raise ValueError(f"{self.rule}, not {text!r}")

    def parse_config(self, text: str) -> int:
        if not CONFIG_INTEGER.fullmatch(text):
            raise ValueError(NOT_PARSED_AS_INTEGER)
        number = int(text)
        # Two texts, as in Redis: 64 bits are a question of parsing (`string2ll`), the bounds are the parameter's own.
        if not MIN_INTEGER <= number <= MAX_INTEGER:
            raise ValueError(NOT_PARSED_AS_INTEGER)
        if not self.minimum <= number <= self.maximum:
            raise ValueError(out_of_range(self.minimum, self.maximum))
        return number

    def format(self, value: int) -> str:
        return str(value)


MEMORY_UNITS = {"": 1, "b": 1, "k": 1000, "kb": KIB, "m": 1000**2, "mb": MIB, "g": 1000**3, "gb": GIB}
"""Redis's units: kb is 1024 bytes, and k is 1000 (``memtoull``)."""


class Memory:
    """A number of bytes, with a unit or without, in any case: 64mb. 0 is allowed."""

    metavar = "BYTES"

    def parse(self, text: str) -> int:
        number = self._parse(text)
        if number is None:
            raise ValueError(f"must be a number of bytes, such as 67108864 or 64mb, not {text!r}")
        return number

    def parse_config(self, text: str) -> int:
        number = self._parse(text)
        if number is None:
            raise ValueError(NOT_A_MEMORY_VALUE)
        return number

    def _parse(self, text: str) -> int | None:
        found = re.fullmatch(r"([0-9]{1,19})([a-z]{0,2})", text.lower(), re.ASCII)
        if found is None or found[2] not in MEMORY_UNITS:
            return None
        number = int(found[1]) * MEMORY_UNITS[found[2]]
        return number if number <= MAX_INTEGER else None

    def format(self, value: int) -> str:
        return str(value)


class Seconds:
    """A duration in seconds, which may have a fraction: above 0, at most `MAX_SECONDS`."""

    metavar = "SECONDS"

    def parse(self, text: str) -> float:
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan  # fails every comparison, so the next line refuses it, and "nan" itself too
        if not 0 < seconds <= MAX_SECONDS:
            raise ValueError(f"must be a number of seconds above 0, at most {MAX_SECONDS:g}, not {text!r}")
        return seconds

    parse_config = parse  # CONFIG SET changes no setting of this kind, so there is no text of Redis to imitate

    def format(self, value: float) -> str:
        return f"{value:g}"


class FileMode:
    """The permissions of a file, as three octal digits: 770."""

    metavar = "MODE"

    def parse(self, text: str) -> int:
        if not re.fullmatch(r"0?[0-7]{1,3}", text):
            raise ValueError(f"permissions are octal digits from 0 to 777, not {text!r}")
        return int(text, 8)

    parse_config = parse  # as for `Seconds`

    def format(self, value: int) -> str:
        return f"{value:o}"


class Choice(NamedTuple):
    """One of a few names. ``name`` replaces them in the help if they are too many for a line."""

    choices: tuple[str, ...]
    name: str = ""

    @property
    def metavar(self) -> str:
        return self.name or f"{{{','.join(self.choices)}}}"

    def parse(self, text: str) -> str:
        if text not in self.choices:
            raise ValueError(f"invalid choice: {text!r} (choose from {', '.join(map(repr, self.choices))})")
        return text

    def parse_config(self, text: str) -> str:
        # In any case, as Redis compares the values of an enum (`configEnumGetValue`).
        if text.lower() not in self.choices:
            raise ValueError(not_one_of(self.choices))
        return text.lower()

    def format(self, value: str) -> str:
        return value


class Switch:
    """Yes or no. An option on the command line takes no value, a variable in the environment does."""

    metavar = None

    def parse(self, text: str) -> bool:
        lowered = text.lower()
        if lowered in ("yes", "true", "on", "1"):
            return True
        if lowered in ("no", "false", "off", "0"):
            return False
        raise ValueError(f"must be yes or no, not {text!r}")

    def parse_config(self, text: str) -> bool:
        if text.lower() not in ("yes", "no"):
            raise ValueError(NOT_YES_OR_NO)
        return text.lower() == "yes"

    def format(self, value: bool) -> str:
        return "yes" if value else "no"


class Text(NamedTuple):
    """A string. ``check`` returns it in its normal form, or raises `ValueError` with a sentence."""

    metavar: str
    check: Callable[[str], str] = str

    def parse(self, text: str) -> str:
        return self.check(text)

    def parse_config(self, text: str) -> str:
        return self.check(text)

    def format(self, value: str) -> str:
        return value


class Presence(Text):
    """A string of which only its presence is printed, as yes or no. It is not set under this name."""

    def parse_config(self, text: str) -> str:
        return "" if text == "no" else text

    def format(self, value: str) -> str:
        return "yes" if value else "no"


def check_token(text: str) -> str:
    """Return a bearer token, or raise `ValueError` if an ``Authorization`` header cannot carry it (RFC 6750, 2.1)."""
    # An empty token would be equal to the one in "Bearer ", and a blank ends the token in the header.
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("a token must be printable ASCII without blanks, and not empty")
    return text


def check_directory(text: str) -> str:
    """Return the path of a directory, or raise `ValueError` if it cannot be one."""
    if not text or "\0" in text:
        raise ValueError("must be the path of a directory")
    return text


MAX_SOCKET_PATH = 107 if sys.platform == "linux" else 103
"""Bytes of the path of a Unix socket: ``sun_path`` without the null byte (unix(7); 104 bytes on BSD and macOS)."""


def check_socket_path(text: str) -> str:
    """Return the path of a Unix socket, or raise `ValueError` if it cannot be one."""
    if sys.platform == "win32":
        raise ValueError("Python has no Unix sockets on Windows")
    if not text or not text.isprintable():  # it is printed in CLIENT LIST, MONITOR and the log
        raise ValueError("must be a path of printable characters")
    if (size := len(os.fsencode(text))) > MAX_SOCKET_PATH:
        raise ValueError(f"the path of a Unix socket has at most {MAX_SOCKET_PATH} bytes, and this one has {size}")
    return text


def check_origin(text: str) -> str:
    """Return an origin in lower case without a slash at its end (RFC 6454, 6.2), or raise `ValueError`."""
    # Browsers send it in this form, and it is compared as a string. A slash at the end is a frequent mistake.
    origin = text.lower().removesuffix("/")
    if origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s?#@]+", origin):
        raise ValueError(f"an origin is * or like https://example.org, not {text!r}")
    return origin


PORT = Integer("a port is a number from 0 to 65535", 0, 65535, "PORT")
SIZE = Integer("a limit is a number of bytes, at least 1", metavar="BYTES")
COUNT = Integer("must be a number of at least 1", maximum=999_999_999, metavar="NUMBER")
COUNT_OR_0 = Integer("must be a number of at least 0", 0, MAX_INTEGER, "NUMBER")
SECONDS = Seconds()
FILE_MODE = FileMode()
MEMORY = Memory()
EVICTION = Choice(
    (
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "noeviction",
    ),
    "POLICY",
)
"""In the order of Redis, whose error for an unknown one lists them."""
SWITCH = Switch()
