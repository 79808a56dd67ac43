"""Fixtures for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from server.commands import COMMANDS
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.session.context import ServerContext
from tests.harness.sessions import ClientSession, Clock, connect
from tests.harness.stores import check_stores, new_store

settings.register_profile("kvline", deadline=None, max_examples=100, print_blob=True)
settings.load_profile("kvline")


@pytest.fixture(autouse=True)
def _check_stores() -> Iterator[None]:
    """Check the invariants of every store that the test made with `tests.harness.stores`."""
    yield
    check_stores()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Store:
    return new_store(clock)


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
