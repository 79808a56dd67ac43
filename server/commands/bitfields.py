"""BITFIELD and BITFIELD_RO: read and change integers of any width at any bit of a value.

The operations of a command read and write a `Patch`: the changed bytes beside the value. So a command copies the value
once, however many operations it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from common.errors import (
    BIT_OFFSET_OUT_OF_RANGE,
    BITFIELD_READ_ONLY,
    INVALID_BITFIELD_TYPE,
    INVALID_OVERFLOW_TYPE,
    CommandError,
)
from common.replies import Reply
from server.args.integers import parse_integer
from server.args.options import require
from server.commands.bitmaps import parse_bit_offset
from server.keyspace.store import Store
from server.registry import CHANGE, ONE_KEY, CommandGroup, Flag, KeyFlag

group = CommandGroup("bitmap", "bitmap")

WIDTHS = {b"i": range(1, 65), b"u": range(1, 64)}
"""Bits of signed and of unsigned integers. Those have one less, because replies are signed integers of 64 bits."""

OVERFLOW_TYPES = (b"WRAP", b"SAT", b"FAIL")


@dataclass(frozen=True, slots=True)
class Field:
    """An integer in a value, by its first bit."""

    offset: int
    width: int
    signed: bool

    @property
    def end(self) -> int:
        """The bit after the last one."""
        return self.offset + self.width

    @property
    def lowest(self) -> int:
        return -1 << self.width - 1 if self.signed else 0

    @property
    def highest(self) -> int:
        return self.lowest + (1 << self.width) - 1

    def wrap(self, number: int) -> int:
        """Return the number that has the same low bits and fits."""
        return (number - self.lowest) % (1 << self.width) + self.lowest

    def limit(self, number: int, overflow: bytes) -> int | None:
        """Return the number if it fits, and what it becomes if it does not: None if the operation fails."""
        if self.lowest <= number <= self.highest:
            return number
        if overflow == b"WRAP":
            return self.wrap(number)
        if overflow == b"SAT":
            return self.highest if number > 0 else self.lowest
        return None


@dataclass(frozen=True, slots=True)
class _Operation:
    """GET, SET or INCRBY. The first one has no operand."""

    name: bytes
    field: Field
    operand: int = 0
    overflow: bytes = b"WRAP"

    def run(self, patch: Patch) -> Reply:
        """Run the operation, and return its reply."""
        field = self.field
        before = patch.read(field)
        if self.name == b"GET":
            return before
        if self.name == b"SET":
            # As in Redis, which converts the operand to 64 bits without a sign: SAT makes of -1 the highest number.
            after = field.limit(self.operand if field.signed else self.operand % 2**64, self.overflow)
        else:
            after = field.limit(before + self.operand, self.overflow)
        if after is None:
            return None
        patch.write(field, after)
        return before if self.name == b"SET" else after


class Patch:
    """A value and the bytes of it that were changed."""

    def __init__(self, value: bytes) -> None:
        self._value = value
        self._changed: dict[int, int] = {}

    def read(self, field: Field) -> int:
        """Return an integer. Bits beyond the end of the value are 0."""
        first, end = field.offset // 8, (field.end + 7) // 8
        bits = int.from_bytes(self._bytes(first, end)) >> -field.end % 8
        return field.wrap(bits)

    def write(self, field: Field, number: int) -> None:
        """Store an integer that fits into the field."""
        first, end = field.offset // 8, (field.end + 7) // 8
        places = (1 << field.width) - 1 << -field.end % 8
        bits = int.from_bytes(self._bytes(first, end)) & ~places | number << -field.end % 8 & places
        self._changed.update(enumerate(bits.to_bytes(end - first), first))

    def grow(self, size: int) -> None:
        """Make the value at least as long as this, with zeros."""
        if size > len(self._value):
            self._changed.setdefault(size - 1, 0)

    def _bytes(self, first: int, end: int) -> bytes:
        value = self._value[first:end].ljust(end - first, b"\0")
        return bytes(map(self._changed.get, range(first, end), value)) if self._changed else value

    def part(self) -> tuple[int, bytes] | None:
        """Return the shortest part of the new value that has all changes, with its offset. None without changes."""
        value = self._value
        changed = {at: byte for at, byte in self._changed.items() if at >= len(value) or value[at] != byte}
        if not changed:
            return None
        start, end = min(changed), max(changed) + 1
        part = bytearray(value[start:end].ljust(end - start, b"\0"))
        for at, byte in changed.items():
            part[at - start] = byte
        return start, bytes(part)


@group.writes(
    "BITFIELD key [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] "
    "<SET encoding offset value | INCRBY encoding offset increment> ...]",
    "Read and change integers of any width, such as u8 or i5, in a value.",
    Flag.DENYOOM | Flag.NO_BATCH,
    keys=ONE_KEY.used(CHANGE | KeyFlag.VARIABLE_FLAGS),
    since="3.2.0",
    complexity="O(N) where N is the length of the value, and O(1) for each operation",
    event="setbit",
)
def bitfield(store: Store, key: bytes, *args: bytes) -> Reply:
    operations = _parse(args, store.max_value_size)
    value = store.get(key)
    patch = Patch(value or b"")
    last_written = max((each.field.end for each in operations if each.name != b"GET"), default=0)
    if last_written > 8 * store.max_value_size:
        raise CommandError(BIT_OFFSET_OUT_OF_RANGE)
    # Before the operations, as in Redis: the value grows even if all of them fail.
    patch.grow((last_written + 7) // 8)
    replies: list[Reply] = [each.run(patch) for each in operations]
    part = patch.part()
    if part is not None:
        store.write_range(key, *part)
    return replies


@group.reads(
    "BITFIELD_RO key [GET encoding offset [GET encoding offset ...]]",
    "Read integers of any width, such as u8 or i5, in a value.",
    Flag.FAST,
    since="6.0.0",
    complexity="O(1) for each operation",
)
def bitfield_ro(store: Store, key: bytes, *args: bytes) -> Reply:
    operations = _parse(args, store.max_value_size)
    if any(each.name != b"GET" for each in operations):
        raise CommandError(BITFIELD_READ_ONLY)
    patch = Patch(store.read(key) or b"")
    return [each.run(patch) for each in operations]


def _parse(args: tuple[bytes, ...], max_size: int) -> list[_Operation]:
    """Parse the operations. Raises `CommandError` for the first mistake."""
    operations: list[_Operation] = []
    overflow = b"WRAP"
    rest = iter(args)
    for arg in rest:
        name = arg.upper()
        count = _ARGUMENTS.get(name, 0)
        own = list(islice(rest, count))
        require(count > 0 and len(own) == count)
        if name == b"OVERFLOW":
            overflow = own[0].upper()
            if overflow not in OVERFLOW_TYPES:
                raise CommandError(INVALID_OVERFLOW_TYPE)
        else:
            field = _parse_field(own[0], own[1], max_size)
            operands = map(parse_integer, own[2:])
            operations.append(_Operation(name, field, next(operands, 0), overflow))
    return operations


_ARGUMENTS = {b"GET": 2, b"SET": 3, b"INCRBY": 3, b"OVERFLOW": 1}
"""How many arguments follow each name."""


def _parse_field(encoding: bytes, offset: bytes, max_size: int) -> Field:
    kind = encoding[:1]
    try:
        width = parse_integer(encoding[1:])
    except CommandError:
        width = 0
    if width not in WIDTHS.get(kind, ()):
        raise CommandError(INVALID_BITFIELD_TYPE)
    # With `#` the offset counts fields of this width.
    unit = width if offset[:1] == b"#" else 1
    first = unit * parse_bit_offset(offset.removeprefix(b"#"), max_size)
    if first >= 8 * max_size:
        raise CommandError(BIT_OFFSET_OUT_OF_RANGE)
    return Field(first, width, signed=kind == b"i")
