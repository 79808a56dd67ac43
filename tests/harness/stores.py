"""Stores for tests. The invariants of every store that is made here are checked when its test ends (`conftest.py`)."""

from __future__ import annotations

from collections.abc import Iterable

from server.engines.embedded import EmbeddedEngine
from server.keyspace.observers import KeyspaceObserver
from server.keyspace.store import Clock, Store, system_clock

_made: list[Store] = []


def new_store(clock: Clock = system_clock, observers: Iterable[KeyspaceObserver] = ()) -> Store:
    """Make an empty store."""
    store = Store(clock, observers)
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
        each.check()


def pairs(store: Store) -> list[tuple[bytes, bytes]]:
    """Return every key with its value, oldest first."""
    return [(key, value) for key, value, _ in store.items()]
