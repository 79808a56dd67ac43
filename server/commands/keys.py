"""Commands on keys, whatever their values.

Expiry is in `expire`, KEYS and SCAN are in `scan`, commands on all keys together in `databases`.
"""

from __future__ import annotations

from common.errors import (
    FREQUENCY_NOT_TRACKED,
    IDLE_TIME_NOT_TRACKED,
    IDLE_TIME_NOT_TRACKED_BY_LFU,
    KEY_NOT_TRACKED,
    NO_SUCH_KEY,
    SAME_OBJECT,
    CommandError,
)
from common.replies import OK, Reply, SimpleString
from server.args.integers import MAX_INTEGER_LENGTH, parse_int, parse_integer
from server.args.options import parse_options
from server.keyspace.eviction import LeastFrequentlyUsed, LeastRecentlyUsed
from server.keyspace.store import Store
from server.registry import (
    ADD,
    ALL_KEYS,
    CHANGE,
    EXAMINE,
    NO_KEYS,
    ONE_KEY,
    OVERWRITE,
    READ,
    REMOVE,
    SECOND_KEY,
    TAKE,
    CommandGroup,
    Flag,
)

group = CommandGroup("generic", "keyspace")

SECOND_ARGUMENT = SECOND_KEY.used(EXAMINE)

FAST_LOOK = Flag.FAST | Flag.NO_TOUCH


@group.writes(
    "DEL key [key ...]",
    "Delete keys; return how many existed.",
    keys=ALL_KEYS.used(REMOVE),
    since="1.0.0",
    complexity="O(N) where N is the number of keys",
)
def delete(store: Store, key: bytes, *more: bytes) -> Reply:
    return sum(map(store.delete, (key, *more)))


@group.writes(
    "UNLINK key [key ...]",
    "Delete keys; return how many existed.",
    Flag.FAST,
    keys=ALL_KEYS.used(REMOVE),
    since="4.0.0",
    complexity="O(N) where N is the number of keys",
)
def unlink(store: Store, key: bytes, *more: bytes) -> Reply:
    return delete(store, key, *more)


@group.reads(
    "EXISTS key [key ...]",
    "Count the keys that exist; a repeated key counts repeatedly.",
    FAST_LOOK,
    keys=ALL_KEYS.used(EXAMINE),
    since="1.0.0",
    complexity="O(N) where N is the number of keys",
)
def exists(store: Store, key: bytes, *more: bytes) -> Reply:
    keys = (key, *more)
    found = sum(each in store for each in keys)
    store.count_lookups(len(keys), found)
    return found


@group.reads(
    "TOUCH key [key ...]",
    "Use keys, without another effect; count those that exist.",
    Flag.FAST,
    keys=ALL_KEYS.used(EXAMINE),
    since="3.2.1",
    complexity="O(N) where N is the number of keys",
)
def touch(store: Store, key: bytes, *more: bytes) -> Reply:
    return exists(store, key, *more)


@group.reads(
    "TYPE key",
    "Return the type of a value: string, or none if the key does not exist.",
    FAST_LOOK,
    keys=ONE_KEY.used(EXAMINE),
    since="1.0.0",
)
def type_(store: Store, key: bytes) -> Reply:
    return SimpleString(b"none") if store.read(key) is None else SimpleString(b"string")


@group.reads("RANDOMKEY", "Return a random key.", keys=NO_KEYS, since="1.0.0")
def randomkey(store: Store) -> Reply:
    return store.random_key()


@group.writes(
    "RENAME key newkey",
    "Rename a key; overwrite the new name if it exists.",
    keys=(ONE_KEY.used(TAKE), SECOND_KEY.used(OVERWRITE)),
    since="1.0.0",
    event="rename_to",
)
def rename(store: Store, key: bytes, newkey: bytes) -> Reply:
    _rename(store, key, newkey)
    return OK


@group.writes(
    "RENAMENX key newkey",
    "Rename a key if the new name does not exist; return 1 if it was renamed.",
    Flag.FAST,
    keys=(ONE_KEY.used(TAKE), SECOND_KEY.used(ADD)),
    since="1.0.0",
    event="rename_to",
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
    keys=(ONE_KEY.used(READ), SECOND_KEY.used(OVERWRITE)),
    since="6.2.0",
    event="copy_to",
)
def copy(store: Store, source: bytes, destination: bytes, *args: bytes) -> Reply:
    options = parse_options(args, flags=(b"REPLACE",), valued=(b"DB",))
    target = store.other(parse_int(options[b"DB"])) if b"DB" in options else store
    if target is store and source == destination:
        raise CommandError(SAME_OBJECT)
    value = store.read(source)
    if value is None or (destination in target and b"REPLACE" not in options):
        return 0
    target.set(destination, value, store.expires_at(source))
    return 1


@group.writes(
    "MOVE key db",
    "Move a key to another database if it does not exist there; return 1 if it was moved.",
    Flag.FAST,
    keys=ONE_KEY.used(CHANGE),
    since="1.0.0",
    types={"db": "integer"},
    event="move_to",
)
def move(store: Store, key: bytes, db: bytes) -> Reply:
    target = store.other(parse_int(db))
    if target is store:
        raise CommandError(SAME_OBJECT)
    value = store.get(key)
    if value is None or key in target:
        return 0
    expires_at = store.expires_at(key)
    store.delete(key)
    target.set(key, value, expires_at)
    return 1


# ---------------------------------------------------------------- OBJECT

group.container("OBJECT", "Describe how a value is stored.", since="2.2.3")

MAX_EMBSTR_SIZE = 44
"""Bytes of the longest value that Redis stores as embstr."""


@group.reads(
    "OBJECT ENCODING key",
    "Return how Redis would store the value: int, embstr or raw.",
    Flag.NO_TOUCH | Flag.NULL_IS_MISS,
    keys=SECOND_ARGUMENT,
    since="2.2.3",
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
    since="4.0.0",
)
def object_freq(store: Store, key: bytes) -> Reply:
    if store.read(key) is None:
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
    since="2.2.3",
)
def object_idletime(store: Store, key: bytes) -> Reply:
    if store.read(key) is None:
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
    Flag.NO_TOUCH | Flag.NULL_IS_MISS,
    keys=SECOND_ARGUMENT,
    since="2.2.3",
)
def object_refcount(store: Store, key: bytes) -> Reply:
    return 1 if key in store else None
