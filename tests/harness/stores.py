"""Stores for tests. The invariants of every store that is made here are checked when its test ends (`conftest.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from server.engines.embedded import EmbeddedEngine
from server.keyspace.contents import ClearedContents
from server.keyspace.databases import Databases
from server.keyspace.observers import Entry, KeyspaceObserver, Removal
from server.keyspace.store import Clock, Store, system_clock

_made: list[Store] = []


def new_store(clock: Clock = system_clock, observers: Iterable[KeyspaceObserver] = ()) -> Store:
    """Make an empty store."""
    store = Store(clock, observers)
    Databases(store)
    _made.append(store)
    return store


def new_engine(clock: Clock = system_clock) -> EmbeddedEngine:
    """Make an engine on an empty store."""
    return EmbeddedEngine(new_store(clock))


def check_stores() -> None:
    """Check the stores that were made since the last call."""
    stores = _made.copy()
    _made.clear()
    for each in stores:
        for store in each.databases:
            store.check()


class Recorder:
    """An observer that records every change, and rebuilds from the changes what the store contains."""

    def __init__(self) -> None:
        self.changes: list[tuple[object, ...]] = []
        self.values: dict[bytes, bytes] = {}
        self.expiries: dict[bytes, int | None] = {}

    def on_set(self, key: bytes, value: bytes, expires_at: int | None, before: Entry | None) -> None:
        assert before == self.entry(key)
        self.changes.append(("set", key, value, expires_at))
        self.values[key], self.expiries[key] = value, expires_at

    def on_set_many(self, keys: Sequence[bytes], values: Sequence[bytes], before: Sequence[bytes | None]) -> None:
        for key, value, value_before in zip(keys, values, before, strict=True):
            self.on_set(key, value, None, None if value_before is None else (value_before, None))

    def on_write_range(self, key: bytes, offset: int, part: bytes, before: bytes | None) -> None:
        assert before == self.values.get(key)
        self.changes.append(("range", key, offset, part))
        old = before or b""
        self.values[key] = old[:offset].ljust(offset, b"\0") + part + old[offset + len(part) :]
        self.expiries.setdefault(key, None)

    def on_expiry_change(self, key: bytes, expires_at: int | None, before: int | None) -> None:
        assert before == self.expiries[key]
        self.changes.append(("expiry", key, expires_at))
        self.expiries[key] = expires_at

    def on_remove(self, key: bytes, cause: Removal, before: Entry) -> None:
        assert before == self.entry(key) or cause is Removal.EXPIRED
        self.changes.append(("remove", key, cause))
        del self.values[key], self.expiries[key]

    def on_clear(self, cleared: ClearedContents) -> None:
        self.changes.append(("clear", set(cleared.keys)))
        self.values.clear()
        self.expiries.clear()

    def entry(self, key: bytes) -> Entry | None:
        """Return the value and the expiry of a key, None if it does not exist."""
        return (self.values[key], self.expiries[key]) if key in self.values else None

    def items(self) -> list[tuple[bytes, bytes, int | None]]:
        """Return the content that results from all changes, in the form of `Store.items`."""
        return [(key, value, self.expiries[key]) for key, value in self.values.items()]


class Recorders:
    """Observes all databases, each by a `Recorder`, which begins with what the database contains."""

    def __init__(self) -> None:
        self.by_index: dict[int, Recorder] = {}

    def new_recorder(self, index: int) -> Recorder:
        return Recorder()

    def observer_of(self, store: Store) -> Recorder:
        recorder = self.by_index[store.index] = self.new_recorder(store.index)
        for key, value, expires_at in store.entries(store.keys_in_order()):
            recorder.on_set(key, value, expires_at, None)
        return recorder

    def on_swap(self, first: int, second: int) -> None:
        one, other = self.by_index[first], self.by_index[second]
        one.values, other.values = other.values, one.values
        one.expiries, other.expiries = other.expiries, one.expiries


def pairs(store: Store) -> list[tuple[bytes, bytes]]:
    """Return every key with its value, oldest first."""
    return [(key, value) for key, value, _ in store.items()]
