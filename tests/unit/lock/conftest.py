"""Fixtures: an engine whose keyspace lock reports how it is used. All other fixtures use this engine too."""

from __future__ import annotations

import pytest

from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from tests.harness.locks import WatchedLock, engine_on


@pytest.fixture
def lock() -> WatchedLock:
    return WatchedLock()


@pytest.fixture
def engine(store: Store, lock: WatchedLock, monkeypatch: pytest.MonkeyPatch) -> EmbeddedEngine:
    return engine_on(store, lock, monkeypatch)
