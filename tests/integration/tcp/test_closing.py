"""The end of a connection: what the peer still receives, and what the server frees if the peer does not close."""

from __future__ import annotations

import contextlib

import pytest

from server.net.connection import MAX_LINGER_BYTES
from tests.harness.processes import Peer, ServerProcess
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.every_scheduler

MIB = 1024 * 1024

SOCKET_BUFFERS = 15 * MIB
"""More than the kernel stores for both ends of a connection (`tcp_rmem`, `tcp_wmem`)."""

GET_BIG = b"*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n"
BIG = b"$%d\r\n%b\r\n" % (MIB, b"x" * MIB)


def store_big_value(server: ServerProcess) -> None:
    peer = server.connect()
    peer.send(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n" + BIG)
    assert peer.line() == b"+OK\r\n"


def send_until_closed(peer: Peer, size: int) -> int:
    """Send this many bytes, or until the server closes the connection. Return how many were sent."""
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < size:
            peer.send(b"x" * MIB)
            sent += MIB
    return sent


def test_a_peer_that_sends_without_end_after_the_last_reply_is_closed(server: ServerProcess) -> None:
    peer = server.connect()
    peer.send(b"*x\r\n")
    limit = MAX_LINGER_BYTES + SOCKET_BUFFERS
    assert send_until_closed(peer, 10 * limit) <= limit


@pytest.mark.parametrize("last", [b"QUIT\n", b"*x\r\n"], ids=["QUIT", "protocol error"])
def test_a_connection_is_removed_although_its_peer_does_not_close(server: ServerProcess, last: bytes) -> None:
    others = server.clients()
    peer = server.connect()
    peer.send(last)
    assert peer.rest(), "the last reply arrives"
    wait_until(lambda: server.clients() == others, "the connection is removed")


def test_client_kill_closes_a_connection_whose_output_is_not_read(server: ServerProcess) -> None:
    store_big_value(server)
    others = server.clients()
    peer, killer = server.connect(), server.connect()
    number = int(peer.ask(b"CLIENT ID"))
    peer.send(GET_BIG * 100)
    assert peer.receive(len(BIG)) == BIG  # so the server is sending replies, which then fill the socket buffers
    assert killer.ask(b"CLIENT KILL ID %d" % number) == b"1"
    wait_until(lambda: server.clients() == others + 1, "only the other connection is left")
    assert is_cut_off(peer, 99 * len(BIG))


def is_cut_off(peer: Peer, size: int) -> bool:
    """Return whether less than this can still be received."""
    try:
        return len(peer.receive(size)) < size
    except ConnectionResetError:
        return True


def test_all_requests_before_the_end_of_input_are_replied_to(server: ServerProcess) -> None:
    store_big_value(server)
    peer = server.connect()
    peer.send(GET_BIG * 20)
    peer.finish_sending()
    assert peer.rest() == BIG * 20
