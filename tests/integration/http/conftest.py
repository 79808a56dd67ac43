"""Fixtures for tests of the HTTP listener: a server with one, and clients."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.harness.http_wire import Wire, start_with_http
from tests.harness.processes import ServerProcess, lease, start_server
from tests.harness.waiting import TIMEOUT, wait_until

__all__ = ["start_server"]


@pytest.fixture(scope="session")
def shared_server() -> Iterator[ServerProcess]:
    """One server with both listeners for all tests that leave it running."""
    server = start_with_http(ServerProcess)
    yield server
    server.close()


@pytest.fixture
def server(shared_server: ServerProcess) -> Iterator[ServerProcess]:
    """The shared server, empty and without other clients. It must be healthy after the test."""

    def wait_for_connections() -> None:
        # HTTP connections have no threads of their own that could be counted.
        wait_until(lambda: clients(shared_server) == 1, "CLIENT LIST shows only its own connection")
        shared_server.close_peers()

    with lease(shared_server, wait_for_connections):
        yield shared_server


def clients(server: ServerProcess) -> int:
    """Return how many connections CLIENT LIST shows."""
    peer = server.connect()
    peer.send(b"*2\r\n$6\r\nCLIENT\r\n$4\r\nLIST\r\n")
    listed = peer.receive(int(peer.line()[1:]) + 2).strip().count(b"\n") + 1
    peer.close()
    return listed


@pytest.fixture
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    """A client on the shared server, which is empty."""
    with httpx.Client(base_url=server.http_url, timeout=TIMEOUT, verify=False) as client:  # as certificates take long
        yield client


@pytest.fixture
def wire(server: ServerProcess) -> Iterator[Wire]:
    """One connection to the shared server's HTTP listener, for requests that no client library sends."""
    with Wire(server.http_url) as connection:
        yield connection
