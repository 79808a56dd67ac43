"""LCS: the longest common subsequence of two values.

The table of lengths is kept as one number a row, a bit a column, in which a whole row is computed by a few operations
on long integers (Hyyrö 2004, after Crochemore et al. 2001). A zero bit says that the length grows in that column.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from common.errors import LCS_LEN_AND_IDX, LCS_TOO_LARGE, CommandError
from common.replies import Reply
from server.args.integers import parse_integer
from server.args.options import read_options
from server.keyspace.store import Store
from server.registry import CommandGroup, Keys

group = CommandGroup("string")

LARGEST_TABLE = 512 * 1024 * 1024 // 4
"""How many bits may be looked at. Redis bounds the table's cells by this, at four bytes each."""


@dataclass(slots=True)
class _Match:
    """A stretch that both values have, by its first and last place in each."""

    first_a: int
    last_a: int
    first_b: int
    last_b: int

    @property
    def length(self) -> int:
        return self.last_a - self.first_a + 1


@group.reads(
    "LCS key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
    "Find the longest common subsequence of two values.",
    keys=Keys(1, 2, 1),
)
def lcs(store: Store, key1: bytes, key2: bytes, *args: bytes) -> Reply:
    options = read_options(args, flags=(b"LEN", b"IDX", b"WITHMATCHLEN"), valued=(b"MINMATCHLEN",))
    shortest = parse_integer(options.get(b"MINMATCHLEN", b"0"))
    if b"LEN" in options and b"IDX" in options:
        raise CommandError(LCS_LEN_AND_IDX)
    a, b = store.get(key1) or b"", store.get(key2) or b""
    if (len(a) + len(b) + 1) * (len(b) + 1) > LARGEST_TABLE:  # each step on the way back looks at one row
        raise CommandError(LCS_TOO_LARGE)
    rows = _rows(a, b)
    length = _length(rows[-1], len(b))
    if b"LEN" in options:
        return length
    matches = list(_matches(a, b, rows))
    if b"IDX" not in options:
        return b"".join(a[each.first_a : each.last_a + 1] for each in reversed(matches))
    shown = [_show(each, with_length=b"WITHMATCHLEN" in options) for each in matches if each.length >= shortest]
    return {b"matches": shown, b"len": length}


def _rows(a: bytes, b: bytes) -> list[int]:
    """Return a row for each beginning of ``a``, the empty one first."""
    every = (1 << len(b)) - 1
    places = {byte: _places(byte, b) for byte in set(a)}
    rows = [every]
    row = every
    for byte in a:
        common = row & places[byte]
        row = ((row + common) | (row - common)) & every
        rows.append(row)
    return rows


def _places(byte: int, b: bytes) -> int:
    """Return the number that has a bit wherever ``b`` has the byte."""
    table = bytearray(b"0" * 256)
    table[byte] = ord("1")
    return int(b.translate(bytes(table))[::-1] or b"0", 2)


def _length(row: int, columns: int) -> int:
    """Return the length of the longest common subsequence with the first so many bytes of ``b``."""
    return columns - (row & ((1 << columns) - 1)).bit_count()


def _matches(a: bytes, b: bytes, rows: list[int]) -> Iterator[_Match]:
    """Walk back through the table, yield the stretches from last to first; ties go as they go in Redis."""
    i, j = len(a), len(b)
    match: _Match | None = None
    while i and j:
        if a[i - 1] == b[j - 1]:
            i, j = i - 1, j - 1
            if match and match.first_a == i + 1 and match.first_b == j + 1:
                match.first_a, match.first_b = i, j
                continue
            if match:
                yield match
            match = _Match(i, i, j, j)
        elif _length(rows[i - 1], j) > _length(rows[i], j - 1):
            i -= 1
        else:
            j -= 1
    if match:
        yield match


def _show(match: _Match, *, with_length: bool) -> Reply:
    pair: list[Reply] = [[match.first_a, match.last_a], [match.first_b, match.last_b]]
    return [*pair, match.length] if with_length else pair
