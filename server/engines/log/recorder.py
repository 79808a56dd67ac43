"""What observes the databases for the log: it records each change, and knows the keys in the order of their creation.

Everything here runs under the keyspace lock, without I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any, TypeAlias

from common.limits import MIB
from server.engines.log.changes import Changes
from server.engines.log.key_order import KeyOrder
from server.engines.log.pending import (
    Pending,
    undo_clear,
    undo_entry,
    undo_expired,
    undo_expiry,
    undo_range,
    undo_swap,
    undo_values,
)
from server.engines.log.records import Record
from server.keyspace.contents import ClearedContents
from server.keyspace.databases import Databases
from server.keyspace.observers import Entry, Removal
from server.keyspace.store import Store

MAX_PENDING = 64 * MIB
"""Bytes of pending records after which they are written before the next command is executed.

A command can make far larger records than it is itself: COPY records the value.
"""

Entries: TypeAlias = list[tuple[bytes, bytes, "int | None"]]
"""Keys with their values and expiries."""


class DatabaseRecorder:
    """Observes a store for its log."""

    def __init__(self, changes: Changes, store: Store) -> None:
        self._changes = changes
        self.store = store
        self.index = store.index
        self.order = KeyOrder(store.keys_in_order())
        self.unrecorded: set[bytes] = set()
        """Keys that have expired while the log was failing."""
        self._visited_as = store.index  # the number of the database when the visit began

    def take_unrecorded(self) -> set[bytes]:
        """Return the keys that must be recorded before the log works again. None is left."""
        keys, self.unrecorded = self.unrecorded, set()
        return keys

    def swap(self, other: DatabaseRecorder) -> None:
        """Exchange what is known of the keys with a database with which they were exchanged."""
        self.order, other.order = other.order, self.order
        self.unrecorded, other.unrecorded = other.unrecorded, self.unrecorded
        self._visited_as, other._visited_as = other._visited_as, self._visited_as

    def begin_visit(self) -> None:
        """Begin to visit the keys that exist now."""
        self.order.begin_visit()
        self._visited_as = self.index

    def visit(self, count: int) -> tuple[int, Entries]:
        """Visit up to ``count`` keys. Return the database's number when the visit began, and the keys that exist."""
        return self._visited_as, self.store.entries(self.order.visit(count))

    # ---------------------------------------------------------------- the observer

    def on_set(self, key: bytes, value: bytes, expires_at: int | None, before: Entry | None) -> None:
        """Record a SET."""
        if before is None:
            self.order.created(key)
        changes = self._changes
        if changes.is_muted:
            self.unrecorded.discard(key)  # its expiry is undone
            return
        pending = changes.pending
        if pending.database != self.index:
            pending.select(self.index)
        pending.records.append(
            (b"SET", key, value) if expires_at is None else (b"SET", key, value, b"PXAT", b"%d" % expires_at)
        )
        pending.undo.append((undo_entry, self.store, key, before))
        pending.size += len(value)
        if pending.size > MAX_PENDING:
            changes.needs_attention = True
        changes.appended += 1

    def on_set_many(self, keys: Sequence[bytes], values: Sequence[bytes], before: Sequence[bytes | None]) -> None:
        """Record a SET for each key, with one function to undo all of them."""
        if None in before:
            self.order.created(*[key for key, value in zip(keys, before, strict=True) if value is None])
        changes = self._changes
        pending = changes.pending
        pending.select(self.index)
        pending.records += zip(repeat(b"SET"), keys, values)
        pending.undo.append((undo_values, self.store, keys, before))
        pending.size += sum(map(len, values))
        if pending.size > MAX_PENDING:
            changes.needs_attention = True
        changes.appended += 1

    def on_write_range(self, key: bytes, offset: int, part: bytes, before: bytes | None) -> None:
        """Record a SETRANGE: not the value, which may be large and change often."""
        if before is None:
            self.order.created(key)
            self._record((b"SETRANGE", key, b"%d" % offset, part), undo_entry, key, None)
        else:
            old_part = before[offset : offset + len(part)]
            record = (b"SETRANGE", key, b"%d" % offset, part)
            self._record(record, undo_range, key, offset, old_part, len(before))

    def on_expiry_change(self, key: bytes, expires_at: int | None, before: int | None) -> None:
        """Record a PEXPIREAT or a PERSIST."""
        record = (b"PERSIST", key) if expires_at is None else (b"PEXPIREAT", key, b"%d" % expires_at)
        self._record(record, undo_expiry, key, before)

    def on_remove(self, key: bytes, cause: Removal, before: Entry) -> None:
        """Record a DEL, whatever the cause. Keys expire while the log is failing, too: see `DurableLog.resume`.

        An expiry is undone with the changes before it: without an EXPIRE that is undone, the key has not expired.
        """
        self.order.removed(key)
        if cause is not Removal.EXPIRED:
            self._record((b"DEL", key), undo_entry, key, before)
        elif self._changes.problem is None or self._changes.pending.undo:  # in the order of the pending changes
            self._record((b"DEL", key), undo_expired, key, before)
        else:
            self.unrecorded.add(key)

    def on_clear(self, cleared: ClearedContents) -> None:
        """Record a FLUSHDB, and keep what it removed until it is durable."""
        changes = self._changes
        changes.pending.freed_keys += self.order.cleared()
        if not changes.is_muted:
            cleared.hold()
            changes.pending.cleared += (cleared,)
        self._record((b"FLUSHDB",), undo_clear, cleared)

    def _record(self, record: Record, undo: Callable[..., object], *args: Any) -> None:
        changes = self._changes
        if changes.is_muted:
            return
        pending = changes.pending
        if pending.database != self.index:
            pending.select(self.index)
        pending.records.append(record)
        pending.undo.append((undo, self.store, *args))
        pending.size += sum(map(len, record))
        if pending.size > MAX_PENDING:
            changes.needs_attention = True
        changes.appended += 1


