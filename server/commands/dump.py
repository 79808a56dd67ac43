"""DUMP and RESTORE: a value in Redis's serialisation, which is made and read without the keyspace lock."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple, TypeAlias

from common.errors import (
    BAD_DUMP_FORMAT,
    INVALID_FREQUENCY,
    INVALID_IDLE_TIME,
    INVALID_TTL,
    KEY_IS_BUSY,
    WRONG_DUMP_CHECKSUM,
    CommandError,
)
from common.limits import DEFAULT_LIMITS, KIB
from common.replies import OK
from server.args.expire_time import EPOCH_MILLISECONDS, MILLISECONDS, to_expires_at
from server.args.integers import parse_integer
from server.args.options import parse_options
from server.keyspace.eviction import LeastFrequentlyUsed, LeastRecentlyUsed
from server.keyspace.store import Store
from server.rdb.payload import BadFormat, WrongChecksum, dump, load
from server.registry import ONE_KEY, OVERWRITE, CommandGroup, Flag, Stages

group = CommandGroup("generic", "keyspace")

MAX_QUICK_SIZE = 4 * KIB
"""Bytes of a value or a payload that an I/O thread serialises or reads itself."""

FREQUENCIES = range(256)

_Content: TypeAlias = tuple[int, bytes]
"""A time to live in milliseconds, 0 for none, and a value."""


class _Usage(NamedTuple):
    """For how many seconds a key was not used, and the counter of its uses; None if it is not given."""

    idle_time: int | None
    frequency: int | None


@group.reads_in_stages(
    "DUMP key",
    "Return the value of a key in Redis's serialisation, for RESTORE.",
    is_short=lambda store, args: len(store.get(args[1]) or b"") <= MAX_QUICK_SIZE,
    since="2.6.0",
    complexity="O(N) where N is the length of the value",
)
def dump_(key: bytes) -> Stages[Store, bytes | None]:
    value = yield lambda store: store.read(key)
    return None if value is None else dump(value)


@group.writes_in_stages(
    "RESTORE key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
    "Create a key from a value that DUMP has serialised; a ttl of 0 means no expiry.",
    Flag.DENYOOM,
    is_short=lambda _, args: len(args[3]) <= MAX_QUICK_SIZE,
    keys=ONE_KEY.used(OVERWRITE),
    since="2.6.0",
    complexity="O(N) where N is the length of the value",
    categories=("dangerous",),
    event="restore",
)
def restore(key: bytes, ttl: bytes, serialized: bytes, *args: bytes) -> Stages[Store, None]:
    options = parse_options(
        args, flags=(b"REPLACE", b"ABSTTL"), valued=(b"IDLETIME", b"FREQ"), exclusive=[(b"IDLETIME", b"FREQ")]
    )
    usage = _parse_usage(options.get(b"IDLETIME"), options.get(b"FREQ"))
    content: _Content | CommandError
    try:
        content = _parse_ttl(ttl), _load(serialized)
    except CommandError as problem:
        content = problem  # raised only if the key may be created, as in `restoreCommand`
    yield partial(
        _restore,
        key=key,
        content=content,
        replace=b"REPLACE" in options,
        absolute=b"ABSTTL" in options,
        usage=usage,
    )
    return OK


def _parse_usage(idle_time: bytes | None, frequency: bytes | None) -> _Usage:
    """Return the arguments of IDLETIME and FREQ. Raises `CommandError`."""
    usage = _Usage(
        None if idle_time is None else parse_integer(idle_time),
        None if frequency is None else parse_integer(frequency),
    )
    if usage.idle_time is not None and usage.idle_time < 0:
        raise CommandError(INVALID_IDLE_TIME)
    if usage.frequency is not None and usage.frequency not in FREQUENCIES:
        raise CommandError(INVALID_FREQUENCY)
    return usage


def _parse_ttl(ttl: bytes) -> int:
    milliseconds = parse_integer(ttl)
    if milliseconds < 0:
        raise CommandError(INVALID_TTL)
    return milliseconds


def _load(serialized: bytes) -> bytes:
    """Return the value. Raises `CommandError`.

    A value may have the default of ``--max-bulk``, or the length of its serialisation if that is more: this code runs
    before the lock is taken, and the store, which has the exact limit, can only be asked under it.
    """
    try:
        return load(serialized, max(DEFAULT_LIMITS.max_bulk, len(serialized)))
    except WrongChecksum:
        raise CommandError(WRONG_DUMP_CHECKSUM) from None
    except BadFormat:
        raise CommandError(BAD_DUMP_FORMAT) from None


def _restore(
    store: Store, *, key: bytes, content: _Content | CommandError, replace: bool, absolute: bool, usage: _Usage
) -> None:
    """Create the key, under the lock. Raises `CommandError` if it exists, or what the parsing raised."""
    if not replace and key in store:
        raise CommandError(KEY_IS_BUSY)
    if isinstance(content, CommandError):
        raise content
    ttl, value = content
    if len(value) > store.max_value_size:
        raise CommandError(BAD_DUMP_FORMAT)
    if not ttl:
        store.set(key, value)
        _apply_usage(store, key, usage)
        return
    expires_at = to_expires_at(ttl, EPOCH_MILLISECONDS if absolute else MILLISECONDS, store.now(), b"restore")
    if expires_at > store.now():
        store.set(key, value, expires_at)
        _apply_usage(store, key, usage)
    else:
        store.delete(key)  # as in Redis: a time in the past is a success without a key


def _apply_usage(store: Store, key: bytes, usage: _Usage) -> None:
    """Pass it to the eviction policy. As in Redis, what the policy does not track has no effect."""
    policy = None if store.memory is None else store.memory.policy
    if usage.idle_time is not None and isinstance(policy, LeastRecentlyUsed):
        policy.set_idle_time(key, usage.idle_time)
    if usage.frequency is not None and isinstance(policy, LeastFrequentlyUsed):
        policy.set_frequency(key, usage.frequency)
