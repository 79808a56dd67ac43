"""Commands on keys, whatever their values. When keys expire is in `expiry`, SCAN and KEYS are in `scanning`."""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import (
    DATABASE_OUT_OF_RANGE,
    FREQUENCY_NOT_TRACKED,
    IDLE_TIME_NOT_TRACKED,
    NO_SUCH_KEY,
    SAME_OBJECT,
    CommandError,
)
from common.replies import OK, Lines, Reply, SimpleString
from common.text import format_command
from server.args.integers import LONGEST, parse_integer
from server.args.options import read_options, require
from server.commands.subcommands import Subcommands
from server.keyspace.store import Store
from server.registry import ALL_KEYS, NO_KEYS, CommandGroup, Keys

group = CommandGroup("generic")

TWO_KEYS = Keys(1, 2, 1)
SECOND_WORD = Keys(2, 2, 1)


@group.writes("DEL key [key ...]", "Remove keys; return how many were there.", keys=ALL_KEYS)
def delete(store: Store, key: bytes, *more: bytes) -> Reply:
    return sum(map(store.delete, (key, *more)))


@group.writes("UNLINK key [key ...]", "Remove keys; return how many were there.", keys=ALL_KEYS)
def unlink(store: Store, key: bytes, *more: bytes) -> Reply:
    return delete(store, key, *more)


@group.reads("EXISTS key [key ...]", "Count the keys that are there, each as often as it is named.", keys=ALL_KEYS)
def exists(store: Store, key: bytes, *more: bytes) -> Reply:
    return sum(each in store for each in (key, *more))


@group.reads("TOUCH key [key ...]", "Count the keys that are there, each as often as it is named.", keys=ALL_KEYS)
def touch(store: Store, key: bytes, *more: bytes) -> Reply:
    return exists(store, key, *more)


@group.reads("TYPE key", "Return the type of a key's value: string, or none where there is no such key.")
def type_(store: Store, key: bytes) -> Reply:
    return SimpleString(b"string") if key in store else SimpleString(b"none")


@group.reads("DBSIZE", "Return how many keys there are.", keys=NO_KEYS)
def dbsize(store: Store) -> Reply:
    return len(store)


@group.reads("RANDOMKEY", "Return some key.", keys=NO_KEYS)
def randomkey(store: Store) -> Reply:
    return store.random_key()


@group.writes("RENAME key newkey", "Give a key another name, over whatever had it.", keys=TWO_KEYS)
def rename(store: Store, key: bytes, newkey: bytes) -> Reply:
    _rename(store, key, newkey)
    return OK


@group.writes(
    "RENAMENX key newkey", "Give a key another name if no key has it; return whether none had.", keys=TWO_KEYS
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
    "Copy a key's value and expiry to another key; return whether that was done.",
    keys=TWO_KEYS,
)
def copy(store: Store, source: bytes, destination: bytes, *args: bytes) -> Reply:
    options = read_options(args, flags=(b"REPLACE",), valued=(b"DB",))
    if parse_integer(options.get(b"DB", b"0")):
        raise CommandError(DATABASE_OUT_OF_RANGE)
    if source == destination:
        raise CommandError(SAME_OBJECT)
    value = store.get(source)
    if value is None or (destination in store and b"REPLACE" not in options):
        return 0
    deadline = store.deadline(source)
    store.set(destination, value)
    if deadline is not None:
        store.expire_at(destination, deadline)
    return 1


@group.writes("FLUSHALL [ASYNC | SYNC]", "Remove every key.", keys=NO_KEYS)
def flushall(store: Store, *args: bytes) -> Reply:
    require(len(args) <= 1)
    read_options(args, flags=(b"ASYNC", b"SYNC"))
    store.clear()
    return OK


@group.writes("FLUSHDB [ASYNC | SYNC]", "Remove every key of the only database.", keys=NO_KEYS)
def flushdb(store: Store, *args: bytes) -> Reply:
    return flushall(store, *args)


@group.reads("COMPACT", "Print the fewest commands that rebuild the store, oldest key first.", keys=NO_KEYS)
def compact(store: Store) -> Reply:
    # Only the copy is made under the lock; the lines are formatted as they are sent.
    return Lines(format_command(_rebuild(*item)) for item in store.items())


def _rebuild(key: bytes, value: bytes, deadline: int | None) -> Sequence[bytes]:
    command = (b"SET", key, value)
    return command if deadline is None else (*command, b"PXAT", b"%d" % deadline)


@group.reads("OBJECT ENCODING | FREQ | IDLETIME | REFCOUNT | HELP [key]", "Tell how a value is kept.", keys=SECOND_WORD)
def object_(store: Store, subcommand: bytes, *args: bytes) -> Reply:
    return _OBJECT.run(store, subcommand, *args)


def _object_help(store: Store) -> Reply:
    return Lines(
        [
            b"OBJECT ENCODING key: how Redis would keep the value: int, embstr or raw.",
            b"OBJECT REFCOUNT key: always 1.",
            b"OBJECT FREQ key, OBJECT IDLETIME key: not tracked.",
            b"OBJECT HELP: these lines.",
        ]
    )


def _encoding(store: Store, key: bytes) -> Reply:
    value = store.get(key)
    if value is None:
        return None
    if len(value) <= LONGEST:
        try:
            parse_integer(value)
        except CommandError:
            pass
        else:
            return b"int"
    return b"embstr" if len(value) <= 44 else b"raw"


def _frequency(store: Store, key: bytes) -> Reply:
    if key in store:
        raise CommandError(FREQUENCY_NOT_TRACKED)
    return None


def _idle_time(store: Store, key: bytes) -> Reply:
    if key in store:
        raise CommandError(IDLE_TIME_NOT_TRACKED)
    return None


def _reference_count(store: Store, key: bytes) -> Reply:
    return 1 if key in store else None


_OBJECT = Subcommands(
    b"OBJECT",
    {
        b"HELP": _object_help,
        b"ENCODING": _encoding,
        b"FREQ": _frequency,
        b"IDLETIME": _idle_time,
        b"REFCOUNT": _reference_count,
    },
)


@group.reads("MEMORY USAGE | HELP [key] [SAMPLES count]", "Tell how much memory a key takes.", keys=SECOND_WORD)
def memory(store: Store, subcommand: bytes, *args: bytes) -> Reply:
    return _MEMORY.run(store, subcommand, *args)


def _memory_help(store: Store) -> Reply:
    return Lines(
        [
            b"MEMORY USAGE key: about how many bytes of memory a key and its value take.",
            b"MEMORY HELP: these lines.",
        ]
    )


def _memory_usage(store: Store, key: bytes, *args: bytes) -> Reply:
    options = read_options(args, valued=(b"SAMPLES",))
    require(parse_integer(options.get(b"SAMPLES", b"0")) >= 0)
    return store.size_of(key)


_MEMORY = Subcommands(b"MEMORY", {b"HELP": _memory_help, b"USAGE": _memory_usage})
