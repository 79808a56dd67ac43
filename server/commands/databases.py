"""Commands on all keys of the database together: count, delete and print them."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from common.replies import OK, Line, Lines, Reply
from common.text import command_line
from server.args.options import parse_options, require
from server.keyspace.contents import ClearedContents, ItemsCopy
from server.keyspace.store import Store
from server.registry import NO_KEYS, CommandGroup, Flag, Stages

group = CommandGroup("server", "keyspace")


@group.reads("DBSIZE", "Return the number of keys.", Flag.FAST, keys=NO_KEYS, since="1.0.0", categories=("keyspace",))
def dbsize(store: Store) -> Reply:
    return len(store)


@group.writes_in_stages(
    "FLUSHALL [ASYNC | SYNC]",
    "Delete all keys.",
    keys=NO_KEYS,
    since="1.0.0",
    complexity="O(N) where N is the number of keys in the database",
    categories=("keyspace", "dangerous"),
)
def flushall(*args: bytes) -> Stages[Store, ClearedContents]:
    require(len(args) <= 1)
    parse_options(args, flags=(b"ASYNC", b"SYNC"))
    cleared = yield Store.clear
    cleared.free()
    return OK


@group.writes_in_stages(
    "FLUSHDB [ASYNC | SYNC]",
    "Delete all keys of the only database.",
    keys=NO_KEYS,
    since="1.0.0",
    complexity="O(N) where N is the number of keys in the database",
    categories=("keyspace", "dangerous"),
)
def flushdb(*args: bytes) -> Stages[Store, ClearedContents]:
    return (yield from flushall(*args))


@group.reads_in_stages(
    "COMPACT",
    "Print commands that rebuild the keyspace: one SET per key, oldest key first.",
    keys=NO_KEYS,
    since="0.1.0",
    complexity="O(N) where N is the number of keys in the database",
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
