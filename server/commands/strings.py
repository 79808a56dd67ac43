"""Commands on string values: read, write, change in place. Commands on numbers are in `numbers`."""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import OFFSET_OUT_OF_RANGE, STRING_TOO_LONG, CommandError, wrong_arity
from common.replies import OK, Reply
from server.args.expire_time import (
    MILLISECONDS,
    SECONDS,
    UNITS,
    USAGE,
    Unit,
    expires_at_option,
    to_positive_expires_at,
)
from server.args.integers import parse_integer
from server.args.options import parse_options
from server.keyspace.store import Store
from server.registry import (
    ADD,
    ALL_KEYS,
    CHANGE,
    EXAMINE,
    ONE_KEY,
    OVERWRITE,
    TAKE,
    UPDATE,
    CommandGroup,
    Flag,
    KeyFlag,
    KeySpec,
)

group = CommandGroup("string", "string")

KEYS_AND_VALUES = KeySpec(1, -1, 2)

GROWS = Flag.DENYOOM
FAST_GROWTH = Flag.DENYOOM | Flag.FAST


@group.reads("GET key", "Return the value of a key.", Flag.FAST | Flag.NULL_IS_MISS, since="1.0.0")
def get(store: Store, key: bytes) -> Reply:
    return store.get(key)


group.by_columns("GET", Store.get_many)


@group.writes(
    f"SET key value [NX | XX] [GET] [{USAGE} | KEEPTTL]",
    "Set the value of a key.",
    GROWS,
    keys=ONE_KEY.used(CHANGE | KeyFlag.VARIABLE_FLAGS, without=(b"GET", OVERWRITE)),
    since="1.0.0",
)
def set_(store: Store, key: bytes, value: bytes, *options: bytes) -> Reply:
    # The usual SET has no options, and needs no parsing and no reading of the old value.
    if options:
        return _set_with_options(store, key, value, options)
    store.set(key, value)
    return OK


def _set_columns(store: Store, keys: Sequence[bytes], values: Sequence[bytes]) -> list[Reply]:
    store.set_many(keys, values)
    return [OK] * len(keys)


group.by_columns("SET", _set_columns)


def _set_with_options(store: Store, key: bytes, value: bytes, args: tuple[bytes, ...]) -> Reply:
    if len(args) == 2 and args[0] in UNITS:  # SET with EX is usual, and parsing takes longer than everything else
        return _set_expiring(store, key, value, parse_integer(args[1]), UNITS[args[0]], b"set")
    options = parse_options(
        args,
        flags=(b"NX", b"XX", b"GET", b"KEEPTTL"),
        valued=UNITS,
        exclusive=[(b"NX", b"XX"), (*UNITS, b"KEEPTTL")],
    )
    # Before the conditions, as in `setGenericCommand`: an invalid time is an error even if NX would not set the key.
    expires_at = expires_at_option(options, store.now(), b"set")
    before = store.read(key) if b"GET" in options else store.get(key)
    # NX: the key does not exist. XX: it does. Neither: always true.
    condition = before is None if b"NX" in options else before is not None or b"XX" not in options
    if condition:
        if b"KEEPTTL" in options:
            store.overwrite(key, value)  # `get` above has removed the key if it had expired
        else:
            store.set(key, value, expires_at)
    # With GET the reply is the old value whether the key was set or not, also with NX (since Redis 7).
    if b"GET" in options:
        return before
    return OK if condition else None


@group.writes(
    "SETNX key value",
    "Set the value of a key if it does not exist; return 1 if it was set.",
    FAST_GROWTH,
    keys=ONE_KEY.used(ADD),
    since="1.0.0",
)
def setnx(store: Store, key: bytes, value: bytes) -> Reply:
    if key in store:
        return 0
    store.set(key, value)
    return 1


@group.writes(
    "SETEX key seconds value",
    "Set the value and the time to live of a key in seconds.",
    GROWS,
    keys=ONE_KEY.used(OVERWRITE),
    since="2.0.0",
)
def setex(store: Store, key: bytes, seconds: int, value: bytes) -> Reply:
    return _set_expiring(store, key, value, seconds, SECONDS, b"setex")


@group.writes(
    "PSETEX key milliseconds value",
    "Set the value and the time to live of a key in milliseconds.",
    GROWS,
    keys=ONE_KEY.used(OVERWRITE),
    since="2.6.0",
)
def psetex(store: Store, key: bytes, milliseconds: int, value: bytes) -> Reply:
    return _set_expiring(store, key, value, milliseconds, MILLISECONDS, b"psetex")


def _set_expiring(store: Store, key: bytes, value: bytes, time: int, unit: Unit, command: bytes) -> Reply:
    # The time is converted first, so that an invalid one changes nothing.
    store.set(key, value, to_positive_expires_at(time, unit, store.now(), command))
    return OK


@group.writes(
    "GETSET key value", "Set the value of a key; return its old value.", FAST_GROWTH | Flag.NULL_IS_MISS, since="1.0.0"
)
def getset(store: Store, key: bytes, value: bytes) -> Reply:
    before = store.get(key)
    store.set(key, value)  # removes the expiry, as SET does
    return before


@group.writes(
    "GETDEL key",
    "Delete a key; return its value.",
    Flag.FAST | Flag.NULL_IS_MISS,
    keys=ONE_KEY.used(TAKE),
    since="6.2.0",
)
def getdel(store: Store, key: bytes) -> Reply:
    before = store.get(key)
    store.delete(key)
    return before


