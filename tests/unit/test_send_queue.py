"""The part of a socket's output that its peer has not acknowledged."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress

import pytest

from server.net.send_queue import unacknowledged_size
from tests.harness.waiting import wait_until


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_what_the_peer_has_no_room_for_is_not_acknowledged() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(listener.getsockname())
        sender, _ = listener.accept()
        with sender:
            assert unacknowledged_size(sender.fileno()) == 0
            sender.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    sender.send(b"x" * 65536)
            before = unacknowledged_size(sender.fileno())
            assert before > 0
            peer.setblocking(False)

            def reads_until_less_is_left() -> bool:
                with suppress(BlockingIOError):
                    peer.recv(65536)
                return unacknowledged_size(sender.fileno()) < before

            wait_until(reads_until_less_is_left, "the peer has acknowledged what it has read")


def test_a_socket_that_is_closed_has_no_unacknowledged_data() -> None:
    assert unacknowledged_size(-1) == 0
