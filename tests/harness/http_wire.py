"""HTTP clients: httpx, and a connection that sends any bytes and reads at any time, which no client library does."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx
import pytest

from tests.harness.processes import ServerProcess
from tests.harness.waiting import TIMEOUT

HOST = b"Host: localhost\r\n"


def new_http_client(base_url: str = "") -> httpx.Client:
    """Return a client that waits as long as a busy machine takes, and reads no certificates, which takes 30 ms."""
    return httpx.Client(base_url=base_url, timeout=TIMEOUT, verify=False)


def fetch(method: str, url: str, **options: Any) -> httpx.Response:
    """Send one request on a connection of its own."""
    with new_http_client() as client:
        return client.request(method, url, **options)


class Answered(NamedTuple):
    """A response as it was received."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Wire:
    """A connection to an HTTP listener. It is closed at the end of the ``with``."""

    def __init__(self, url: str) -> None:
        address = httpx.URL(url)
        self.socket = socket.create_connection((address.host, address.port or 80), TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self.socket.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes unchanged."""
        self.socket.sendall(data)

    def ask(self, method: bytes, path: bytes, body: bytes = b"", headers: bytes = b"") -> Answered:
        """Send a request and receive its response."""
        self.send(request(method, path, body, headers))
        return self.answer(has_body=method != b"HEAD")

    def answer(self, *, has_body: bool = True) -> Answered:
        """Receive one response."""
        version, status, _ = self._answers.readline().split(b" ", 2)
        assert version == b"HTTP/1.1"
        headers: dict[bytes, bytes] = {}
        while line := self._answers.readline().strip():
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        return Answered(int(status), headers, self._body(headers) if has_body else b"")

    def _body(self, headers: dict[bytes, bytes]) -> bytes:
        if headers.get(b"transfer-encoding") != b"chunked":
            return self._answers.read(int(headers.get(b"content-length", b"0")))
        body = bytearray()
        while size := int(self._answers.readline(), 16):
            body += self._answers.read(size)
            assert self._answers.readline() == b"\r\n"
        assert self._answers.readline() == b"\r\n"
        return bytes(body)

    def rest(self) -> bytes:
        """Receive everything until the server closes the connection in an orderly way."""
        return self._answers.read()

    def is_closed_by_the_server(self) -> bool:
        """Wait for the orderly end. Return false if data or a reset arrives instead."""
        return self._answers.read(1) == b""

    def reset(self) -> None:
        """Close with a reset, as a process that crashed does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._answers.close()
        self.socket.close()


def request(method: bytes, path: bytes, body: bytes = b"", headers: bytes = b"") -> bytes:
    """Encode a request."""
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return b"%b %b HTTP/1.1\r\n%b%b%b\r\n%b" % (method, path, HOST, headers, length, body)


def start_with_http(start: Callable[..., ServerProcess], *options: str, **keywords: object) -> ServerProcess:
    """Start a server with both listeners. Skip the test if the extra is not installed."""
    pytest.importorskip("httptools", reason="the extra http is not installed")
    return start("--port", "0", "--http-port", "0", *options, ports=2, **keywords)
