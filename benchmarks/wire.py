"""The RESP requests that the benchmarks send themselves: PING, and loading and counting keys."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence

from benchmarks.errors import BenchmarkError

HOST = "127.0.0.1"
TIMEOUT = 30.0
PING = b"*1\r\n$4\r\nPING\r\n"
PONG = b"+PONG\r\n"
HTTP_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
HTTP_RESPONSE = b"HTTP/1.1 "

BATCH = 1000
"""Commands in one write. Their replies fit into the socket buffers, so that no deadlock is possible."""


def connect(port: int) -> socket.socket:
    """Open a connection with a timeout on every operation."""
    connection = socket.create_connection((HOST, port), timeout=TIMEOUT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def responds_to_ping(port: int) -> bool:
    """Return whether a server on this port replies to PING."""
    try:
        with connect(port) as connection:
            connection.sendall(PING)
            return receive(connection, len(PONG)) == PONG
    except OSError:
        return False


def responds_to_http(port: int) -> bool:
    """Return whether a server on this port sends an HTTP response of any status."""
    try:
        with connect(port) as connection:
            connection.sendall(HTTP_REQUEST)
            return receive(connection, len(HTTP_RESPONSE)) == HTTP_RESPONSE
    except OSError:
        return False


def receive(connection: socket.socket, size: int) -> bytes:
    """Receive ``size`` bytes, or fewer if the peer closes the connection."""
    pieces: list[bytes] = []
    while size > 0 and (piece := connection.recv(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def key(number: int) -> str:
    """Return the key with this number, 16 bytes."""
    return f"key:{number:012d}"


def value(number: int) -> str:
    """Return the value with this number, 16 bytes."""
    return f"{number:016d}"


def load_keys(port: int, count: int, options: Callable[[int], Sequence[str]] = lambda _: ()) -> None:
    """Set keys 0 to ``count`` - 1, pipelined. ``options`` returns the arguments after a key's value."""
    ok = b"+OK\r\n"
    with connect(port) as connection:
        for numbers in _batches(count):
            requests = (encode("SET", key(number), value(number), *options(number)) for number in numbers)
            connection.sendall(b"".join(requests))
            if receive(connection, len(ok) * len(numbers)) != ok * len(numbers):
                raise BenchmarkError("the server refused a SET")


def count_keys(port: int, count: int) -> int:
    """Return how many of the keys 0 to ``count`` - 1 exist."""
    total = 0
    with connect(port) as connection, connection.makefile("rb") as replies:
        for numbers in _batches(count):
            connection.sendall(encode("EXISTS", *map(key, numbers)))
            total += int(replies.readline().removeprefix(b":"))
    return total


def database_size(port: int) -> int:
    """Return the server's reply to DBSIZE."""
    with connect(port) as connection, connection.makefile("rb") as replies:
        connection.sendall(encode("DBSIZE"))
        return int(replies.readline().removeprefix(b":"))


def flush_keys(port: int) -> None:
    """Delete all keys."""
    with connect(port) as connection, connection.makefile("rb") as replies:
        connection.sendall(encode("FLUSHALL"))
        if replies.readline() != b"+OK\r\n":
            raise BenchmarkError("the server refused FLUSHALL")


def send_command(port: int, *args: str) -> str:
    """Send one request, and return its reply as it was received. The reply is shorter than 64 KiB."""
    with connect(port) as connection:
        connection.sendall(encode(*args))
        return connection.recv(64 * 1024).decode("ascii")


def encode(*args: str) -> bytes:
    """Encode one request."""
    parts = [f"*{len(args)}\r\n", *(f"${len(arg)}\r\n{arg}\r\n" for arg in args)]
    return "".join(parts).encode("ascii")


def _batches(count: int) -> Iterator[range]:
    return (range(start, min(start + BATCH, count)) for start in range(0, count, BATCH))
