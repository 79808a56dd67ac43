"""TCP keepalive on accepted connections."""

from __future__ import annotations

import socket

import pytest

from server.app import Server
from server.settings import Settings
from tests.harness.processes import Peer


def accepted_options(seconds: int) -> tuple[int, int]:
    """Return SO_KEEPALIVE and TCP_KEEPIDLE of a connection that a server with this setting has accepted."""
    with Server(Settings(ports=(0,), tcp_keepalive=seconds)) as server:
        peer = Peer(server.port)
        assert peer.ask(b"PING") == b"PONG"
        transport = server.context.clients.all()[0].transport
        sock = getattr(transport, "socket")  # noqa: B009  # not part of the protocol Transport
        options = (
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        )
        peer.close()
        return options


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="this platform has no TCP_KEEPIDLE")
def test_a_connection_has_the_keepalive_time_of_the_settings() -> None:
    assert accepted_options(60) == (1, 60)


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="this platform has no TCP_KEEPIDLE")
def test_0_turns_keepalive_off() -> None:
    assert accepted_options(0)[0] == 0


def test_the_default_is_that_of_redis() -> None:
    assert Settings().tcp_keepalive == 300
