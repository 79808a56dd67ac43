"""Embedded engines whose databases do something else than executing a command at once."""

from __future__ import annotations

from typing import Any, ClassVar

from server.engines.embedded import EmbeddedDatabase, EmbeddedEngine
from server.engines.waits import LockWaits
from server.keyspace.store import Store


class OwnedDatabase(EmbeddedDatabase):
    """A database that knows its engine."""

    def __init__(self, store: Store, waits: LockWaits, engine: Any) -> None:
        super().__init__(store, waits)
        self.engine = engine


class CustomEngine(EmbeddedEngine):
    """An engine whose databases are of another class."""

    database_class: ClassVar[type[OwnedDatabase]] = OwnedDatabase

    def _new_database(self, store: Store) -> EmbeddedDatabase:
        return self.database_class(store, self._waits, self)
