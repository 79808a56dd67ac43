"""Convert a client's expiry (seconds or milliseconds, from now or since the epoch) to a time in ms since the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from common.errors import CommandError, invalid_expire_time
from server.args.integers import MAX_INTEGER, MIN_INTEGER, parse_integer


@dataclass(frozen=True, slots=True)
class Unit:
    """The unit of an expiry, and whether it counts from now or since the epoch."""

    milliseconds: int
    from_now: bool


SECONDS = Unit(1000, from_now=True)
MILLISECONDS = Unit(1, from_now=True)
EPOCH_SECONDS = Unit(1000, from_now=False)
EPOCH_MILLISECONDS = Unit(1, from_now=False)

UNITS = {b"EX": SECONDS, b"PX": MILLISECONDS, b"EXAT": EPOCH_SECONDS, b"PXAT": EPOCH_MILLISECONDS}
"""The options of SET and GETEX that set an expiry."""

USAGE = "EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds"


def to_expires_at(time: int, unit: Unit, now: int, command: bytes) -> int:
    """Return the expiry in milliseconds since the epoch. Raises `CommandError` if it exceeds 64 bits.

    ``now`` is the time of the step, in milliseconds since the epoch. ``command`` is the command's name in lower case,
    for the error. The result may be in the past.
    """
    # Python's integers do not overflow. Redis checks its 64 bits after the conversion to milliseconds, and again after
    # adding the present time, so a negative time that is too small is refused before the addition makes it fit.
    expires_at = time * unit.milliseconds
    if MIN_INTEGER <= expires_at <= MAX_INTEGER:
        if unit.from_now:
            expires_at += now
        if expires_at <= MAX_INTEGER:
            return expires_at
    raise CommandError(invalid_expire_time(command))


def to_positive_expires_at(time: int, unit: Unit, now: int, command: bytes) -> int:
    """Do the same, and refuse a time that is not positive, as SET does and EXPIRE does not."""
    # EXPIRE with such a time deletes the key (`expireGenericCommand`). For SET, SETEX and GETEX it is an error.
    if time <= 0:
        raise CommandError(invalid_expire_time(command))
    return to_expires_at(time, unit, now, command)


def expires_at_option(options: Mapping[bytes, bytes], now: int, command: bytes) -> int | None:
    """Return the expiry that one of the options in `UNITS` sets, or None without one. Raises `CommandError`."""
    # At most one of them is in the options: the callers declare them as exclusive.
    for option, unit in UNITS.items():
        if option in options:
            return to_positive_expires_at(parse_integer(options[option]), unit, now, command)
    return None
