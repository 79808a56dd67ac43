"""Commands on the bits of a value. Bit 0 is the most significant bit of the first byte. BITFIELD is in `bitfields`.

SETBIT and GETBIT look at one byte. The others take time in proportion to the value, so they do that without the
keyspace lock. A value is processed in pieces, because one call for all of it would stop every other thread meanwhile.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from functools import partial, reduce

from common.codec import Args
from common.errors import BIT_OFFSET_OUT_OF_RANGE, BIT_OUT_OF_RANGE, BITOP_NOT_OF_MANY, BITPOS_NO_BIT, CommandError
from common.limits import KIB
from common.replies import Reply
from server.args.integers import parse_integer
from server.args.options import require
from server.keyspace.store import Store
from server.registry import OVERWRITE, READ, SECOND_KEY, CommandGroup, Flag, KeySpec, Stages

group = CommandGroup("bitmap", "bitmap")

PIECE_SIZE = 64 * KIB
"""Bytes that one operation on long integers processes."""

MAX_BYTES_UNDER_LOCK = 64 * KIB
"""Bytes that BITOP reads together if it computes its result while it holds the lock.

An I/O thread processes so many bytes itself.
"""

MAX_ATTEMPTS = 3
"""How often BITOP computes its result without the lock, if other clients change what it reads meanwhile."""


def parse_bit_offset(arg: bytes, max_size: int) -> int:
    """Parse the position of a bit in a value of at most ``max_size`` bytes. Raises `CommandError`."""
    try:
        offset = parse_integer(arg)
    except CommandError:
        offset = -1
    if not 0 <= offset < 8 * max_size:
        raise CommandError(BIT_OFFSET_OUT_OF_RANGE)
    return offset


@group.writes(
    "SETBIT key offset value",
    "Set a bit of a value; return the bit before.",
    Flag.DENYOOM | Flag.NO_BATCH,
    since="2.2.0",
    complexity="O(N) where N is the length of the value",
    types={"value": "integer"},
    event="setbit",
)
def setbit(store: Store, key: bytes, offset: bytes, value: bytes) -> Reply:
    at, place = divmod(parse_bit_offset(offset, store.max_value_size), 8)
    if value not in (b"0", b"1"):
        raise CommandError(BIT_OUT_OF_RANGE)
    bits = store.get(key) or b""
    before = bits[at] if at < len(bits) else 0
    mask = 0x80 >> place
    after = before | mask if value == b"1" else before & ~mask
    # As since Redis 7: a bit that has this value already is no change, unless the value grows.
    if after != before or at >= len(bits):
        store.write_range(key, at, bytes((after,)))
    return int(before & mask != 0)


@group.reads("GETBIT key offset", "Return a bit of a value; bits beyond its end are 0.", Flag.FAST, since="2.2.0")
def getbit(store: Store, key: bytes, offset: bytes) -> Reply:
    at, place = divmod(parse_bit_offset(offset, store.max_value_size), 8)
    bits = store.read(key) or b""
    return bits[at] >> (7 - place) & 1 if at < len(bits) else 0


# ---------------------------------------------------------------- BITCOUNT, BITPOS


def _is_short(store: Store, args: Args) -> bool:
    return len(store.get(args[1]) or b"") <= MAX_BYTES_UNDER_LOCK


@group.reads_in_stages(
    "BITCOUNT key [start end [BYTE | BIT]]",
    "Count the bits that are 1, in a range of bytes or bits if it is given.",
    is_short=_is_short,
    since="2.6.0",
    complexity="O(N) where N is the length of the value or the range",
)
def bitcount(key: bytes, *args: bytes) -> Stages[Store, bytes | None]:
    value = yield lambda store: store.read(key)
    # The order of the checks is that of `bitcountCommand`: with a missing key, every range is valid.
    if value is None:
        return 0
    if not args:
        return _count(value, 0, 8 * len(value) - 1)
    require(2 <= len(args) <= 3)
    start, end = map(parse_integer, args[:2])
    if start < 0 and end < 0 and start > end:
        return 0
    return _count(value, *_bit_range(start, end, len(value), in_bits=_is_in_bits(args[2:])))


@group.reads_in_stages(
    "BITPOS key bit [start [end [BYTE | BIT]]]",
    "Return the position of the first bit that is 1 or 0; -1 if none is.",
    is_short=_is_short,
    since="2.8.7",
    complexity="O(N) where N is the length of the value or the range",
)
def bitpos(key: bytes, bit: int, *args: bytes) -> Stages[Store, bytes | None]:
    if bit not in (0, 1):
        raise CommandError(BITPOS_NO_BIT)
    value = yield lambda store: store.read(key)
    # As in `bitposCommand`: a missing key is an infinite number of zeros, whatever the range.
    if value is None:
        return -1 if bit else 0
    require(len(args) <= 3)
    start = parse_integer(args[0]) if args else 0
    in_bits = _is_in_bits(args[2:])
    end = parse_integer(args[1]) if len(args) > 1 else -1
    first, last = _bit_range(start, end, len(value), in_bits=in_bits)
    if first > last:
        return -1
    found = _find(value, bit, first, last)
    if found is not None:
        return found
    # Without an end, the value counts as followed by zeros.
    return 8 * len(value) if bit == 0 and len(args) < 2 else -1


def _is_in_bits(unit: Sequence[bytes]) -> bool:
    """Return whether the optional last argument is BIT. Raises `CommandError` if it is neither BIT nor BYTE."""
    names = [each.upper() for each in unit]
    require(names in ([], [b"BIT"], [b"BYTE"]))
    return names == [b"BIT"]


def _bit_range(start: int, end: int, size: int, *, in_bits: bool) -> tuple[int, int]:
    """Return the first and the last bit of a range. An empty range has the last one before the first one.

    ``start`` and ``end`` count bytes or bits. Negative ones count from the end of the value, which has ``size`` bytes.
    """
    total = 8 * size if in_bits else size
    first = max(start + total, 0) if start < 0 else start
    last = min(max(end + total, 0) if end < 0 else end, total - 1)
    return (first, last) if in_bits else (8 * first, 8 * last + 7)


def _count(value: bytes, first: int, last: int) -> int:
    """Count the bits that are 1 from ``first`` to ``last``."""
    if first > last:
        return 0
    low, high = first // 8, last // 8
    starts = range(low, high + 1, PIECE_SIZE)
    ones = sum(int.from_bytes(value[at : min(at + PIECE_SIZE, high + 1)]).bit_count() for at in starts)
    before = value[low] >> (8 - first % 8)
    after = value[high] & (0x7F >> last % 8)
    return ones - before.bit_count() - after.bit_count()


def _find(value: bytes, bit: int, first: int, last: int) -> int | None:
    """Return the first position of a bit from ``first`` to ``last``, or None."""
    low, high = first // 8, last // 8
    mask = 0xFF >> first % 8  # of the first byte
    for at in range(low, high + 1, PIECE_SIZE):
        piece = value[at : min(at + PIECE_SIZE, high + 1)]
        size = 8 * len(piece)
        every = (mask + 1 << size - 8) - 1
        bits = int.from_bytes(piece)
        wanted = (bits if bit else ~bits) & every
        if wanted:
            found = 8 * at + size - wanted.bit_length()
            return found if found <= last else None
        mask = 0xFF
    return None


# ---------------------------------------------------------------- BITOP


def _invert(values: Sequence[bytes]) -> bytes:
    (value,) = values
    return b"".join(value[at : at + PIECE_SIZE].translate(_INVERTED) for at in range(0, len(value), PIECE_SIZE))


def _unite(values: Sequence[bytes]) -> bytes:
    return _combine(operator.or_, _distinct(values), max(map(len, values)))


def _intersect(values: Sequence[bytes]) -> bytes:
    longest, shortest = max(map(len, values)), min(map(len, values))
    # A value counts as followed by zeros, up to the length of the longest one.
    return _combine(operator.and_, _distinct(values), shortest) + bytes(longest - shortest)


def _differ(values: Sequence[bytes]) -> bytes:
    # A value that is given an even number of times cancels itself out, but still counts for the length.
    left: dict[int, bytes] = {}
    for each in values:
        if left.pop(id(each), None) is None:
            left[id(each)] = each
    size = max(map(len, left.values()), default=0)
    return _combine(operator.xor, left.values(), size) + bytes(max(map(len, values)) - size)


_INVERTED = bytes(range(255, -1, -1))
OPERATIONS = {b"AND": _intersect, b"OR": _unite, b"XOR": _differ, b"NOT": _invert}


def _distinct(values: Sequence[bytes]) -> Iterable[bytes]:
    """Return each object once. A request can repeat a key with a large value a million times."""
    return {id(each): each for each in values}.values()


def _combine(operation: Callable[[int, int], int], values: Iterable[bytes], size: int) -> bytes:
    """Apply an operation to the first ``size`` bytes of all values, which count as followed by zeros.

    At least one value has so many bytes, and for AND all have.
    """
    longest_first = sorted(values, key=len, reverse=True)
    pieces: list[bytes] = []
    for at in range(0, size, PIECE_SIZE):
        while len(longest_first[-1]) <= at:  # zeros change nothing, and a request can have a million short values
            longest_first.pop()
        end = min(at + PIECE_SIZE, size)
        numbers = (int.from_bytes(each[at:end], "little") for each in longest_first)
        pieces.append(reduce(operation, numbers).to_bytes(end - at, "little"))
    return b"".join(pieces)


class _BitOperation:
    """One BITOP. It computes its result of values that it has read before, and stores it if the keys still have them.

    Values are immutable, so a key that has the same object has not changed, or has changed back.
    """

    def __init__(self, operation: bytes, destination: bytes, keys: Sequence[bytes]) -> None:
        self._compute = OPERATIONS[operation]
        self._destination = destination
        self._keys = keys
        self._values: list[bytes] | None = None
        self.result = b""

    def compute(self) -> None:
        """Compute the result of the values that `try_store` has read."""
        assert self._values is not None, "the values have been read"
        self.result = self._compute(self._values)

    def try_store(self, store: Store, max_bytes: float = MAX_BYTES_UNDER_LOCK) -> bool:
        """Store the result if it is that of the present values, under the lock. Otherwise note them.

        It is computed here if they have at most ``max_bytes`` together. Returns whether the result was stored.
        """
        values = [store.read(key) or b"" for key in self._keys]
        if self._values is None or not all(map(operator.is_, values, self._values)):
            self._values = values
            if sum(map(len, values)) > max_bytes:
                return False
            self.compute()
        if self.result:
            store.set(self._destination, self.result)
        else:
            store.delete(self._destination)
        return True


def _has_short_sources(store: Store, args: Args) -> bool:
    return sum(len(store.get(key) or b"") for key in args[3:]) <= MAX_BYTES_UNDER_LOCK


@group.writes_in_several_steps(
    "BITOP <AND | OR | XOR | NOT> destkey key [key ...]",
    "Store the AND, OR, XOR or NOT of values; return the length of the result.",
    Flag.DENYOOM,
    is_short=_has_short_sources,
    keys=(SECOND_KEY.used(OVERWRITE), KeySpec(3, -1, 1).used(READ)),
    since="2.6.0",
    complexity="O(N) where N is the length of the values together",
)
def bitop(operation: bytes, destkey: bytes, key: bytes, *more: bytes) -> Stages[Store, bool]:
    name = operation.upper()
    require(name in OPERATIONS)
    if name == b"NOT" and more:
        raise CommandError(BITOP_NOT_OF_MANY)
    work = _BitOperation(name, destkey, (key, *more))
    for _ in range(MAX_ATTEMPTS):
        if (yield work.try_store):
            return len(work.result)
        work.compute()
    # The keys change faster than their values can be combined. Under the lock the command ends, as in Redis.
    yield partial(work.try_store, max_bytes=float("inf"))
    return len(work.result)
