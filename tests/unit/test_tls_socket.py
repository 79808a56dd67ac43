"""`TLSSocket`: it behaves as a socket does, and an end without close_notify is an error."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from common.tls_socket import TLSSocket
from tests.harness.certificates import TLSFiles, certificates
from tests.harness.waiting import TIMEOUT

__all__ = ["certificates"]

Pair = tuple[TLSSocket, TLSSocket]


@pytest.fixture
def pair(certificates: TLSFiles) -> Iterator[Pair]:
    """Connect a server's socket and a client's, which both block."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.server)
    with ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        outgoing = socket.create_connection(listener.getsockname(), TIMEOUT)
        incoming, _ = listener.accept()
        incoming.settimeout(TIMEOUT)
        server = opened.enter_context(closing(TLSSocket(incoming, context, server_side=True)))
        client = opened.enter_context(
            closing(TLSSocket(outgoing, certificates.client_context(), server_hostname="localhost"))
        )
        accepting = threading.Thread(target=server.handshake)
        accepting.start()
        client.handshake()
        accepting.join(TIMEOUT)
        yield server, client


def test_data_of_any_size_arrives_unchanged(pair: Pair) -> None:
    server, client = pair
    data = bytes(range(256)) * 4000
    sending = threading.Thread(target=client.sendall, args=(data,))
    sending.start()
    received = b""
    while len(received) < len(data):
        received += server.recv(1000)
    assert received == data
    sending.join(TIMEOUT)


def test_close_notify_is_the_end_of_the_data(pair: Pair) -> None:
    server, client = pair
    client.sendall(b"last")
    client.shutdown(socket.SHUT_WR)
    assert (server.recv(100), server.recv(100), server.recv(100)) == (b"last", b"", b"")
    server.sendall(b"reply")
    assert client.recv(100) == b"reply"


def test_an_end_without_close_notify_is_an_error(pair: Pair) -> None:
    server, client = pair
    client.sendall(b"last")
    client.shutdown(socket.SHUT_RDWR)
    assert server.recv(100) == b"last"
    with pytest.raises(ConnectionAbortedError, match="without close_notify"):
        server.recv(100)


def test_a_receive_leaves_no_data_that_a_poller_does_not_report(pair: Pair) -> None:
    server, client = pair
    for number in range(100):
        client.sendall(b"%02d" % number)
    server.setblocking(False)
    received = b""
    while len(received) < 200:
        assert select.select([server], [], [], TIMEOUT)[0], "data that was not returned is still in the socket"
        received += server.recv(65536)
    assert received == b"".join(b"%02d" % number for number in range(100))
    with pytest.raises(BlockingIOError):
        server.recv(100)


def test_a_send_that_the_peer_does_not_take_is_repeated_with_the_same_data(pair: Pair) -> None:
    server, client = pair
    client.setblocking(False)
    data = bytes(range(256)) * 256
    sent = 0
    with pytest.raises(BlockingIOError):  # noqa: PT012
        while True:
            sent += client.send(data)
    assert client.has_unsent
    received = 0
    while True:
        received += len(server.recv(65536))
        try:
            sent += client.send(data)
            break
        except BlockingIOError:
            pass
    client.setblocking(True)
    client.shutdown(socket.SHUT_WR)
    while part := server.recv(65536):
        received += len(part)
    assert received == sent
