"""Commands on the expiry of keys."""

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
    to_expires_at,
)
from server.args.integers import parse_integer
from server.keyspace.store import Store
from server.registry import ONE_KEY, UPDATE, CommandGroup, Flag

group = CommandGroup("generic", "keyspace")

FAST_LOOK = Flag.FAST | Flag.NO_TOUCH

# The replies of TTL and its variants, as since Redis 2.8.
NO_KEY = -2
NO_TTL = -1


@group.writes(
    "EXPIRE key seconds [NX | XX | GT | LT]",
    "Set the time to live of a key in seconds.",
    Flag.FAST,
    keys=ONE_KEY.used(UPDATE),
    since="1.0.0",
)
def expire(store: Store, key: bytes, seconds: bytes, *conditions: bytes) -> Reply:
    return _expire(store, key, seconds, SECONDS, conditions, b"expire")


@group.writes(
    "PEXPIRE key milliseconds [NX | XX | GT | LT]",
    "Set the time to live of a key in milliseconds.",
    Flag.FAST,
    keys=ONE_KEY.used(UPDATE),
    since="2.6.0",
)
def pexpire(store: Store, key: bytes, milliseconds: bytes, *conditions: bytes) -> Reply:
    return _expire(store, key, milliseconds, MILLISECONDS, conditions, b"pexpire")


@group.writes(
    "EXPIREAT key unix-time-seconds [NX | XX | GT | LT]",
    "Set the expiry of a key, in seconds since the epoch.",
    Flag.FAST,
    keys=ONE_KEY.used(UPDATE),
    since="1.2.0",
)
def expireat(store: Store, key: bytes, seconds: bytes, *conditions: bytes) -> Reply:
    return _expire(store, key, seconds, EPOCH_SECONDS, conditions, b"expireat")


@group.writes(
    "PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]",
    "Set the expiry of a key, in milliseconds since the epoch.",
    Flag.FAST,
    keys=ONE_KEY.used(UPDATE),
    since="2.6.0",
)
def pexpireat(store: Store, key: bytes, milliseconds: bytes, *conditions: bytes) -> Reply:
    return _expire(store, key, milliseconds, EPOCH_MILLISECONDS, conditions, b"pexpireat")


def _expire(store: Store, key: bytes, time: bytes, unit: Unit, args: Sequence[bytes], command: bytes) -> Reply:
    # In the order of `expireGenericCommand`: options, the number, its range, and only then whether the key exists. So a
    # wrong request gets its error even without the key.
    conditions = _conditions(args)
    expires_at = to_expires_at(parse_integer(time), unit, store.now(), command)
    if key not in store or not _conditions_hold(store.expires_at(key), expires_at, conditions):
        return 0
    # A time that is over deletes the key, and counts as a success: Redis replies 1, too.
    store.expire_at(key, expires_at)
    return 1


def _conditions(args: Sequence[bytes]) -> set[bytes]:
    conditions: set[bytes] = set()
    for arg in args:
        if arg.upper() not in (b"NX", b"XX", b"GT", b"LT"):
            raise CommandError(unsupported_option(arg))
        conditions.add(arg.upper())
    # The two texts are Redis's (`parseExtendedExpireArgumentsOrReply`). XX may be combined with GT or LT.
    if b"NX" in conditions and len(conditions) > 1:
        raise CommandError(NX_AND_OTHERS)
    if {b"GT", b"LT"} <= conditions:
        raise CommandError(GT_AND_LT)
    return conditions


def _conditions_hold(before: int | None, expires_at: int, conditions: set[bytes]) -> bool:
    """Return whether the conditions allow the change. No expiry counts as later than any expiry, as in Redis."""
    if b"NX" in conditions and before is not None:
        return False
    if b"XX" in conditions and before is None:
        return False
    # So GT never changes a key without expiry, and LT always does.
    if b"GT" in conditions and (before is None or expires_at <= before):
        return False
    return not (b"LT" in conditions and before is not None and expires_at >= before)


@group.writes(
    "PERSIST key",
    "Remove the expiry of a key; return 1 if it had one.",
    Flag.FAST,
    keys=ONE_KEY.used(UPDATE),
    since="2.2.0",
)
def persist(store: Store, key: bytes) -> Reply:
    # `in` removes a key that has expired. Otherwise PERSIST could bring it back.
    return int(key in store and store.persist(key))


@group.reads(
    "TTL key",
    "Return the time to live of a key in seconds; -1 without expiry, -2 without key.",
    FAST_LOOK,
    since="1.0.0",
)
def ttl(store: Store, key: bytes) -> Reply:
    left = _time_to_live(store, key)
    # Rounded to the nearest second, as `ttlGenericCommand` does: the TTL just after SET k v EX 10 is 10, not 9.
    return left if left < 0 else (left + 500) // 1000


@group.reads(
    "PTTL key", "Return the time to live of a key in milliseconds; -1 and -2 as for TTL.", FAST_LOOK, since="2.6.0"
)
def pttl(store: Store, key: bytes) -> Reply:
    return _time_to_live(store, key)


@group.reads(
    "EXPIRETIME key",
    "Return the expiry of a key in seconds since the epoch; -1 and -2 as for TTL.",
    FAST_LOOK,
    since="7.0.0",
)
def expiretime(store: Store, key: bytes) -> Reply:
    expires_at = _expires_at(store, key)
    return expires_at if expires_at < 0 else (expires_at + 500) // 1000


@group.reads(
    "PEXPIRETIME key",
    "Return the expiry of a key in milliseconds since the epoch; -1 and -2 as for TTL.",
    FAST_LOOK,
    since="7.0.0",
)
def pexpiretime(store: Store, key: bytes) -> Reply:
    return _expires_at(store, key)


def _expires_at(store: Store, key: bytes) -> int:
    if store.read(key) is None:
        return NO_KEY
    expires_at = store.expires_at(key)
    return NO_TTL if expires_at is None else expires_at


def _time_to_live(store: Store, key: bytes) -> int:
    expires_at = _expires_at(store, key)
    return expires_at if expires_at < 0 else max(expires_at - store.now(), 0)
