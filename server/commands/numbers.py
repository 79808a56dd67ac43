"""Commands on string values that are numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal

from common.errors import DECREMENT_WOULD_OVERFLOW, NOT_A_FLOAT, WOULD_BE_INFINITE, CommandError
from common.replies import Reply
from server.args.integers import MAX_QUICK_DIGITS, MIN_INTEGER, add, parse_integer, shared_integers
from server.keyspace.store import Store
from server.registry import CommandGroup, Flag

group = CommandGroup("string", "string")

FLAGS = Flag.DENYOOM | Flag.FAST

# The quantifiers are possessive. Without that, [0-9]+\.?[0-9]* splits 5 KB of digits in every way, in quadratic time.
_FLOAT = re.compile(
    rb"[+-]?(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:e[+-]?0*[0-9]{1,5})?|[+-]?inf(?:inity)?", re.IGNORECASE
)

MAX_FLOAT_LENGTH = 5 * 1024 - 1
"""Bytes of the longest accepted number, as in Redis (``MAX_LONG_DOUBLE_CHARS``, which includes a final NUL)."""

MAX_FLOAT = Decimal((2**64 - 1) << (2**14 - 64))
MIN_FLOAT = Decimal(2) ** -(2**14 + 62)
"""The range of x86-64 ``long double``, in which Redis computes INCRBYFLOAT."""

# Sums are exact: the precision holds the largest number's digits before the point and the printed digits after it.
# No signal is trapped: the sum of inf and -inf is NaN.
_EXACT = Context(prec=MAX_FLOAT.adjusted() + 64, rounding=ROUND_HALF_EVEN, traps=[])
_PRINTED_STEP = Decimal("1e-17")
"""Results are rounded to 17 digits after the point, as Redis prints them."""


@group.writes("INCR key", "Increment an integer by 1; a missing key counts as 0.", FLAGS, since="1.0.0", event="incrby")
def incr(store: Store, key: bytes) -> Reply:
    value = store.get(key)
    numbers, texts = shared_integers()
    number = numbers.get(value)
    if number is not None:
        total = number + 1
        store.overwrite(key, texts.get(total) or b"%d" % total)
    # The usual case of `parse_integer` and `add`, without the cost of the calls.
    elif value is not None and value.isdigit() and value[0] != 0x30 and len(value) <= MAX_QUICK_DIGITS:
        total = int(value) + 1
        store.overwrite(key, b"%d" % total)
    else:
        return incrby(store, key, 1)
    return total


@group.writes("DECR key", "Decrement an integer by 1; a missing key counts as 0.", FLAGS, since="1.0.0", event="incrby")
def decr(store: Store, key: bytes) -> Reply:
    return incrby(store, key, -1)


@group.writes(
    "INCRBY key increment", "Increment an integer; a missing key counts as 0.", FLAGS, since="1.0.0", event="incrby"
)
def incrby(store: Store, key: bytes, increment: int) -> Reply:
    value = store.get(key)
    total = add(0 if value is None else parse_integer(value), increment)
    store.overwrite(key, b"%d" % total)
    return total


@group.writes(
    "DECRBY key decrement", "Decrement an integer; a missing key counts as 0.", FLAGS, since="1.0.0", event="incrby"
)
def decrby(store: Store, key: bytes, decrement: int) -> Reply:
    if decrement == MIN_INTEGER:  # its negation exceeds 64 bits
        raise CommandError(DECREMENT_WOULD_OVERFLOW)
    return incrby(store, key, -decrement)


def _add_columns(store: Store, keys: Sequence[bytes], increment: int) -> list[Reply | Exception] | None:
    """Execute several calls of INCR or DECR."""
    values = store.values_to_change(keys)
    if values is None:
        return None
    is_observed = store.is_observed
    outcomes: list[Reply | Exception] = []
    changed: list[bytes] = []
    after: list[bytes] = []
    before: list[bytes | None] = []
    numbers, texts = shared_integers()  # as in `incr`
    for key in keys:
        value = values.get(key)
        number = numbers.get(value)
        if number is not None:
            total = number + increment
            value_after = texts.get(total) or b"%d" % total
        elif value is not None and value.isdigit() and value[0] != 0x30 and len(value) <= MAX_QUICK_DIGITS:
            total = int(value) + increment
            value_after = b"%d" % total
        else:
            try:
                total = add(0 if value is None else parse_integer(value), increment)
            except CommandError as problem:
                outcomes.append(problem)
                continue
            value_after = b"%d" % total
        values[key] = value_after
        outcomes.append(total)
        if is_observed:
            changed.append(key)
            after.append(value_after)
            before.append(value)
    if changed:
        store.notify_changes(changed, after, before)
    return outcomes


def _incr_columns(store: Store, keys: Sequence[bytes]) -> list[Reply | Exception] | None:
    return _add_columns(store, keys, 1)


def _decr_columns(store: Store, keys: Sequence[bytes]) -> list[Reply | Exception] | None:
    return _add_columns(store, keys, -1)


group.by_columns("INCR", _incr_columns)
group.by_columns("DECR", _decr_columns)


@group.writes(
    "INCRBYFLOAT key increment",
    "Increment a floating-point number; a missing key counts as 0.",
    FLAGS,
    since="2.6.0",
    types={"increment": "double"},
    event="incrbyfloat",
)
def incrbyfloat(store: Store, key: bytes, increment: bytes) -> Reply:
    value = store.get(key)
    before = Decimal(0) if value is None else _parse_float(value)
    total = _EXACT.add(before, _parse_float(increment))
    if not total.is_finite() or abs(total) > MAX_FLOAT:
        raise CommandError(WOULD_BE_INFINITE)
    result = _print_float(total)
    store.overwrite(key, result)
    return result


def _parse_float(arg: bytes) -> Decimal:
    if len(arg) > MAX_FLOAT_LENGTH or not _FLOAT.fullmatch(arg):
        raise CommandError(NOT_A_FLOAT)
    number = Decimal(arg.decode())
    if number.is_finite() and number and not MIN_FLOAT < abs(number) <= MAX_FLOAT:
        raise CommandError(NOT_A_FLOAT)
    return number


def _print_float(number: Decimal) -> bytes:
    text = f"{number.quantize(_PRINTED_STEP, context=_EXACT):f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return b"0" if text == "-0" else text.encode()
