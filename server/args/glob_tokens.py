"""The tokens of a glob pattern: a star, or what one byte of the key must be."""

from __future__ import annotations

import re
from collections.abc import Iterator

# As in Redis, a range takes precedence over the closing bracket: ``[a-]`` is an unclosed set with a range up to "]".
TOKEN = re.compile(rb"\\(.)|\[(\^?)((?:\\.|[^\]\\]-.|[^\]\\]|\\\Z)*+)(?:\]|\Z)|(\*+)|(.)", re.DOTALL)
"""An escaped byte; a set, with the sign that negates it and its members; stars; any other byte."""

_MEMBER = re.compile(rb"\\(.)|(.)-(.)|(.)", re.DOTALL)


def ranges(members: bytes) -> list[tuple[int, int]]:
    """Return the members of a set as sorted ranges of bytes, without repetitions."""
    found: set[tuple[int, int]] = set()
    for escaped, low, high, plain in _MEMBER.findall(members):
        only = escaped or plain
        found.add((only[0], only[0]) if only else (min(low, high)[0], max(low, high)[0]))
    return sorted(found)


ANY_BYTE = (1 << 256) - 1
"""A set of bytes as an integer: bit n stands for the byte n."""


def sets(pattern: bytes) -> Iterator[int | None]:
    """Yield the set of bytes that each token matches, as an integer, or None for stars."""
    for token in TOKEN.finditer(pattern):
        escaped, negated, members, stars, plain = token.groups()
        if stars:
            yield None
        elif plain == b"?":
            yield ANY_BYTE
        elif escaped or plain:
            yield 1 << (escaped or plain)[0]
        else:
            found = sum(1 << byte for byte in {byte for low, high in ranges(members) for byte in range(low, high + 1)})
            yield ANY_BYTE ^ found if negated else found
