"""Addresses of backing servers: those that a cluster sends, and those that a socket does not accept."""

from __future__ import annotations

import pytest

pytest.importorskip("redis", reason="the extra proxy is not installed")

from common.errors import CommandError
from common.replies import ErrorKind, ErrorReply, Reply
from server.engines.redis.connection import BackendConnection, ConnectionSettings
from server.engines.redis.slots import parse_cluster_slots, parse_redirect

SENDER = ("asked.example", 7000)


def slots(host: bytes | None, port: int) -> Reply:
    return [[0, 16383, [host, port]]]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        (b"10.0.0.1", ("10.0.0.1", 65535)),
        (b"::1", ("::1", 65535)),
        (b"", ("asked.example", 65535)),
    ],
)
def test_an_address_is_parsed(host: bytes, address: tuple[str, int]) -> None:
    assert parse_cluster_slots(slots(host, 65535), SENDER).nodes == [address]
    assert parse_redirect(ErrorReply(b"MOVED", b"1 %b:65535" % host), SENDER) == (1, address)


@pytest.mark.parametrize("port", [-1, 0, 65536, 70_000, 10**20])
def test_a_port_out_of_range_is_refused(port: int) -> None:
    with pytest.raises(ValueError, match="not an address of a node"):
        parse_cluster_slots(slots(b"10.0.0.1", port), SENDER)
    with pytest.raises(ValueError, match="not an address of a node"):
        parse_redirect(ErrorReply(b"MOVED", b"1 10.0.0.1:%d" % port), SENDER)


@pytest.mark.parametrize("host", [b"a\0b", b"a\nb", b"\x1b[2J", b"\xff"])
def test_a_host_that_is_not_printable_is_refused(host: bytes) -> None:
    with pytest.raises(ValueError, match=r"not an address of a node|codec can't decode"):
        parse_cluster_slots(slots(host, 7000), SENDER)
    with pytest.raises(ValueError, match=r"not an address of a node|codec can't decode"):
        parse_redirect(ErrorReply(b"ASK", b"1 %b:7000" % host), SENDER)


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
def test_a_host_name_that_cannot_be_encoded_is_an_error_and_not_a_bug(host: str) -> None:
    connection = BackendConnection(ConnectionSettings({}).at(host, 7000))
    with pytest.raises(CommandError) as raised:
        connection.connect()
    assert raised.value.reply.kind is ErrorKind.UPSTREAM_DOWN
