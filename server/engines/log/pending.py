"""Changes that are not durable yet: the records to write, and how to undo each change if that fails."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from server.engines.log.records import Record, select_record
from server.keyspace.contents import ClearedContents
from server.keyspace.databases import Databases
from server.keyspace.observers import Entry
from server.keyspace.store import Store

Undo = tuple[Callable[..., object], *tuple[Any, ...]]
"""A function and its arguments."""


class Pending:
    """Changes in their order. Guarded by the keyspace lock until the log takes them."""

    __slots__ = ("cleared", "database", "end", "freed_keys", "records", "size", "undo")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.undo: list[Undo] = []
        self.database = 0
        """The database of the last record. A batch begins and ends in database 0, so that it can be read alone."""
        self.size = 0
        """Approximate bytes of the values in the records."""
        self.cleared: tuple[ClearedContents, ...] = ()
        """What FLUSHDB removed. It is kept until the FLUSHDB is durable."""
        self.freed_keys: tuple[deque[bytes], ...] = ()
        """The key queues of before each FLUSHDB."""
        self.end = 0
        """How many changes were recorded since the start, up to the last one of these. Set when they are taken."""

    def select(self, database: int) -> None:
        """Let the records that follow apply to a database."""
        if self.database != database:
            self.database = database
            self.records.append(select_record(database))

    def complete_records(self) -> list[Record]:
        """Return the records as a batch has them. None is added afterwards."""
        self.select(0)
        return self.records

    def append(self, later: Pending) -> None:
        """Append later changes, whose records begin in database 0."""
        if later.records:
            self.select(0)
            self.records += later.records
            self.database = later.database
        self.undo += later.undo
        self.size += later.size
        self.cleared += later.cleared
        self.freed_keys += later.freed_keys

    def roll_back(self, databases: Databases) -> None:
        """Undo the changes, the last one first. At time 0, so that no key expires meanwhile.

        After an exception (MemoryError) it can be called again for the rest.
        """
        for store in databases:
            store.begin_step(0)
        try:
            while self.undo:
                function, *args = self.undo[-1]
                function(*args)
                self.undo.pop()
        finally:
            for store in databases:
                store.begin_step()
        self.cleared = ()

    def free(self) -> None:
        """Free what the changes removed, item by item, without the keyspace lock."""
        for cleared in self.cleared:
            cleared.release()
        for keys in self.freed_keys:
            while keys:
                keys.popleft()


def undo_entry(store: Store, key: bytes, before: Entry | None) -> None:
    """Give a key the value and the expiry that it had. A removed key gets the last place."""
    if before is None:
        store.delete(key)
    else:
        store.set(key, *before)


def undo_values(store: Store, keys: Sequence[bytes], before: Sequence[bytes | None]) -> None:
    """Give keys without an expiry the values that they had."""
    for key, value in zip(reversed(keys), reversed(before), strict=True):
        undo_entry(store, key, None if value is None else (value, None))


EXPIRED_LONG_AGO = 1
"""The expiry of a restored key whose expiry is not known any more, in milliseconds since the epoch."""


def undo_expired(store: Store, key: bytes, before: Entry) -> None:
    """Restore an expired key. It expires again when it is accessed, unless an earlier change is undone as well."""
    value, expires_at = before
    store.set(key, value, EXPIRED_LONG_AGO if expires_at is None else expires_at)


def undo_range(store: Store, key: bytes, offset: int, part: bytes, length: int) -> None:
    """Give a part of a value the bytes that it had, and the value its length."""
    value = store.get(key) or b""
    store.overwrite(key, (value[:offset] + part + value[offset + len(part) :])[:length])


def undo_expiry(store: Store, key: bytes, before: int | None) -> None:
    """Give a key the expiry that it had."""
    if before is None:
        store.persist(key)
    else:
        store.expire_at(key, before)


def undo_clear(store: Store, cleared: ClearedContents) -> None:
    """Bring back what was cleared. Later changes are undone already, so the store is empty."""
    store.restore(cleared)


def undo_swap(databases: Databases, first: int, second: int) -> None:
    """Exchange two databases again."""
    databases.swap(first, second)
