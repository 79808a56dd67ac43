"""Connections that take long or do nothing, and the part of ``--max-clients`` that HTTP may have."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.harness.http_wire import HOST, Wire, start_with_http
from tests.harness.processes import ServerProcess, StartServer
from tests.harness.waiting import wait_until


@pytest.fixture
def impatient(start_server: StartServer) -> ServerProcess:
    """A server that waits only briefly for its HTTP clients."""
    options = [f"--http-{what}-timeout" for what in ("head", "body", "idle")]
    return start_with_http(start_server, *[each for option in options for each in (option, "0.1")])


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (b"", []),
        (b"GET /healthz HT", [408]),
        (b"PUT /keys/k HTTP/1.1\r\n%bContent-Length: 100\r\n\r\nhalf" % HOST, [408]),
        (b"PUT /keys/k HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n" % HOST, [408]),
        (b"GET /healthz HTTP/1.1\r\n%b\r\n" % HOST, [200]),
        (b"GET /healthz HTTP/1.1\r\n%b\r\nGET /healthz" % HOST, [200, 408]),
    ],
    ids=["nothing", "a head", "a body", "chunks", "no further request", "a second head"],
)
def test_a_timeout_closes_connections_that_wait_for(impatient: ServerProcess, sent: bytes, statuses: list[int]) -> None:
    with Wire(impatient.http_url) as wire:
        wire.send(sent)
        assert [wire.answer().status for _ in statuses] == statuses
        assert wire.is_closed_by_the_server()


def test_silent_http_connections_cannot_lock_out_redis_clients(start_server: StartServer) -> None:
    server = start_with_http(start_server, "--max-clients", "20")
    with ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(Wire(server.http_url))
        peers = [server.connect() for _ in range(10)]
        assert {peer.ask(b"PING") for peer in peers} == {b"PONG"}
        with Wire(server.http_url) as refused:
            assert refused.ask(b"GET", b"/healthz").status == 503


def test_the_share_of_http_can_be_set_and_follows_maxclients(start_server: StartServer) -> None:
    server = start_with_http(start_server, "--max-clients", "20", "--http-max-clients", "2")
    with Wire(server.http_url) as first, Wire(server.http_url) as second, Wire(server.http_url) as third:
        statuses = [each.ask(b"GET", b"/healthz").status for each in (first, second, third)]
        assert statuses == [200, 200, 503]
    other = start_with_http(start_server, "--max-clients", "2")
    assert other.connect().ask(b"CONFIG SET maxclients 6") == b"OK"
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(other.http_url)) for _ in range(4)]
        assert [wire.ask(b"GET", b"/healthz").status for wire in wires] == [200, 200, 200, 503]


def test_a_closed_http_connection_makes_room_for_another(start_server: StartServer) -> None:
    server = start_with_http(start_server, "--http-max-clients", "1")

    def is_served() -> bool:
        with Wire(server.http_url) as wire:
            return wire.ask(b"GET", b"/healthz").status == 200

    for _ in range(3):
        wait_until(is_served, "the place is free again")
