"""LCS: the longest common subsequence of two values.

Each row of the table of lengths is stored as one integer with a bit per column, so that a whole row is computed by a
few operations on long integers (Hyyrö 2004, after Crochemore et al. 2001). A zero bit means that the length grows in
that column.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from common.errors import LCS_LEN_AND_IDX, LCS_TOO_LARGE, CommandError
from common.replies import Reply
from server.args.integers import parse_integer
from server.args.options import parse_options
from server.keyspace.store import Store
from server.registry import CommandGroup, KeySpec

group = CommandGroup("string")

MAX_TABLE_BITS = 512 * 1024 * 1024 // 4
"""Bits of the largest table. Redis bounds the cells of its table by this number, at four bytes each."""


@dataclass(slots=True)
class _Match:
    """A common substring, by its first and last position in each value."""

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
    keys=KeySpec(1, 2, 1),
)
def lcs(store: Store, key1: bytes, key2: bytes, *args: bytes) -> Reply:
    options = parse_options(args, flags=(b"LEN", b"IDX", b"WITHMATCHLEN"), valued=(b"MINMATCHLEN",))
    shortest = parse_integer(options.get(b"MINMATCHLEN", b"0"))
    if b"LEN" in options and b"IDX" in options:
        raise CommandError(LCS_LEN_AND_IDX)
    a, b = store.get(key1) or b"", store.get(key2) or b""
    if (len(a) + len(b) + 1) * (len(b) + 1) > MAX_TABLE_BITS:  # each step of the walk back reads one row
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
    """Return a row for each prefix of ``a``, the empty one first."""
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
    """Return an integer with a bit at each position at which ``b`` has the byte."""
    table = bytearray(b"0" * 256)
    table[byte] = ord("1")
    return int(b.translate(bytes(table))[::-1] or b"0", 2)


def _length(row: int, columns: int) -> int:
    """Return the length of the longest common subsequence with the first ``columns`` bytes of ``b``."""
    return columns - (row & ((1 << columns) - 1)).bit_count()


def _matches(a: bytes, b: bytes, rows: list[int]) -> Iterator[_Match]:
    """Walk back through the table and yield the common substrings, last one first. Ties are resolved as in Redis."""
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
