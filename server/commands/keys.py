"""Commands on keys, whatever their values. Expiry is in `expire`, KEYS and SCAN are in `scan`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from common.errors import (
    DATABASE_OUT_OF_RANGE,
    FREQUENCY_NOT_TRACKED,
    IDLE_TIME_NOT_TRACKED,
    IDLE_TIME_NOT_TRACKED_BY_LFU,
    KEY_NOT_TRACKED,
    NO_SUCH_KEY,
    SAME_OBJECT,
    CommandError,
)
from common.replies import OK, Line, Lines, Reply, SimpleString
from common.text import command_line
from server.args.integers import MAX_INTEGER_LENGTH, parse_integer
from server.args.options import parse_options, require
from server.keyspace.contents import ClearedContents, ItemsCopy
from server.keyspace.eviction import LeastFrequentlyUsed, LeastRecentlyUsed
from server.keyspace.store import Store
from server.registry import ALL_KEYS, NO_KEYS, CommandGroup, Flag, KeySpec, Stages

group = CommandGroup("generic")

TWO_KEYS = KeySpec(1, 2, 1)
SECOND_ARGUMENT = KeySpec(2, 2, 1)

FAST_LOOK = Flag.FAST | Flag.NO_TOUCH


@group.writes("DEL key [key ...]", "Delete keys; return how many existed.", keys=ALL_KEYS)
def delete(store: Store, key: bytes, *more: bytes) -> Reply:
    return sum(map(store.delete, (key, *more)))


@group.writes("UNLINK key [key ...]", "Delete keys; return how many existed.", Flag.FAST, keys=ALL_KEYS)
def unlink(store: Store, key: bytes, *more: bytes) -> Reply:
    return delete(store, key, *more)


@group.reads(
    "EXISTS key [key ...]",
    "Count the keys that exist; a repeated key counts repeatedly.",
    FAST_LOOK,
    keys=ALL_KEYS,
)
def exists(store: Store, key: bytes, *more: bytes) -> Reply:
    return sum(each in store for each in (key, *more))


@group.reads(
    "TOUCH key [key ...]", "Use keys, without another effect; count those that exist.", Flag.FAST, keys=ALL_KEYS
)
def touch(store: Store, key: bytes, *more: bytes) -> Reply:
    return exists(store, key, *more)


@group.reads("TYPE key", "Return the type of a value: string, or none if the key does not exist.", FAST_LOOK)
def type_(store: Store, key: bytes) -> Reply:
    return SimpleString(b"string") if key in store else SimpleString(b"none")


@group.reads("DBSIZE", "Return the number of keys.", Flag.FAST, keys=NO_KEYS)
def dbsize(store: Store) -> Reply:
    return len(store)


@group.reads("RANDOMKEY", "Return a random key.", keys=NO_KEYS)
def randomkey(store: Store) -> Reply:
    return store.random_key()


@group.writes("RENAME key newkey", "Rename a key; overwrite the new name if it exists.", keys=TWO_KEYS)
def rename(store: Store, key: bytes, newkey: bytes) -> Reply:
    _rename(store, key, newkey)
    return OK


@group.writes(
    "RENAMENX key newkey",
    "Rename a key if the new name does not exist; return 1 if it was renamed.",
    Flag.FAST,
    keys=TWO_KEYS,
)
def renamenx(store: Store, key: bytes, newkey: bytes) -> Reply:
    if key in store and newkey in store:
        return 0
    _rename(store, key, newkey)
    return 1


def _rename(store: Store, key: bytes, newkey: bytes) -> None:
    if key not in store:
        raise CommandError(NO_SUCH_KEY)
    if key != newkey:
        store.rename(key, newkey)


@group.writes(
    "COPY source destination [DB destination-db] [REPLACE]",
    "Copy the value and the expiry of a key to another key; return 1 if it was copied.",
    Flag.DENYOOM,
    keys=TWO_KEYS,
)
def copy(store: Store, source: bytes, destination: bytes, *args: bytes) -> Reply:
    options = parse_options(args, flags=(b"REPLACE",), valued=(b"DB",))
    if parse_integer(options.get(b"DB", b"0")):
        raise CommandError(DATABASE_OUT_OF_RANGE)
    if source == destination:
        raise CommandError(SAME_OBJECT)
    value = store.get(source)
    if value is None or (destination in store and b"REPLACE" not in options):
        return 0
    store.set(destination, value, store.expires_at(source))
    return 1


@group.writes_in_stages("FLUSHALL [ASYNC | SYNC]", "Delete all keys.", keys=NO_KEYS)
def flushall(*args: bytes) -> Stages[Store, ClearedContents]:
    require(len(args) <= 1)
    parse_options(args, flags=(b"ASYNC", b"SYNC"))
    cleared = yield Store.clear
    cleared.free()
    return OK


@group.writes_in_stages("FLUSHDB [ASYNC | SYNC]", "Delete all keys of the only database.", keys=NO_KEYS)
def flushdb(*args: bytes) -> Stages[Store, ClearedContents]:
    return (yield from flushall(*args))


@group.reads_in_stages(
    "COMPACT", "Print commands that rebuild the keyspace: one SET per key, oldest key first.", keys=NO_KEYS
)
def compact() -> Stages[Store, ItemsCopy]:
    return Lines(_RebuildingLines((yield Store.copy_items)))


class _RebuildingLines:
    """A line per key. The items are copied under the lock, and the lines formatted when they are read, each time."""

    def __init__(self, items: ItemsCopy) -> None:
        self._items = items

    def __sizeof__(self) -> int:
        return super().__sizeof__() + sys.getsizeof(self._items)

    def __iter__(self) -> Iterator[Line]:
        for key, value, expires_at in self._items:
            command = (b"SET", key, value)
            yield command_line(command if expires_at is None else (*command, b"PXAT", b"%d" % expires_at))


# ---------------------------------------------------------------- OBJECT and MEMORY

group.container("OBJECT", "Describe how a value is stored.")

MAX_EMBSTR_SIZE = 44
"""Bytes of the longest value that Redis stores as embstr."""


@group.reads(
    "OBJECT ENCODING key",
    "Return how Redis would store the value: int, embstr or raw.",
    Flag.NO_TOUCH,
    keys=SECOND_ARGUMENT,
)
def object_encoding(store: Store, key: bytes) -> Reply:
    value = store.get(key)
    if value is None:
        return None
    if len(value) <= MAX_INTEGER_LENGTH:
        try:
            parse_integer(value)
        except CommandError:
            pass
        else:
            return b"int"
    return b"embstr" if len(value) <= MAX_EMBSTR_SIZE else b"raw"


@group.reads(
    "OBJECT FREQ key",
    "Return how often a key is used, as a logarithm from 0 to 255. Needs an LFU eviction policy.",
    Flag.NO_TOUCH,
    keys=SECOND_ARGUMENT,
)
def object_freq(store: Store, key: bytes) -> Reply:
    if key not in store:
        return None
    policy = None if store.memory is None else store.memory.policy
    if not isinstance(policy, LeastFrequentlyUsed):
        raise CommandError(FREQUENCY_NOT_TRACKED)
    return _tracked(policy.frequency(key))


@group.reads(
    "OBJECT IDLETIME key",
    "Return for how many seconds a key was not used. Needs an LRU eviction policy.",
    Flag.NO_TOUCH,
    keys=SECOND_ARGUMENT,
)
def object_idletime(store: Store, key: bytes) -> Reply:
    if key not in store:
        return None
    policy = None if store.memory is None else store.memory.policy
    if isinstance(policy, LeastFrequentlyUsed):
        raise CommandError(IDLE_TIME_NOT_TRACKED_BY_LFU)
    if not isinstance(policy, LeastRecentlyUsed):
        raise CommandError(IDLE_TIME_NOT_TRACKED)
    return _tracked(policy.idle_time(key))


def _tracked(figure: int | None) -> Reply:
    if figure is None:
        raise CommandError(KEY_NOT_TRACKED)
    return figure


@group.reads(
    "OBJECT REFCOUNT key",
    "Return the reference count of the value, which is always 1.",
    Flag.NO_TOUCH,
    keys=SECOND_ARGUMENT,
)
def object_refcount(store: Store, key: bytes) -> Reply:
    return 1 if key in store else None


group.container("MEMORY", "Report memory usage.")


@group.reads(
    "MEMORY USAGE key [SAMPLES count]",
    "Return approximately how many bytes a key and its value take.",
    Flag.NO_TOUCH,
    keys=SECOND_ARGUMENT,
)
def memory_usage(store: Store, key: bytes, *args: bytes) -> Reply:
    options = parse_options(args, valued=(b"SAMPLES",))
    require(parse_integer(options.get(b"SAMPLES", b"0")) >= 0)
    return store.memory_usage(key)
