r"""Glob patterns of KEYS and SCAN: ``*``, ``?``, ``[abc]``, ``[^a]``, ``[a-z]``, and ``\`` before a literal byte.

A pattern becomes one regular expression, whose size is linear in the pattern's. The part between two stars has a fixed
length. Its first match after the previous part is final (an atomic group), so a match takes at most the product of the
lengths of key and pattern, however many stars a hostile pattern has. Longer patterns are in `server.args.long_glob`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from server.args.glob_tokens import TOKEN, ranges
from server.args.long_glob import LongPattern

Matcher = Callable[[bytes], bool]


MAX_COMPILED_LENGTH = 16 * 1024
"""Bytes of a pattern that is compiled. The compilation of 16 KiB takes up to 130 ms."""

MAX_CACHED_LENGTH = 256
"""The `re` module stores the last 512 compiled patterns. Hostile ones of 16 KiB would pin 60 MB there."""


def matcher(pattern: bytes) -> Matcher:
    """Return a function that reports whether a whole key matches the pattern.

    Compile before the keyspace lock is taken.
    """
    if len(pattern) > MAX_COMPILED_LENGTH:
        return LongPattern(pattern).matches
    fullmatch = re.compile(translate(pattern), re.DOTALL).fullmatch
    if len(pattern) > MAX_CACHED_LENGTH:
        re.purge()
    return lambda key: fullmatch(key) is not None


def translate(pattern: bytes) -> bytes:
    """Return a regular expression that matches exactly the keys that the pattern matches."""
    parts: list[list[bytes]] = [[]]  # regular expressions of one byte each, between stars
    for escaped, negated, members, stars, plain in TOKEN.findall(pattern):
        if stars:
            parts.append([])
        elif plain == b"?":
            parts[-1].append(b".")
        elif escaped or plain:
            parts[-1].append(re.escape(escaped or plain))
        else:
            parts[-1].append(_one_of(members, negated=bool(negated)))
    first, *middle = map(b"".join, parts)
    if not middle:
        return first
    last = middle.pop()
    return b"".join([first, *(b"(?>.*?%b)" % part for part in middle), b".*", last])


def _one_of(members: bytes, *, negated: bool) -> bytes:
    """Translate the inside of brackets into a class of ranges, with every byte as a hex escape: none is special."""
    found = ranges(members)
    if not found:
        return b"." if negated else b"(?!)."
    inside = b"".join(_range(low, high) for low, high in found)
    return b"[%b%b]" % (b"^" if negated else b"", inside)


def _range(low: int, high: int) -> bytes:
    return b"\\x%02x" % low if low == high else b"\\x%02x-\\x%02x" % (low, high)
