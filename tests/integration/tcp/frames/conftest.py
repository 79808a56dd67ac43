"""Fixtures: the servers, and clients that are closed in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.harness.frame_client import FrameClient
from tests.harness.processes import ServerProcess, server, shared_server, start_server

__all__ = ["server", "shared_server", "start_server"]


@pytest.fixture
def connect(server: ServerProcess) -> Iterator[Callable[[], FrameClient]]:
    """Open connections to the shared server."""
    with ExitStack() as clients:

        def open_one() -> FrameClient:
            client = FrameClient(server.port)
            clients.callback(client.close)
            return client

        yield open_one


@pytest.fixture
def client(connect: Callable[[], FrameClient]) -> FrameClient:
    return connect()


@pytest.fixture
def beside(connect: Callable[[], FrameClient]) -> Iterator[FrameClient]:
    """A healthy connection; it must still be replied to after the test."""
    healthy = connect()
    healthy.set("healthy", True)
    yield healthy
    assert healthy.get("healthy") is True
