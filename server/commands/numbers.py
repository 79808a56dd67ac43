"""Commands that take string values for numbers."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal

from common.errors import (
    DECREMENT_WOULD_OVERFLOW,
    NOT_A_FLOAT,
    WOULD_BE_INFINITE,
    CommandError,
)
from common.replies import Reply
from server.args.integers import SMALLEST, add, parse_integer
from server.keyspace.store import Store
from server.registry import CommandGroup

group = CommandGroup("string")

_FLOAT = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?0*[0-9]{1,5})?|[+-]?inf(?:inity)?", re.IGNORECASE)

LONGEST_FLOAT = 5 * 1024
"""A longer spelling is no number, as in Redis (``MAX_LONG_DOUBLE_CHARS``)."""

LARGEST_FLOAT = Decimal((2**64 - 1) << (2**14 - 64))
SMALLEST_FLOAT = Decimal(2) ** -(2**14 + 62)
"""Between these is what the C type holds in which Redis counts (the long double of x86-64)."""

# Sums are exact: there is room for the largest number's digits before the point, and for those printed behind it.
# Nothing is raised; the sum of inf and -inf is no number.
_EXACT = Context(prec=LARGEST_FLOAT.adjusted() + 64, rounding=ROUND_HALF_EVEN, traps=[])
_SMALLEST_STEP = Decimal("1e-17")
"""Results are rounded to 17 places behind the point, as Redis prints them."""


@group.writes("INCR key", "Add one to the integer that a key holds; a key that is not there counts as 0.")
def incr(store: Store, key: bytes) -> Reply:
    return incrby(store, key, 1)


@group.writes("DECR key", "Take one from the integer that a key holds; a key that is not there counts as 0.")
def decr(store: Store, key: bytes) -> Reply:
    return incrby(store, key, -1)


@group.writes("INCRBY key increment", "Add to the integer that a key holds; a key that is not there counts as 0.")
def incrby(store: Store, key: bytes, increment: int) -> Reply:
    value = store.get(key)
    total = add(0 if value is None else parse_integer(value), increment)
    store.update(key, b"%d" % total)
    return total


@group.writes("DECRBY key decrement", "Take from the integer that a key holds; a key that is not there counts as 0.")
def decrby(store: Store, key: bytes, decrement: int) -> Reply:
    if decrement == SMALLEST:  # it has no counterpart above zero
        raise CommandError(DECREMENT_WOULD_OVERFLOW)
    return incrby(store, key, -decrement)


@group.writes("INCRBYFLOAT key increment", "Add to the number that a key holds; a key that is not there counts as 0.")
def incrbyfloat(store: Store, key: bytes, increment: bytes) -> Reply:
    value = store.get(key)
    before = Decimal(0) if value is None else _parse_float(value)
    total = _EXACT.add(before, _parse_float(increment))
    if not total.is_finite() or abs(total) > LARGEST_FLOAT:
        raise CommandError(WOULD_BE_INFINITE)
    result = _print_float(total)
    store.update(key, result)
    return result


def _parse_float(arg: bytes) -> Decimal:
    if len(arg) > LONGEST_FLOAT or not _FLOAT.fullmatch(arg):
        raise CommandError(NOT_A_FLOAT)
    number = Decimal(arg.decode())
    if number.is_finite() and number and not SMALLEST_FLOAT < abs(number) <= LARGEST_FLOAT:
        raise CommandError(NOT_A_FLOAT)
    return number


def _print_float(number: Decimal) -> bytes:
    text = f"{number.quantize(_SMALLEST_STEP, context=_EXACT):f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return b"0" if text == "-0" else text.encode()
