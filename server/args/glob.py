r"""Glob patterns of KEYS and SCAN: ``*``, ``?``, ``[abc]``, ``[^a]``, ``[a-z]``, and ``\`` before a literal byte.

A pattern is split at its stars. The part between two stars has a fixed length and is searched from left to right, so a
match takes at most the product of the lengths of key and pattern, however many stars a hostile pattern has.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from common.errors import PATTERN_TOO_LONG, CommandError

Matcher = Callable[[bytes], bool]


MAX_PATTERN_LENGTH = 16 * 1024


def matcher(pattern: bytes) -> Matcher:
    """Return a function that reports whether a whole key matches the pattern. Raises `CommandError`."""
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise CommandError(PATTERN_TOO_LONG)
    segments, lengths = _segments(pattern)
    if len(segments) == 1:
        only = re.compile(segments[0], re.DOTALL)
        return lambda key: only.fullmatch(key) is not None
    first, *middle, last = (re.compile(segment, re.DOTALL) for segment in segments)
    last_length = lengths[-1]

    def matches(key: bytes) -> bool:
        found = first.match(key)
        for segment in middle:
            if found is None:
                return False
            found = segment.search(key, found.end())
        last_start = len(key) - last_length
        return found is not None and found.end() <= last_start and last.match(key, last_start) is not None

    return matches


# As in Redis, a range takes precedence over the closing bracket: ``[a-]`` is an unclosed set with a range up to "]".
_TOKEN = re.compile(rb"\\(.)|\[(\^?)((?:\\.|[^\]\\]-.|[^\]\\]|\\\Z)*+)(?:\]|\Z)|(.)", re.DOTALL)


def _segments(pattern: bytes) -> tuple[list[bytes], list[int]]:
    """Translate a pattern into regular expressions, one per part between stars, and the length that each matches."""
    segments = [b""]
    lengths = [0]
    for token in _TOKEN.finditer(pattern):
        escaped, negated, members, plain = token.groups()
        if plain == b"*":
            segments.append(b"")
            lengths.append(0)
            continue
        lengths[-1] += 1
        if plain == b"?":
            segments[-1] += b"."
        elif members is not None:
            segments[-1] += _one_of(members, negated=bool(negated))
        else:
            segments[-1] += re.escape(plain if escaped is None else escaped)
    return segments, lengths


_MEMBER = re.compile(rb"\\(.)|(.)-(.)|(.)", re.DOTALL)


def _one_of(members: bytes, *, negated: bool) -> bytes:
    """Translate the inside of brackets into a class with every byte as a hex escape, so that none is special."""
    wanted: set[int] = set()
    for member in _MEMBER.finditer(members):
        escaped, low, high, plain = member.groups()
        if low is not None:
            first, last = sorted((low[0], high[0]))
            wanted.update(range(first, last + 1))
        else:
            wanted.add((plain if escaped is None else escaped)[0])
    if not wanted:
        return b"." if negated else b"(?!)."
    inside = b"".join(b"\\x%02x" % byte for byte in sorted(wanted))
    return b"[%b%b]" % (b"^" if negated else b"", inside)
