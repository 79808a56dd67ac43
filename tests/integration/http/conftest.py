"""Fixtures for tests of the HTTP listener: a server with one, and clients."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.harness.http_wire import Wire, new_http_client, start_with_http
from tests.harness.npm import check_with_node, node_modules
from tests.harness.processes import ServerProcess, server, start_server
from tests.harness.waiting import TIMEOUT

__all__ = ["check_with_node", "node_modules", "server", "start_server"]


@pytest.fixture(scope="session")
def shared_server() -> Iterator[ServerProcess]:
    """One server with both listeners for all tests that leave it running."""
    server = start_with_http(ServerProcess)
    yield server
    server.close()


@pytest.fixture
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    """A client on the shared server, which is empty."""
    with new_http_client(server.http_url) as client:
        yield client


@pytest.fixture
def wire(server: ServerProcess) -> Iterator[Wire]:
    """One connection to the shared server's HTTP listener, for requests that no client library sends."""
    with Wire(server.http_url) as connection:
        yield connection
