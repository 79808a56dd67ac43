"""The life of a connection: versions of HTTP, Expect, half-closed and idle clients, and the threads that serve it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import pytest

from common.codec import Args
from common.replies import Lines, Reply
from server.commands import COMMANDS
from server.engines.base import WOULD_BLOCK, CallContext, TransactionPart, WouldBlock
from server.keyspace.store import Store
from server.keyspace.watches import Watch
from server.registry import Command
from server.session.context import ServerContext
from server.settings import HTTPTimeouts
from tests.harness.engines import CustomEngine, OwnedDatabase
from tests.harness.http_wire import HOST, Wire, request
from tests.harness.waiting import TIMEOUT

KIB = 1024
MIB = 1024 * KIB

pytest.importorskip("httptools", reason="the extra http is not installed")

pytestmark = pytest.mark.uncompiled  # the tests' engine is a subclass


class RecordingDatabase(OwnedDatabase):
    """A database that records which threads execute commands."""

    def execute(self, command: Command, args: Args, call: CallContext) -> Reply:
        self.engine.threads.append(threading.current_thread().name)
        return super().execute(command, args, call)


class ThreadRecorder(CustomEngine):
    """An engine that records which threads execute commands."""

    database_class: ClassVar[type[OwnedDatabase]] = RecordingDatabase

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.threads: list[str] = []
        self.may_continue = threading.Event()
        """For databases that wait for the test."""

    def execute_all(
        self, parts: Sequence[TransactionPart], watches: Mapping[int, Watch], call: CallContext
    ) -> list[Reply | Exception] | None:
        self.threads.append(threading.current_thread().name)
        return super().execute_all(parts, watches, call)


@pytest.fixture
def recorder(store: Store) -> ThreadRecorder:
    return ThreadRecorder(store)


@pytest.fixture
def url(recorder: ThreadRecorder) -> Iterator[str]:
    """The address of a listener in this process."""
    from server.http.listener import create_http_listener

    listener = create_http_listener("127.0.0.1", 0, ServerContext(recorder, COMMANDS), max_body=MIB)
    listener.start()
    yield listener.address
    listener.stop()


@pytest.fixture
def local(url: str) -> Iterator[Wire]:
    with Wire(url) as connection:
        yield connection


# ---------------------------------------------------------------- versions


@pytest.mark.parametrize("host", [b"", HOST + HOST], ids=["none", "two"])
def test_http_1_1_needs_exactly_one_host(local: Wire, host: bytes) -> None:
    local.send(b"GET /healthz HTTP/1.1\r\n%b\r\n" % host)
    refused = local.answer()
    assert (refused.status, list(json.loads(refused.body))) == (400, ["error"])
    assert local.is_closed_by_the_server()


def test_http_1_0_needs_no_host(local: Wire) -> None:
    local.send(b"GET /healthz HTTP/1.0\r\n\r\n")
    assert local.answer().status == 200
    assert local.is_closed_by_the_server()


def test_a_streamed_response_to_http_1_0_ends_with_the_connection(local: Wire) -> None:
    assert local.ask(b"PUT", b"/keys/big", b"x" * MIB).status == 201
    body = json.dumps(["GET", "big"]).encode()
    local.send(b"POST / HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    head, _, content = local.rest().partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert json.loads(content) == {"result": "x" * MIB}


def test_every_response_has_a_date(local: Wire) -> None:
    assert local.ask(b"GET", b"/healthz").headers[b"date"].endswith(b" GMT")
    assert b"date" in local.ask(b"GET", b"/keys/absent").headers


# ---------------------------------------------------------------- keepalive


def test_keepalive_serves_many_requests_until_connection_close(local: Wire) -> None:
    for _ in range(10):
        assert b"connection" not in local.ask(b"GET", b"/healthz").headers
    closed = local.ask(b"GET", b"/healthz", headers=b"Connection: close\r\n")
    assert closed.headers[b"connection"] == b"close"
    assert local.is_closed_by_the_server()


class BlockingDatabase(RecordingDatabase):
    """A database whose commands block, in a worker, until the test continues them."""

    def may_block(self, command: Command, args: Args) -> bool:
        return True

    def try_execute(self, command: Command, args: Args, call: CallContext) -> WouldBlock:  # type: ignore[override]
        return WOULD_BLOCK

    def execute(self, command: Command, args: Args, call: CallContext) -> Reply:
        assert self.engine.may_continue.wait(TIMEOUT)
        return super().execute(command, args, call)


class BlockingEngine(ThreadRecorder):
    database_class = BlockingDatabase


def test_a_pipelined_request_that_blocks_is_closed_by_no_timeout(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from server.http import listener
    from server.http.connection import HTTPConnection

    checked = threading.Semaphore(0)
    check_progress = HTTPConnection.check_progress

    def check_and_count(self: HTTPConnection, now: float, timeouts: HTTPTimeouts) -> None:
        check_progress(self, now, timeouts)
        checked.release()

    monkeypatch.setattr(HTTPConnection, "check_progress", check_and_count)
    engine = BlockingEngine(store)
    running = listener.create_http_listener(
        "127.0.0.1", 0, ServerContext(engine, COMMANDS), max_body=MIB, timeouts=HTTPTimeouts(0.01, 0.01, 0.01)
    )
    running.start()
    try:
        with Wire(running.address) as client:
            client.send(request(b"GET", b"/healthz") + request(b"GET", b"/keys/absent"))
            assert client.answer().status == 200
            for _ in range(5):
                assert checked.acquire(timeout=TIMEOUT)
            engine.may_continue.set()
            assert client.answer().status == 404
    finally:
        engine.may_continue.set()
        running.stop()


class LazyDatabase(BlockingDatabase):
    """A database whose COMPACT reads its lines while they are sent, as it does with a backing Redis."""

    def execute(self, command: Command, args: Args, call: CallContext) -> Reply:
        def lines() -> Iterator[bytes]:
            self.engine.threads.append(threading.current_thread().name)
            yield b"SET k v"

        return Lines(lines())

    execute_in_stages = execute


class LazyEngine(ThreadRecorder):
    database_class = LazyDatabase


@pytest.mark.parametrize("wanted", [b"GET /compact", b"POST /"])
def test_lines_that_are_read_from_a_backend_are_read_in_a_worker(store: Store, wanted: bytes) -> None:
    from server.http.listener import create_http_listener

    engine = LazyEngine(store)
    running = create_http_listener("127.0.0.1", 0, ServerContext(engine, COMMANDS), max_body=MIB)
    running.start()
    try:
        with Wire(running.address) as client:
            method, path = wanted.split()
            assert b"SET k v" in client.ask(method, path, b'["COMPACT"]' if method == b"POST" else b"").body
    finally:
        running.stop()
    assert engine.threads
    assert all(name.startswith("http worker") for name in engine.threads)


def test_a_client_that_ends_its_side_gets_all_responses(local: Wire) -> None:
    local.send(request(b"PUT", b"/keys/k", b"v") + request(b"GET", b"/metrics") + request(b"GET", b"/keys/k"))
    local.socket.shutdown(socket.SHUT_WR)
    assert [local.answer().status for _ in range(3)] == [201, 200, 200]
    assert local.is_closed_by_the_server()


def test_a_refusal_that_replaces_100_continue_closes_the_connection(local: Wire) -> None:
    local.send(b"PUT /keys/k HTTP/1.1\r\n%bExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (HOST, MIB + 1))
    refused = local.answer()
    assert (refused.status, refused.headers[b"connection"]) == (413, b"close")
    assert local.is_closed_by_the_server()


def test_a_client_that_sends_its_body_at_once_gets_no_100_continue(local: Wire) -> None:
    local.send(request(b"PUT", b"/keys/k", b"v", b"Expect: 100-continue\r\n"))
    assert local.answer().status == 201


# ---------------------------------------------------------------- threads


def test_a_small_request_is_executed_on_the_event_loop(local: Wire, recorder: ThreadRecorder) -> None:
    assert local.ask(b"POST", b"/", b'["SET", "k", "v"]').status == 200
    assert local.ask(b"GET", b"/keys/k").status == 200
    assert {name.partition(" ")[0] for name in recorder.threads} == {"http"}
    assert not any(name.startswith("http worker") for name in recorder.threads)


@pytest.mark.parametrize("path", [b"/keys/k", b"/set/k"])
def test_a_request_with_a_large_body_is_executed_in_a_worker(
    local: Wire, recorder: ThreadRecorder, path: bytes
) -> None:
    method = b"PUT" if path.startswith(b"/keys") else b"POST"
    assert local.ask(method, path, b"x" * (64 * KIB + 1)).status in (200, 201)
    assert recorder.threads
    assert all(name.startswith("http worker") for name in recorder.threads)


@pytest.mark.parametrize("path", [b"/pipeline", b"/multi-exec"])
def test_many_commands_are_executed_in_a_worker(local: Wire, recorder: ThreadRecorder, path: bytes) -> None:
    assert local.ask(b"POST", path, b'[["SET", "k", "v"], ["GET", "k"]]').status == 200
    assert all(name.startswith("http worker") for name in recorder.threads)
