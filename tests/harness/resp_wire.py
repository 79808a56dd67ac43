"""Send the same requests to kvline and Redis, and read their replies byte for byte."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from common.resp_client import encode_request
from tests.harness.processes import Peer, ServerProcess
from tests.harness.redis_server import RedisServer

Args: TypeAlias = tuple[bytes, ...]


class Aggregate(NamedTuple):
    """An array or a map: its header line, and its items. Two are equal if their bytes on the wire are."""

    header: bytes
    items: list[Reply]


Reply: TypeAlias = bytes | Aggregate
"""The bytes of a reply. Those of an aggregate are split into its items."""

QUEUED = b"+QUEUED\r\n"


def read_reply(peer: Peer) -> Reply:
    """Read one reply, RESP2 or RESP3."""
    line = peer.line()
    assert line.endswith(b"\r\n"), f"the connection ended within a reply, after {line!r}"
    mark = line[:1]
    if mark in b"$=!":
        length = int(line[1:])
        return line if length < 0 else line + peer.receive(length + 2)
    if mark in b"*~%>":
        count = int(line[1:])
        if count < 0:
            return line
        return Aggregate(line, [read_reply(peer) for _ in range(2 * count if mark == b"%" else count)])
    return line


def replies_before(peer: Peer, token: bytes) -> list[Reply]:
    """Return what a connection receives before the reply to a PING with this token, which is sent now."""
    peer.send(encode_request([b"PING", token]))
    received: list[Reply] = []
    while not _contains(reply := read_reply(peer), token):
        received.append(reply)
    return received


def _contains(reply: Reply, token: bytes) -> bool:
    if isinstance(reply, Aggregate):
        return any(_contains(item, token) for item in reply.items)
    return token in reply


def payload(bulk: Reply) -> bytes:
    """Return the content of a bulk string."""
    data = scalar(bulk)
    assert data.startswith(b"$"), data
    return data.partition(b"\r\n")[2].removesuffix(b"\r\n")


def scalar(reply: Reply) -> bytes:
    """Return the bytes of a reply that is no aggregate."""
    assert isinstance(reply, bytes), reply
    return reply


class Twin:
    """A connection to each of the two servers. Both get the same requests."""

    def __init__(self, kvline: Peer, redis: Peer) -> None:
        self.kvline = kvline
        self.redis = redis

    def ask(self, args: Sequence[bytes]) -> tuple[Reply, Reply]:
        """Send a command. Return the replies of kvline and Redis."""
        request = encode_request(args)
        self.kvline.send(request)
        self.redis.send(request)
        return read_reply(self.kvline), read_reply(self.redis)

    @staticmethod
    def ask_one(peer: Peer, args: Sequence[bytes]) -> Reply:
        """Send a command to one of the two only."""
        peer.send(encode_request(args))
        return read_reply(peer)

    def pour(self, to_kvline: bytes, to_redis: bytes | None = None) -> tuple[bytes, bytes]:
        """Send everything and end the output. Return all that each server replies until it closes the connection."""
        for peer, data in ((self.kvline, to_kvline), (self.redis, to_redis or to_kvline)):
            peer.send(data)
            with contextlib.suppress(OSError):  # the server may have closed the connection already
                peer.finish_sending()
        return self.kvline.rest(), self.redis.rest()

    def close(self) -> None:
        self.kvline.close()
        self.redis.close()


class Servers(NamedTuple):
    """The two servers that are compared."""

    kvline: ServerProcess
    redis: RedisServer

    def connect(self) -> Twin:
        """Connect to both."""
        kvline = Peer(self.kvline.port)
        try:
            return Twin(kvline, Peer(self.redis.port))
        except BaseException:
            kvline.close()
            raise
