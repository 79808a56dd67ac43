"""Fixtures for every test, and the one rule that all share: a store is sound when its test is over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from server.engine import EmbeddedEngine
from server.session import Session
from server.store import Store
from tests.support import new_session

settings.register_profile("kvline", deadline=None, max_examples=100, print_blob=True)
settings.load_profile("kvline")


@pytest.fixture(autouse=True)
def _every_store_is_sound(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run `Store.check` on every store that the test made, however it came by it."""
    stores: list[Store] = []
    make = Store.__init__

    def make_and_remember(self: Store) -> None:
        make(self)
        stores.append(self)

    monkeypatch.setattr(Store, "__init__", make_and_remember)
    yield
    for each in stores:
        each.check()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def engine(store: Store) -> EmbeddedEngine:
    return EmbeddedEngine(store)


@pytest.fixture
def session(engine: EmbeddedEngine) -> Session:
    return new_session(engine)
