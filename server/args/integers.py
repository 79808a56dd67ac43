"""Integers as Redis reads and writes them: signed, 64 bits, decimal, with one spelling each."""

from __future__ import annotations

from functools import cache

from common.errors import INT_OUT_OF_RANGE, INVALID_CURSOR, NOT_AN_INTEGER, WOULD_OVERFLOW, CommandError
from common.replies import ErrorReply

MIN_INTEGER = -(2**63)
MAX_INTEGER = 2**63 - 1
MIN_INT = -(2**31)
MAX_INT = 2**31 - 1
MAX_INTEGER_LENGTH = len(b"%d" % MIN_INTEGER)
MAX_QUICK_DIGITS = MAX_INTEGER_LENGTH - 2
"""Digits of a positive number up to which it is in the range, and its successor too."""
SHARED_INTEGERS = 10_000
"""Integers from 0 on whose texts are made once, as in Redis (``OBJ_SHARED_INTEGERS``)."""
MAX_CURSOR = 2**64 - 1
MAX_CURSOR_LENGTH = 20


def parse_integer(arg: bytes) -> int:
    """Parse an integer. Raises `CommandError` for ``" 11"``, ``"+1"``, ``"01"``, ``"1.0"`` and the like."""
    # As Redis's `string2ll`. The usual case first: a positive number of so few digits that it is in the range.
    if arg.isdigit() and arg[0] != 0x30 and len(arg) <= MAX_QUICK_DIGITS:
        return int(arg)
    # Longer text cannot be valid, and the time of int() grows faster than its length.
    if len(arg) <= MAX_INTEGER_LENGTH:
        try:
            number = int(arg)
        except ValueError:
            pass
        else:
            # int() accepts blanks, signs, zeros and underscores. Only the spelling that we would print is valid.
            if b"%d" % number == arg and MIN_INTEGER <= number <= MAX_INTEGER:
                return number
    raise CommandError(NOT_AN_INTEGER)


@cache
def shared_integers() -> tuple[dict[bytes | None, int], dict[int, bytes]]:
    """Return the numbers of the shared texts, and the texts of the shared numbers.

    They spare a pipelined INCR a quarter of its instructions in user space (valgrind), because it need not parse and
    print a number. The tables take 1.3 MB, so they are made when they are first needed.
    """
    texts = {number: b"%d" % number for number in range(SHARED_INTEGERS)}
    return {text: number for number, text in texts.items()}, texts


def parse_int(arg: bytes, error: ErrorReply | None = None) -> int:
    """Parse an integer of 32 bits. Raises `CommandError` with ``error``, or as Redis's `getIntFromObjectOrReply`."""
    try:
        number = parse_integer(arg)
    except CommandError:
        raise CommandError(error or NOT_AN_INTEGER) from None
    if MIN_INT <= number <= MAX_INT:
        return number
    raise CommandError(error or INT_OUT_OF_RANGE)


def parse_cursor(arg: bytes) -> int:
    """Parse a cursor of SCAN: 64 bits without a sign, leading zeros allowed. Raises `CommandError`."""
    # bytes.isdigit accepts ASCII digits alone. Redis uses strtoul, which also accepts a sign: no cursor has one.
    if not arg.isdigit() or len(arg) > MAX_CURSOR_LENGTH or int(arg) > MAX_CURSOR:
        raise CommandError(INVALID_CURSOR)
    return int(arg)


def add(number: int, increment: int) -> int:
    """Add two integers. Raises `CommandError` if the sum exceeds 64 bits."""
    total = number + increment
    if MIN_INTEGER <= total <= MAX_INTEGER:
        return total
    raise CommandError(WOULD_OVERFLOW)
