"""Fixtures for every test, and the one rule that all share: a store is sound when its test is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from server.commands import COMMANDS
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store, system_clock
from server.session.context import ServerContext
from tests.harness.sessions import ClientSession, Clock, connect

settings.register_profile("kvline", deadline=None, max_examples=100, print_blob=True)
settings.load_profile("kvline")


@pytest.fixture(autouse=True)
def _every_store_is_sound(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run `Store.check` on every store that the test made, however it came by it."""
    stores: list[Store] = []
    make = Store.__init__

    def make_and_remember(self: Store, clock: Callable[[], int] = system_clock) -> None:
        make(self, clock)
        stores.append(self)

    monkeypatch.setattr(Store, "__init__", make_and_remember)
    yield
    for each in stores:
        each.check()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Store:
    return Store(clock)


@pytest.fixture
def engine(store: Store) -> EmbeddedEngine:
    return EmbeddedEngine(store)


@pytest.fixture
def context(engine: EmbeddedEngine) -> ServerContext:
    return ServerContext(engine, COMMANDS)


@pytest.fixture
def session(context: ServerContext) -> ClientSession:
    return connect(context)


@pytest.fixture
def other(session: ClientSession) -> ClientSession:
    """Another session of the same server."""
    return connect(session.context, "10.0.0.2:6000")
