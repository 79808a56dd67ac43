"""Turn what a client says about expiry into a deadline: seconds or milliseconds, from now or since the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from common.errors import CommandError, invalid_expire_time
from server.args.integers import LARGEST, SMALLEST, parse_integer


@dataclass(frozen=True, slots=True)
class Unit:
    """How a time is given."""

    milliseconds: int
    from_now: bool


SECONDS = Unit(1000, from_now=True)
MILLISECONDS = Unit(1, from_now=True)
EPOCH_SECONDS = Unit(1000, from_now=False)
EPOCH_MILLISECONDS = Unit(1, from_now=False)

UNITS = {b"EX": SECONDS, b"PX": MILLISECONDS, b"EXAT": EPOCH_SECONDS, b"PXAT": EPOCH_MILLISECONDS}
"""The options of SET and GETEX that give a deadline."""

USAGE = "EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds"


def deadline(time: int, unit: Unit, now: int, command: bytes) -> int:
    """Return the moment in milliseconds since the epoch. Raises `CommandError` where 64 bits can't hold it."""
    moment = time * unit.milliseconds
    if SMALLEST <= moment <= LARGEST:
        if unit.from_now:
            moment += now
        if moment <= LARGEST:
            return moment
    raise CommandError(invalid_expire_time(command))


def positive_deadline(time: int, unit: Unit, now: int, command: bytes) -> int:
    """Do as ``deadline``, and refuse a time of zero or below, as SET does and EXPIRE does not."""
    if time <= 0:
        raise CommandError(invalid_expire_time(command))
    return deadline(time, unit, now, command)


def deadline_option(options: Mapping[bytes, bytes], now: int, command: bytes) -> int | None:
    """Return the deadline that one of the options in ``UNITS`` gives, or None without one. Raises `CommandError`."""
    for option, unit in UNITS.items():
        if option in options:
            return positive_deadline(parse_integer(options[option]), unit, now, command)
    return None
