"""Commands on all keys of databases together: count, delete, print and exchange them."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from common.errors import INVALID_FIRST_DATABASE, INVALID_SECOND_DATABASE
from common.replies import OK, Line, Lines, Reply
from common.text import command_line
from server.args.integers import parse_int
from server.args.options import parse_options, require
from server.keyspace.contents import ClearedContents, ItemsCopy
from server.keyspace.store import Store
from server.registry import NO_KEYS, CommandGroup, Flag, Stages

group = CommandGroup("server", "keyspace")


@group.reads(
    "DBSIZE",
    "Return the number of keys of the database.",
    Flag.FAST,
    keys=NO_KEYS,
    since="1.0.0",
    categories=("keyspace",),
)
def dbsize(store: Store) -> Reply:
    return len(store)


@group.writes_in_stages(
    "FLUSHALL [ASYNC | SYNC]",
    "Delete all keys of all databases.",
    keys=NO_KEYS,
    since="1.0.0",
    complexity="O(N) where N is the number of keys in all databases",
    categories=("keyspace", "dangerous"),
)
def flushall(*args: bytes) -> Stages[Store, list[ClearedContents]]:
    _check_mode(args)
    for cleared in (yield lambda store: [each.clear() for each in store.all()]):
        cleared.free()
    return OK


@group.writes_in_stages(
    "FLUSHDB [ASYNC | SYNC]",
    "Delete all keys of the database.",
    keys=NO_KEYS,
    since="1.0.0",
    complexity="O(N) where N is the number of keys in the database",
    categories=("keyspace", "dangerous"),
)
def flushdb(*args: bytes) -> Stages[Store, ClearedContents]:
    _check_mode(args)
    cleared = yield Store.clear
    cleared.free()
    return OK


def _check_mode(args: tuple[bytes, ...]) -> None:
    """Raise `CommandError` if these are no arguments of FLUSHALL and FLUSHDB. Both modes do the same."""
    require(len(args) <= 1)
    parse_options(args, flags=(b"ASYNC", b"SYNC"))


@group.writes(
    "SWAPDB index1 index2",
    "Exchange two databases: their clients see the keys of the other one at once.",
    Flag.FAST,
    keys=NO_KEYS,
    since="4.0.0",
    complexity="O(N) where N is the number of keys that are watched in both databases",
    types={"index1": "integer", "index2": "integer"},
    categories=("keyspace", "dangerous"),
)
def swapdb(store: Store, index1: bytes, index2: bytes) -> Reply:
    first, second = parse_int(index1, INVALID_FIRST_DATABASE), parse_int(index2, INVALID_SECOND_DATABASE)
    store.databases.swap(store.other(first).index, store.other(second).index)
    return OK


class RebuildingLines:
    """A line per key. The items are copied under the lock, and the lines formatted when they are read, each time.

    The lines begin and end in database 0, as the batches of a log.
    """

    def __init__(self, databases: list[tuple[int, ItemsCopy]]) -> None:
        self._databases = databases

    def __sizeof__(self) -> int:
        return super().__sizeof__() + sum(sys.getsizeof(items) for _, items in self._databases)

    def __iter__(self) -> Iterator[Line]:
        selected = 0
        for index, items in self._databases:
            for key, value, expires_at in items:
                if selected != index:
                    selected = index
                    yield b"SELECT %d" % index
                command = (b"SET", key, value)
                yield command_line(command if expires_at is None else (*command, b"PXAT", b"%d" % expires_at))
        if selected:
            yield b"SELECT 0"


@group.reads_in_stages(
    "COMPACT",
    "Print commands that rebuild all databases: a SET per key, oldest key first, and SELECT if it is not database 0.",
    keys=NO_KEYS,
    since="0.1.0",
    complexity="O(N) where N is the number of keys in all databases",
)
def compact() -> Stages[Store, RebuildingLines]:
    return Lines((yield lambda store: RebuildingLines([(each.index, each.copy_items()) for each in store.all()])))
