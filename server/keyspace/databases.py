"""The databases of a server: a store each, by number, and what concerns several of them.

A store is made when its database is first used, so databases that nobody uses cost nothing. A command gets the store of
the database that its client has selected, and reaches the others by `Store.other`. Guarded as the stores are.

SWAPDB exchanges the contents of two stores. The stores stay where they are, with their watches, so sessions and engines
hold on to a store for good.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from common.errors import DATABASE_OUT_OF_RANGE, CommandError
from server.keyspace.eviction import tracks_use
from server.keyspace.memory import MemoryLimit
from server.keyspace.observers import KeyspaceObserver
from server.keyspace.store import Store
from server.settings.table import DEFAULT_DATABASES


class DatabasesObserver(Protocol):
    """Observes all databases, each by an observer of its own."""

    def observer_of(self, store: Store) -> KeyspaceObserver:
        """Return the observer of a database. It is called once for each, with what it contains then."""
        ...

    def on_swap(self, first: int, second: int) -> None:
        """Two databases have exchanged their contents."""
        ...


class Databases:
    """The databases from 0 to ``count`` - 1, of which ``first`` is number 0."""

    def __init__(self, first: Store, count: int = DEFAULT_DATABASES) -> None:
        self.count = count
        self.memory: MemoryLimit | None = None
        """The memory limit of all databases together; None if there is none and no policy that tracks the use of keys.
        """
        self._stores = {0: first}
        self._observers: list[tuple[DatabasesObserver, dict[int, KeyspaceObserver]]] = []
        first.databases = self

    def __getitem__(self, index: int) -> Store:
        """Return the store of a database. Raises `CommandError` if there is no database of this number."""
        store = self._stores.get(index)
        return self._make(index) if store is None else store

    def __iter__(self) -> Iterator[Store]:
        """Iterate over the stores that were made so far, by number."""
        return iter([store for _, store in sorted(self._stores.items())])

    def _make(self, index: int) -> Store:
        if not 0 <= index < self.count:
            raise CommandError(DATABASE_OUT_OF_RANGE)
        store = self._stores[index] = self._stores[0].new_sibling(index)
        for observer, by_index in self._observers:
            self._attach(observer, by_index, store)
        return store

    def swap(self, first: int, second: int) -> None:
        """Exchange the contents of two databases. Raises `CommandError` if there is no database of such a number."""
        store, other = self[first], self[second]
        if store is other:
            return
        store.swap_contents(other)
        for observer, _ in self._observers:
            observer.on_swap(first, second)

    # ---------------------------------------------------------------- observers

    def observe(self, observer: DatabasesObserver) -> None:
        """Notify this observer of every change from now on, before the others."""
        by_index: dict[int, KeyspaceObserver] = {}
        self._observers.append((observer, by_index))
        for store in self:
            self._attach(observer, by_index, store)

    def _attach(self, observer: DatabasesObserver, by_index: dict[int, KeyspaceObserver], store: Store) -> None:
        by_index[store.index] = its_observer = observer.observer_of(store)
        store.observe(its_observer)

    def stop_observing(self, observer: DatabasesObserver) -> None:
        """Notify this observer no more."""
        for each, by_index in self._observers:
            if each is observer:
                for index, its_observer in by_index.items():
                    self._stores[index].stop_observing(its_observer)
        self._observers = [each for each in self._observers if each[0] is not observer]

    # ---------------------------------------------------------------- the memory limit

    def limit_memory(self, limit: int, policy: str) -> None:
        """Set the memory limit in bytes, 0 for none, and the policy. See `server.keyspace.memory`.

        The first limit counts all keys, in about 40 ns each.
        """
        memory = self.memory
        if limit or tracks_use(policy):
            if memory is None:
                self.memory = memory = MemoryLimit()
                self.observe(memory)
            memory.change(limit, policy)
        elif memory is not None:
            self.memory = None
            self.stop_observing(memory)
            for store in self:
                store.memory = None