@group.writes(
    f"GETEX key [{USAGE} | PERSIST]",
    "Return the value of a key and change its expiry.",
    Flag.FAST | Flag.NULL_IS_MISS,
    since="6.2.0",
)
def getex(store: Store, key: bytes, *args: bytes) -> Reply:
    options = parse_options(args, flags=(b"PERSIST",), valued=UNITS, exclusive=[(*UNITS, b"PERSIST")])
    # As `getexCommand`: the options are parsed before the key is read, but their time is checked after it. So a
    # missing key gets null even with EX 0.
    value = store.get(key)
    if value is None:
        return None
    expires_at = expires_at_option(options, store.now(), b"getex")
    if b"PERSIST" in options:
        store.persist(key)
    elif expires_at is not None:
        store.expire_at(key, expires_at)
    return value


@group.reads(
    "MGET key [key ...]",
    "Return the values of keys.",
    Flag.FAST,
    keys=ALL_KEYS,
    since="1.0.0",
    complexity="O(N) where N is the number of keys",
)
def mget(store: Store, key: bytes, *more: bytes) -> Reply:
    values: list[Reply] = [*store.get_many((key, *more))]
    store.count_lookups(len(values), len(values) - values.count(None))
    return values


@group.writes(
    "MSET key value [key value ...]",
    "Set the values of keys atomically.",
    GROWS,
    keys=KEYS_AND_VALUES.used(OVERWRITE),
    since="1.0.1",
    complexity="O(N) where N is the number of keys",
)
def mset(store: Store, key: bytes, value: bytes, *more: bytes) -> Reply:
    store.set_many(*_columns((key, value, *more), b"mset"))
    return OK


@group.writes(
    "MSETNX key value [key value ...]",
    "Set the values of keys if none of them exists; return 1 if they were set.",
    GROWS,
    keys=KEYS_AND_VALUES.used(ADD),
    since="1.0.1",
    complexity="O(N) where N is the number of keys",
)
def msetnx(store: Store, key: bytes, value: bytes, *more: bytes) -> Reply:
    keys, values = _columns((key, value, *more), b"msetnx")
    # All are checked first. A key that is given twice does not count as existing, and gets its last value, as in Redis.
    if any(each in store for each in keys):
        return 0
    store.set_many(keys, values)
    return 1


def _columns(args: tuple[bytes, ...], command: bytes) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Return the keys and the values."""
    # The table only knows a minimum, because it derives the arity from the function's parameters.
    if len(args) % 2:
        raise CommandError(wrong_arity(command))
    return args[::2], args[1::2]


@group.writes(
    "APPEND key value",
    "Append to the value of a key; return its new length.",
    FAST_GROWTH | Flag.NO_BATCH,
    keys=ONE_KEY.used(KeyFlag.RW | KeyFlag.INSERT),
    since="2.0.0",
    complexity="O(N) where N is the new length of the value",
    event="append",
)
def append(store: Store, key: bytes, value: bytes) -> Reply:
    before = store.get(key)
    if before is None:
        store.set(key, value)
        return len(value)
    # Before the concatenation, which would allocate the value. A new key is not checked: that is a SET.
    _check_length(store, len(before) + len(value))
    return store.write_range(key, len(before), value)  # a value that is changed in place keeps its expiry


@group.reads(
    "STRLEN key", "Return the length of a value in bytes.", Flag.FAST, keys=ONE_KEY.used(EXAMINE), since="2.2.0"
)
def strlen(store: Store, key: bytes) -> Reply:
    return len(store.read(key) or b"")


@group.reads(
    "GETRANGE key start end",
    "Return a part of a value, both ends included; -1 is the last byte.",
    Flag.NO_BATCH,
    since="2.4.0",
    complexity="O(N) where N is the number of bytes that are returned",
)
def getrange(store: Store, key: bytes, start: int, end: int) -> Reply:
    value = store.read(key) or b""
    # As in `getrangeCommand`. Without it, -1 and -5 in a value of one byte would both become 0, and return that byte.
    if start < 0 and end < 0 and start > end:
        return b""
    # An end before the beginning becomes 0, so GETRANGE key 0 -100 returns the first byte, as in Redis 7.0.
    first = max(start + len(value), 0) if start < 0 else start
    last = max(end + len(value), 0) if end < 0 else end
    return value[first : last + 1]


@group.reads(
    "SUBSTR key start end",
    "Return a part of a value; the old name of GETRANGE.",
    Flag.NO_BATCH,
    since="1.0.0",
    complexity="O(N) where N is the number of bytes that are returned",
)
def substr(store: Store, key: bytes, start: int, end: int) -> Reply:
    return getrange(store, key, start, end)


@group.writes(
    "SETRANGE key offset value",
    "Overwrite a part of a value; return its new length.",
    GROWS | Flag.NO_BATCH,
    keys=ONE_KEY.used(UPDATE),
    since="2.2.0",
    complexity="O(N) where N is the new length of the value",
    event="setrange",
)
def setrange(store: Store, key: bytes, offset: int, value: bytes) -> Reply:
    if offset < 0:
        raise CommandError(OFFSET_OUT_OF_RANGE)
    before = store.get(key)
    # In the order of `setrangeCommand`. An empty value creates no key and is not an error, whatever the offset.
    if not value:
        return len(before or b"")
    # Before the padding: an offset may be up to 2**63 - 1.
    _check_length(store, offset + len(value))
    return store.write_range(key, offset, value)


def _check_length(store: Store, length: int) -> None:
    if length > store.max_value_size:
        raise CommandError(STRING_TOO_LONG)
