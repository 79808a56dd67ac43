"""LCS: the longest common subsequence of two values. The keyspace lock is held only to look the values up.

The table of lengths has a row per byte of the shorter value. A row is one integer with a bit per byte of the longer
value, so that it is computed by a few operations on long integers (Hyyrö 2004, after Crochemore et al. 2001). A zero
bit means that the length grows in that column. The walk back through the table reads each row once. So the time is
proportional to the number of cells, divided by the bits of a machine word, however different the lengths are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from common.errors import LCS_LEN_AND_IDX, LCS_TOO_LARGE, CommandError
from common.replies import Reply
from server.args.integers import parse_integer
from server.args.options import parse_options
from server.keyspace.store import Store
from server.registry import CommandGroup, KeySpec, Stages

group = CommandGroup("string", "string")

MAX_TABLE_CELLS = 512 * 1024 * 1024 // 4
"""Cells of the largest table, as in Redis: four bytes each, within the default of ``proto-max-bulk-len``."""

PIECE_SIZE = 64 * 1024
"""Bytes of a value that are converted to bits at a time. One call for all would stop every other thread meanwhile."""


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


@group.reads_in_stages(
    "LCS key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]",
    "Find the longest common subsequence of two values.",
    keys=KeySpec(1, 2, 1),
    since="7.0.0",
    complexity="O(N*M) where N and M are the lengths of the values",
)
def lcs(key1: bytes, key2: bytes, *args: bytes) -> Stages[Store, tuple[bytes, bytes]]:
    options = parse_options(args, flags=(b"LEN", b"IDX", b"WITHMATCHLEN"), valued=(b"MINMATCHLEN",))
    shortest = parse_integer(options.get(b"MINMATCHLEN", b"0"))
    if b"LEN" in options and b"IDX" in options:
        raise CommandError(LCS_LEN_AND_IDX)
    a, b = yield lambda store: (store.read(key1) or b"", store.read(key2) or b"")
    if (len(a) + 1) * (len(b) + 1) > MAX_TABLE_CELLS:
        raise CommandError(LCS_TOO_LARGE)
    if b"LEN" in options:
        return _length(a, b)
    matches = list(_matches(a, b))
    if b"IDX" not in options:
        return b"".join(a[each.first_a : each.last_a + 1] for each in reversed(matches))
    shown = [_show(each, with_length=b"WITHMATCHLEN" in options) for each in matches if each.length >= shortest]
    return {b"matches": shown, b"len": sum(each.length for each in matches)}


# ---------------------------------------------------------------- the table


def _rows(shorter: bytes, longer: bytes) -> Iterator[int]:
    """Yield a row for each prefix of the shorter value, the empty one first."""
    every = (1 << len(longer)) - 1
    places = {byte: _places(byte, longer) for byte in set(shorter)}
    row = every
    yield row
    for byte in shorter:
        common = row & places[byte]
        row = ((row + common) | (row - common)) & every
        yield row


def _places(byte: int, value: bytes) -> int:
    """Return an integer with a bit at each position at which the value has the byte."""
    digits = bytearray(b"0" * 256)
    digits[byte] = ord("1")
    pieces = [
        int(value[at : at + PIECE_SIZE].translate(digits)[::-1], 2).to_bytes(PIECE_SIZE // 8, "little")
        for at in range(0, len(value), PIECE_SIZE)
    ]
    return int.from_bytes(b"".join(pieces), "little")


def _length_to(row: int, columns: int) -> int:
    """Return the length of the longest common subsequence with the first ``columns`` bytes of the longer value."""
    return columns - (row & ((1 << columns) - 1)).bit_count()


def _length(a: bytes, b: bytes) -> int:
    shorter, longer = sorted((a, b), key=len)
    row = 0
    for row in _rows(shorter, longer):  # noqa: B007 - only the last one counts, and one at a time is stored
        pass
    return _length_to(row, len(longer))


# ---------------------------------------------------------------- the way back


def _matches(a: bytes, b: bytes) -> Iterator[_Match]:
    """Yield the common substrings, last one first."""
    match: _Match | None = None
    for i, j in _common_bytes(a, b):
        if match and match.first_a == i + 1 and match.first_b == j + 1:
            match.first_a, match.first_b = i, j
            continue
        if match:
            yield match
        match = _Match(i, i, j, j)
    if match:
        yield match


def _common_bytes(a: bytes, b: bytes) -> Iterator[tuple[int, int]]:
    """Walk back through the table and yield the positions of the subsequence's bytes in both values, last one first.

    The walk is Redis's, because its ties decide which subsequence is found. From the cell ``(i, j)``, it takes the byte
    if ``a[i - 1] == b[j - 1]``, and goes to ``(i - 1, j)`` if the length there is greater than at ``(i, j - 1)``, and
    else to ``(i, j - 1)``.
    """
    return _walk_rows_of_a(a, b) if len(a) < len(b) else _walk_rows_of_b(a, b)


def _walk_rows_of_a(a: bytes, b: bytes) -> Iterator[tuple[int, int]]:
    """Do so if there is a row per byte of ``a``: at most one step per row.

    In a row the walk goes left until the bytes are equal, or until the length grows in this column, so that it is less
    at ``(i, j - 1)``. Then it goes up.
    """
    rows = list(_rows(a, b))
    j = len(b)
    for i in range(len(a), 0, -1):
        mask = (1 << j) - 1
        growth = (rows[i] & mask ^ mask).bit_length()
        equal = b.rfind(a[i - 1], max(growth - 1, 0), j) + 1
        j = equal or growth
        if not j:
            return
        if equal:
            j -= 1
            yield i - 1, j


def _walk_rows_of_b(a: bytes, b: bytes) -> Iterator[tuple[int, int]]:
    """Do so if there is a row per byte of ``b``: at most one step per row.

    In a row the walk goes up if the length does not need ``b[j - 1]``. Else it goes left to the last byte that equals
    it, because the length in between is the same in this row, and less in the row above.
    """
    rows = list(_rows(b, a))
    i = len(a)
    length = _length_to(rows[-1], i)
    for j in range(len(b), 0, -1):
        if not i:
            return
        if a[i - 1] != b[j - 1]:
            if length == _length_to(rows[j - 1], i):
                continue
            i = a.rfind(b[j - 1], 0, i) + 1
        i -= 1
        length -= 1
        yield i, j - 1


def _show(match: _Match, *, with_length: bool) -> Reply:
    pair: list[Reply] = [[match.first_a, match.last_a], [match.first_b, match.last_b]]
    return [*pair, match.length] if with_length else pair