class Recorders:
    """Observes all databases for their log, each by a `DatabaseRecorder`."""

    def __init__(self, changes: Changes, databases: Databases) -> None:
        self._changes = changes
        self._databases = databases
        self._by_database: dict[int, DatabaseRecorder] = {}

    def observer_of(self, store: Store) -> DatabaseRecorder:
        """Record the changes of a database from now on."""
        recorder = self._by_database[store.index] = DatabaseRecorder(self._changes, store)
        return recorder

    def on_swap(self, first: int, second: int) -> None:
        """Record a SWAPDB."""
        self._by_database[first].swap(self._by_database[second])
        changes = self._changes
        if changes.is_muted:
            return
        pending = changes.pending
        pending.records.append((b"SWAPDB", b"%d" % first, b"%d" % second))
        pending.undo.append((undo_swap, self._databases, first, second))
        changes.appended += 1

    def take_unrecorded(self) -> Pending:
        """Return the records of keys that have expired while the log was failing."""
        pending = Pending()
        for recorder in self._by_database.values():
            if keys := recorder.take_unrecorded():
                pending.select(recorder.index)
                pending.records += [(b"DEL", key) for key in keys]
                pending.undo += [(recorder.unrecorded.add, key) for key in keys]
        return pending

    # ---------------------------------------------------------------- visits

    @property
    def needs_visit(self) -> bool:
        """Whether a visit of all keys would free memory. See `server.engines.log.key_order`."""
        return any(each.order.needs_visit for each in self._by_database.values())

    def begin_visit(self) -> None:
        """Begin to visit the keys of all databases that exist now."""
        for recorder in self._by_database.values():
            recorder.begin_visit()

    def visit(self, count: int) -> tuple[int, Entries] | None:
        """Visit up to ``count`` keys of a database. Return its number when the visit began, and the keys that exist.

        Returns None at the end. SWAPDB does not change the number, because the log that continues a snapshot has it.
        """
        for recorder in self._by_database.values():
            if recorder.order.is_visiting:
                return recorder.visit(count)
        return None
