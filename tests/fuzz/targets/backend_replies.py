"""Replies of a backing Redis: `server.engines.redis.connection`, and what the engine parses in them."""

from __future__ import annotations

import socket
from contextlib import suppress
from unittest import mock

from common.errors import CommandError
from common.replies import ErrorReply, Reply
from server.engines.redis import connection as connection_module
from server.engines.redis.connection import BackendConnection, ConnectionSettings
from server.engines.redis.replies import one_line, raise_for_error
from server.engines.redis.slots import SLOT_COUNT, parse_cluster_slots, parse_redirect
from tests.fuzz.targets.client_replies import TOKENS as REPLIES
from tests.fuzz.targets.client_replies import decode
from tests.harness.waiting import TIMEOUT

TOKENS = [
    *REPLIES,
    *(b"-MOVED 1 127.0.0.1:7000\r\n", b"-ASK 1 :7000\r\n", b"-TRYAGAIN x\r\n", b"-LOADING x\r\n", b"-NOAUTH x\r\n"),
    *(b":0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:7000\r\n", b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"),
]

ASKED = ("seed.example", 7000)
REQUESTS = [[b"GET", b"k"], [b"GET", b"l"]]


class _SocketPair:
    """Replaces redis-py. The other end of the socket has sent the input and closed the connection."""

    def __init__(self, data: bytes) -> None:
        self._ours, theirs = socket.socketpair()
        self._ours.settimeout(TIMEOUT)
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        self._theirs = theirs

    def open(self) -> socket.socket:
        return self._ours

    def close(self) -> None:
        """Do nothing: `BackendConnection.connect` closes the socket before it opens it."""

    def end(self) -> None:
        self._ours.close()
        self._theirs.close()


def check(data: bytes) -> None:
    """Send requests on a connection whose server sends the input. Then parse each reply as a cluster's."""
    replies = decode([data])
    check_connection(data, replies)
    for reply in replies or []:
        check_parsers(reply)


def check_connection(data: bytes, replies: list[Reply] | None) -> None:
    """Assert that each request gets the reply in its place, or a `CommandError`, and the connection is not used."""
    pair = _SocketPair(data)
    try:
        with mock.patch.object(connection_module, "RedisSocket", return_value=pair):
            connection = BackendConnection(ConnectionSettings({}))
        try:
            connection.connect()  # the first reply is that of HELLO
            received = connection.send_all(REQUESTS, writes=True)
        except CommandError:
            assert replies is None or len(replies) <= len(REQUESTS)
        else:
            assert replies is not None
            assert repr(received) == repr(replies[1 : 1 + len(REQUESTS)])
        assert not connection.is_usable()
    finally:
        pair.end()


def check_parsers(reply: Reply) -> None:
    """Assert that malformed data in a reply is a documented error, and that an address can be connected to."""
    try:
        table = parse_cluster_slots(reply, ASKED)
    except ValueError:
        pass
    else:
        for address in table.nodes:
            assert_is_address(*address)
    if isinstance(reply, ErrorReply):
        assert b"\n" not in one_line(reply.text)
        with suppress(CommandError):
            raise_for_error(reply)
        try:
            slot, address = parse_redirect(reply, ASKED)
        except ValueError:
            return
        assert 0 <= slot < SLOT_COUNT
        assert_is_address(*address)


def assert_is_address(host: str, port: int) -> None:
    """Assert that a node may have the address."""
    assert 0 < port < 65536
    assert host
    assert host.isprintable()
