"""Commands about when keys expire."""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import GT_AND_LT, NX_AND_OTHERS, CommandError, unsupported_option
from common.replies import Reply
from server.args.expire_time import (
    EPOCH_MILLISECONDS,
    EPOCH_SECONDS,
    MILLISECONDS,
    SECONDS,
    Unit,
    deadline,
)
from server.args.integers import parse_integer
from server.keyspace.store import Store
from server.registry import CommandGroup

group = CommandGroup("generic")

NO_KEY = -2
NO_DEADLINE = -1


@group.writes("EXPIRE key seconds [NX | XX | GT | LT]", "Let a key expire after so many seconds.")
def expire(store: Store, key: bytes, seconds: bytes, *conditions: bytes) -> Reply:
    return _expire(store, key, seconds, SECONDS, conditions, b"expire")


@group.writes("PEXPIRE key milliseconds [NX | XX | GT | LT]", "Let a key expire after so many milliseconds.")
def pexpire(store: Store, key: bytes, milliseconds: bytes, *conditions: bytes) -> Reply:
    return _expire(store, key, milliseconds, MILLISECONDS, conditions, b"pexpire")


@group.writes("EXPIREAT key unix-time-seconds [NX | XX | GT | LT]", "Let a key expire at a moment, in seconds.")
def expireat(store: Store, key: bytes, seconds: bytes, *conditions: bytes) -> Reply:
    return _expire(store, key, seconds, EPOCH_SECONDS, conditions, b"expireat")


@group.writes(
    "PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]", "Let a key expire at a moment, in milliseconds."
)
def pexpireat(store: Store, key: bytes, milliseconds: bytes, *conditions: bytes) -> Reply:
    return _expire(store, key, milliseconds, EPOCH_MILLISECONDS, conditions, b"pexpireat")


def _expire(store: Store, key: bytes, time: bytes, unit: Unit, args: Sequence[bytes], command: bytes) -> Reply:
    conditions = _conditions(args)
    moment = deadline(parse_integer(time), unit, store.now(), command)
    if key not in store or not _is_wanted(store.deadline(key), moment, conditions):
        return 0
    store.expire_at(key, moment)
    return 1


def _conditions(args: Sequence[bytes]) -> set[bytes]:
    conditions: set[bytes] = set()
    for arg in args:
        if arg.upper() not in (b"NX", b"XX", b"GT", b"LT"):
            raise CommandError(unsupported_option(arg))
        conditions.add(arg.upper())
    if b"NX" in conditions and len(conditions) > 1:
        raise CommandError(NX_AND_OTHERS)
    if {b"GT", b"LT"} <= conditions:
        raise CommandError(GT_AND_LT)
    return conditions


def _is_wanted(present: int | None, moment: int, conditions: set[bytes]) -> bool:
    """Tell whether the conditions allow the change. No deadline is later than any deadline."""
    if b"NX" in conditions and present is not None:
        return False
    if b"XX" in conditions and present is None:
        return False
    if b"GT" in conditions and (present is None or moment <= present):
        return False
    return not (b"LT" in conditions and present is not None and moment >= present)


@group.writes("PERSIST key", "Let a key live for ever; return whether it had been going to expire.")
def persist(store: Store, key: bytes) -> Reply:
    return int(key in store and store.persist(key))


@group.reads("TTL key", "Return for how many seconds a key will live; -1 is for ever, -2 that there is no such key.")
def ttl(store: Store, key: bytes) -> Reply:
    left = _time_left(store, key)
    return left if left < 0 else (left + 500) // 1000


@group.reads("PTTL key", "Return for how many milliseconds a key will live; -1 is for ever, -2 that there is none.")
def pttl(store: Store, key: bytes) -> Reply:
    return _time_left(store, key)


@group.reads(
    "EXPIRETIME key", "Return the moment in seconds at which a key expires; -1 is never, -2 that there is none."
)
def expiretime(store: Store, key: bytes) -> Reply:
    moment = _moment(store, key)
    return moment if moment < 0 else (moment + 500) // 1000


@group.reads("PEXPIRETIME key", "Return the moment in milliseconds at which a key expires; -1 and -2 as for PTTL.")
def pexpiretime(store: Store, key: bytes) -> Reply:
    return _moment(store, key)


def _moment(store: Store, key: bytes) -> int:
    if key not in store:
        return NO_KEY
    moment = store.deadline(key)
    return NO_DEADLINE if moment is None else moment


def _time_left(store: Store, key: bytes) -> int:
    moment = _moment(store, key)
    return moment if moment < 0 else max(moment - store.now(), 0)
