"""The little RESP that the benchmarks speak themselves: PING, and the loading and counting of many keys."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence

from benchmarks.errors import BenchmarkError

HOST = "127.0.0.1"
TIMEOUT = 30.0
PING = b"*1\r\n$4\r\nPING\r\n"
PONG = b"+PONG\r\n"
HTTP_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
HTTP_ANSWER = b"HTTP/1.1 "

BATCH = 1000
"""Commands in one write. Their replies fit the sockets' buffers, so neither side waits for the other to read."""


def connect(port: int) -> socket.socket:
    """Open a connection on which every wait is bounded."""
    connection = socket.create_connection((HOST, port), timeout=TIMEOUT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def answers_ping(port: int) -> bool:
    """Tell whether a server on this port answers PING."""
    try:
        with connect(port) as connection:
            connection.sendall(PING)
            return receive(connection, len(PONG)) == PONG
    except OSError:
        return False


def answers_http(port: int) -> bool:
    """Tell whether a server on this port answers HTTP, whatever its answer is."""
    try:
        with connect(port) as connection:
            connection.sendall(HTTP_REQUEST)
            return receive(connection, len(HTTP_ANSWER)) == HTTP_ANSWER
    except OSError:
        return False


def receive(connection: socket.socket, size: int) -> bytes:
    """Receive so many bytes; fewer only where the peer closed the connection."""
    pieces: list[bytes] = []
    while size > 0 and (piece := connection.recv(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def key(number: int) -> str:
    """Return the key of that number, 14 bytes."""
    return f"key:{number:010d}"


def value(number: int) -> str:
    """Return the value of that number, 16 bytes."""
    return f"{number:016d}"


def load_keys(port: int, count: int, options: Callable[[int], Sequence[str]] = lambda _: ()) -> None:
    """Set keys 0 to ``count``, many to a round trip; ``options`` gives the words that follow a key's value."""
    ok = b"+OK\r\n"
    with connect(port) as connection:
        for numbers in _batches(count):
            requests = (encode("SET", key(number), value(number), *options(number)) for number in numbers)
            connection.sendall(b"".join(requests))
            if receive(connection, len(ok) * len(numbers)) != ok * len(numbers):
                raise BenchmarkError("the server refused a SET")


def count_keys(port: int, count: int) -> int:
    """Return how many of the keys 0 to ``count`` are there."""
    total = 0
    with connect(port) as connection, connection.makefile("rb") as replies:
        for numbers in _batches(count):
            connection.sendall(encode("EXISTS", *map(key, numbers)))
            total += int(replies.readline().removeprefix(b":"))
    return total


def database_size(port: int) -> int:
    """Return how many keys the server says it has."""
    with connect(port) as connection, connection.makefile("rb") as replies:
        connection.sendall(encode("DBSIZE"))
        return int(replies.readline().removeprefix(b":"))


def remove_keys(port: int) -> None:
    """Empty the store."""
    with connect(port) as connection, connection.makefile("rb") as replies:
        connection.sendall(encode("FLUSHALL"))
        if replies.readline() != b"+OK\r\n":
            raise BenchmarkError("the server refused FLUSHALL")


def encode(*words: str) -> bytes:
    """Encode one request."""
    parts = [f"*{len(words)}\r\n", *(f"${len(word)}\r\n{word}\r\n" for word in words)]
    return "".join(parts).encode("ascii")


def _batches(count: int) -> Iterator[range]:
    return (range(start, min(start + BATCH, count)) for start in range(0, count, BATCH))
