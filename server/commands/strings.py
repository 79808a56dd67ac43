"""Commands on string values: read, write, change in place. Those that take them for numbers are in `numbers`."""

from __future__ import annotations

from common.errors import OFFSET_OUT_OF_RANGE, STRING_TOO_LONG, CommandError, wrong_arity
from common.replies import OK, Reply
from server.args.expire_time import MILLISECONDS, SECONDS, UNITS, USAGE, Unit, deadline_option, positive_deadline
from server.args.options import read_options
from server.keyspace.store import Store
from server.registry import ALL_KEYS, CommandGroup, Keys

group = CommandGroup("string")

KEYS_AND_VALUES = Keys(1, -1, 2)

LONGEST_VALUE = 512 * 1024 * 1024
"""The longest value that a command may make out of shorter ones, as Redis's default for ``proto-max-bulk-len``."""


@group.reads("GET key", "Return the value of a key.")
def get(store: Store, key: bytes) -> Reply:
    return store.get(key)


@group.writes(f"SET key value [NX | XX] [GET] [{USAGE} | KEEPTTL]", "Give a key a value.")
def set_(store: Store, key: bytes, value: bytes, *options: bytes) -> Reply:
    if options:
        return _set_with_options(store, key, value, options)
    store.set(key, value)
    return OK


def _set_with_options(store: Store, key: bytes, value: bytes, args: tuple[bytes, ...]) -> Reply:
    options = read_options(
        args,
        flags=(b"NX", b"XX", b"GET", b"KEEPTTL"),
        valued=UNITS,
        exclusive=[(b"NX", b"XX"), (*UNITS, b"KEEPTTL")],
    )
    deadline = deadline_option(options, store.now(), b"set")
    before = store.get(key)
    wanted = before is None if b"NX" in options else before is not None or b"XX" not in options
    if wanted:
        if b"KEEPTTL" in options:
            store.update(key, value)
        else:
            store.set(key, value)
        if deadline is not None:
            store.expire_at(key, deadline)
    if b"GET" in options:
        return before
    return OK if wanted else None


@group.writes("SETNX key value", "Give a key a value if it is not there; return whether it was not.")
def setnx(store: Store, key: bytes, value: bytes) -> Reply:
    if key in store:
        return 0
    store.set(key, value)
    return 1


@group.writes("SETEX key seconds value", "Give a key a value and a time to live in seconds.")
def setex(store: Store, key: bytes, seconds: int, value: bytes) -> Reply:
    return _set_for(store, key, value, seconds, SECONDS, b"setex")


@group.writes("PSETEX key milliseconds value", "Give a key a value and a time to live in milliseconds.")
def psetex(store: Store, key: bytes, milliseconds: int, value: bytes) -> Reply:
    return _set_for(store, key, value, milliseconds, MILLISECONDS, b"psetex")


def _set_for(store: Store, key: bytes, value: bytes, time: int, unit: Unit, command: bytes) -> Reply:
    deadline = positive_deadline(time, unit, store.now(), command)
    store.set(key, value)
    store.expire_at(key, deadline)
    return OK


@group.writes("GETSET key value", "Give a key a value; return the one it had before.")
def getset(store: Store, key: bytes, value: bytes) -> Reply:
    before = store.get(key)
    store.set(key, value)
    return before


@group.writes("GETDEL key", "Remove a key; return the value that it had.")
def getdel(store: Store, key: bytes) -> Reply:
    before = store.get(key)
    store.delete(key)
    return before


@group.writes(f"GETEX key [{USAGE} | PERSIST]", "Return the value of a key and change when it expires.")
def getex(store: Store, key: bytes, *args: bytes) -> Reply:
    options = read_options(args, flags=(b"PERSIST",), valued=UNITS, exclusive=[(*UNITS, b"PERSIST")])
    value = store.get(key)
    if value is None:
        return None
    deadline = deadline_option(options, store.now(), b"getex")
    if b"PERSIST" in options:
        store.persist(key)
    elif deadline is not None:
        store.expire_at(key, deadline)
    return value


@group.reads("MGET key [key ...]", "Return the values of keys.", keys=ALL_KEYS)
def mget(store: Store, key: bytes, *more: bytes) -> Reply:
    return list(map(store.get, (key, *more)))


@group.writes("MSET key value [key value ...]", "Give several keys their values in one step.", keys=KEYS_AND_VALUES)
def mset(store: Store, key: bytes, value: bytes, *more: bytes) -> Reply:
    for each, its_value in _pairs((key, value, *more), b"mset"):
        store.set(each, its_value)
    return OK


@group.writes(
    "MSETNX key value [key value ...]",
    "Give several keys their values if none of them is there; return whether that was so.",
    keys=KEYS_AND_VALUES,
)
def msetnx(store: Store, key: bytes, value: bytes, *more: bytes) -> Reply:
    pairs = _pairs((key, value, *more), b"msetnx")
    if any(each in store for each, _ in pairs):
        return 0
    for each, its_value in pairs:
        store.set(each, its_value)
    return 1


def _pairs(args: tuple[bytes, ...], command: bytes) -> list[tuple[bytes, bytes]]:
    if len(args) % 2:
        raise CommandError(wrong_arity(command))
    return list(zip(args[::2], args[1::2], strict=True))


@group.writes("APPEND key value", "Append to the value of a key; return its new length.")
def append(store: Store, key: bytes, value: bytes) -> Reply:
    before = store.get(key)
    if before is None:
        store.set(key, value)
        return len(value)
    _check_length(len(before) + len(value))
    store.update(key, before + value)
    return len(before) + len(value)


@group.reads("STRLEN key", "Return the length of a key's value in bytes.")
def strlen(store: Store, key: bytes) -> Reply:
    return len(store.get(key) or b"")


@group.reads("GETRANGE key start end", "Return a part of a key's value, both ends included; -1 is the last byte.")
def getrange(store: Store, key: bytes, start: int, end: int) -> Reply:
    value = store.get(key) or b""
    if start < 0 and end < 0 and start > end:
        return b""
    first = max(start + len(value), 0) if start < 0 else start
    last = max(end + len(value), 0) if end < 0 else end
    return value[first : last + 1]


@group.reads("SUBSTR key start end", "Do as GETRANGE, whose old name this is.")
def substr(store: Store, key: bytes, start: int, end: int) -> Reply:
    return getrange(store, key, start, end)


@group.writes("SETRANGE key offset value", "Overwrite a part of a key's value; return its new length.")
def setrange(store: Store, key: bytes, offset: int, value: bytes) -> Reply:
    if offset < 0:
        raise CommandError(OFFSET_OUT_OF_RANGE)
    before = store.get(key)
    if not value:
        return len(before or b"")
    _check_length(offset + len(value))
    old = before or b""
    new = old[:offset].ljust(offset, b"\0") + value + old[offset + len(value) :]
    if before is None:
        store.set(key, new)
    else:
        store.update(key, new)
    return len(new)


def _check_length(length: int) -> None:
    if length > LONGEST_VALUE:
        raise CommandError(STRING_TOO_LONG)
