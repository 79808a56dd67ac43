"""How long an HTTP connection waits for its client: for a head, each part of a body, and the next request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

pytest.importorskip("httptools", reason="the extra http is not installed")

from server.commands import COMMANDS
from server.http.application import Application
from server.http.connection import HTTPConnection
from server.http.security import AccessPolicy
from server.session.context import ServerContext
from server.settings import HTTPTimeouts
from tests.harness.stores import new_engine

HEAD, BODY, IDLE = 10.0, 30.0, 5.0
HOST = b"Host: localhost\r\n"
GET = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
PUT = b"PUT /keys/k HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\n"
TOO_LARGE = PUT.replace(b"5", b"99999")


class FakeTransport(asyncio.Transport):
    """A transport that stores what is written to it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = b""
        self.unsent = 0
        self.closed = False
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True


class Client:
    """A connection whose clock is set by the test, and that is checked every second."""

    def __init__(self) -> None:
        context = ServerContext(new_engine(), COMMANDS)
        application = Application(context, AccessPolicy("127.0.0.1", context.auth, []), cors=None, max_body=100)
        self.transport = FakeTransport()
        self.connection = HTTPConnection(application, set())
        self.connection.connection_made(self.transport)
        self.now = 0.0
        self.check()

    def check(self) -> None:
        self.connection.check_progress(self.now, HTTPTimeouts(HEAD, BODY, IDLE))

    def send(self, data: bytes) -> None:
        self.connection.data_received(data)

    def forward(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.now += 1
            self.check()

    @property
    def statuses(self) -> list[int]:
        return [int(part[:3]) for part in self.transport.written.split(b"HTTP/1.1 ")[1:]]


def run(scenario: Callable[[Client], None]) -> None:
    async def in_a_loop() -> None:
        scenario(Client())

    asyncio.run(in_a_loop())


def test_a_client_that_sends_nothing_is_disconnected_without_a_response() -> None:
    def scenario(client: Client) -> None:
        client.forward(HEAD - 1)
        assert not client.transport.closed
        client.forward(1)
        assert (client.transport.closed, client.transport.written) == (True, b"")

    run(scenario)


@pytest.mark.parametrize("before", [b"", GET, GET * 3])
def test_a_head_that_arrives_slowly_is_408_after_the_limit_for_the_whole_head(before: bytes) -> None:
    def scenario(client: Client) -> None:
        client.send(before + b"G")
        client.check()
        for byte in b"ET / HTTP/1.1"[: int(HEAD) - 1]:
            client.send(bytes([byte]))
            client.forward(1)
        assert not client.transport.closed
        client.forward(1)
        assert client.transport.closed
        assert client.statuses == [200] * before.count(GET) + [408]

    run(scenario)


def test_heads_one_after_the_other_have_the_limit_each() -> None:
    def scenario(client: Client) -> None:
        for _ in range(10):
            client.send(GET[:10])
            client.forward(HEAD - 1)
            client.send(GET[10:])
        assert (client.statuses, client.transport.closed) == ([200] * 10, False)

    run(scenario)


def test_a_body_that_makes_no_progress_is_408() -> None:
    def scenario(client: Client) -> None:
        client.send(PUT)
        for _ in range(3):
            client.send(b"x")
            client.forward(BODY)
        assert not client.transport.closed, "each part has the limit of its own"
        client.forward(1)
        assert (client.transport.closed, client.statuses) == (True, [408])

    run(scenario)


def test_a_body_that_arrives_in_time_is_accepted() -> None:
    def scenario(client: Client) -> None:
        client.send(PUT)
        for _ in range(5):
            client.forward(BODY - 1)
            client.send(b"x")
        assert client.statuses == [201]

    run(scenario)


def test_a_refused_body_that_never_ends_closes_the_connection_without_a_second_response() -> None:
    def scenario(client: Client) -> None:
        client.send(TOO_LARGE + b"x")
        assert client.statuses == [413]
        client.forward(BODY + 1)
        assert (client.transport.closed, client.statuses) == (True, [413])

    run(scenario)


def test_a_keepalive_connection_is_closed_after_the_idle_limit() -> None:
    def scenario(client: Client) -> None:
        for _ in range(3):
            client.send(GET)
            client.forward(IDLE)
        assert not client.transport.closed, "each response starts the limit again"
        client.forward(1)
        assert (client.transport.closed, client.statuses) == (True, [200] * 3)

    run(scenario)


def test_line_breaks_between_requests_do_not_prolong_the_idle_limit() -> None:
    def scenario(client: Client) -> None:
        client.send(GET)
        client.check()
        for _ in range(int(IDLE)):
            client.send(b"\r\n")
            client.forward(1)
        assert client.transport.closed

    run(scenario)


def test_a_client_that_still_reads_its_response_is_not_idle() -> None:
    def scenario(client: Client) -> None:
        client.send(GET)
        for unsent in reversed(range(10)):
            client.transport.unsent = unsent
            client.forward(BODY if unsent else IDLE)
        assert not client.transport.closed
        client.forward(1)
        assert (client.transport.closed, client.transport.aborted) == (True, False)

    run(scenario)


@pytest.mark.parametrize("header", [b"", b"Connection: close\r\n"], ids=["keep-alive", "close"])
def test_a_client_that_reads_nothing_of_a_response_is_disconnected(header: bytes) -> None:
    def scenario(client: Client) -> None:
        client.transport.unsent = 1
        client.send(GET.replace(HOST, HOST + header))
        client.check()
        client.forward(BODY - 1)
        assert not client.transport.aborted
        client.forward(1)
        assert client.transport.aborted, "a close would wait for the reader"

    run(scenario)
