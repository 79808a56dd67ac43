"""Integers as Redis reads and writes them: signed, 64 bit, in decimal, in one spelling only."""

from __future__ import annotations

from common.errors import INVALID_CURSOR, NOT_AN_INTEGER, WOULD_OVERFLOW, CommandError

SMALLEST = -(2**63)
LARGEST = 2**63 - 1
LONGEST = len(b"%d" % SMALLEST)
LARGEST_CURSOR = 2**64 - 1


def parse_integer(arg: bytes) -> int:
    """Read a word as an integer. Raises `CommandError` for ``" 11"``, ``"+1"``, ``"01"``, ``"1.0"`` and the like."""
    if len(arg) <= LONGEST:
        try:
            number = int(arg)
        except ValueError:
            pass
        else:
            # Only the spelling that a number would be written in names it.
            if b"%d" % number == arg and SMALLEST <= number <= LARGEST:
                return number
    raise CommandError(NOT_AN_INTEGER)


def parse_cursor(arg: bytes) -> int:
    """Read a word as a cursor of SCAN: 64 bits without a sign, leading zeros allowed. Raises `CommandError`."""
    if not arg.isdigit() or len(arg) > 20 or int(arg) > LARGEST_CURSOR:
        raise CommandError(INVALID_CURSOR)
    return int(arg)


def add(number: int, increment: int) -> int:
    """Add two integers. Raises `CommandError` where 64 bits can't hold the sum."""
    total = number + increment
    if SMALLEST <= total <= LARGEST:
        return total
    raise CommandError(WOULD_OVERFLOW)
