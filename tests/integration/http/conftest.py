"""The fixtures of the tests of the HTTP door: a server that has it, and clients for it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.harness.http_wire import Wire, start_with_http
from tests.harness.processes import ServerProcess, start_server
from tests.harness.waiting import TIMEOUT, wait_until

__all__ = ["start_server"]


@pytest.fixture(scope="session")
def shared_server() -> Iterator[ServerProcess]:
    """One server with both doors for all tests that leave it running."""
    server = start_with_http(ServerProcess)
    yield server
    server.close()


@pytest.fixture
def server(shared_server: ServerProcess) -> Iterator[ServerProcess]:
    """Lend a test the shared server, empty; in the end it must be well, and nobody be left in its list."""
    assert shared_server.connect().ask(b"FLUSHALL") == b"OK"
    yield shared_server
    shared_server.check()
    shared_server.close_peers()
    wait_until(lambda: shared_server.clients() == 0, "every connection is closed")


@pytest.fixture
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    """A client on the shared server, which is empty."""
    with httpx.Client(base_url=server.http_url, timeout=TIMEOUT, verify=False) as client:  # as certificates take long
        yield client


@pytest.fixture
def wire(server: ServerProcess) -> Iterator[Wire]:
    """One connection to the shared server's HTTP door, for requests that no client library would send."""
    with Wire(server.http_url) as connection:
        yield connection
