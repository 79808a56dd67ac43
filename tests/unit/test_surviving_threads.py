"""Threads that live as long as the server log an unexpected exception, and go on."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from server import stderr_log
from server.commands import COMMANDS
from server.engines import embedded
from server.engines.embedded import EmbeddedEngine
from server.engines.log import service
from server.keyspace.store import Store
from server.net import listener as listener_module
from server.net.io_thread import IOThread
from server.net.io_threads import IOThreads
from server.net.listener import Listener
from server.net.poller import READABLE
from server.session.context import ServerContext
from server.stderr_log import BackgroundStream
from tests.harness.logs import LoggedServer
from tests.harness.waiting import TIMEOUT, wait_until


def failing_once(function: Callable[..., Any] = lambda: None) -> Callable[..., Any]:
    """Return a function that raises when it is called first, and later does the same as another one."""
    left = [MemoryError("the test")]

    def call(*args: Any) -> Any:
        if left:
            raise left.pop()
        return function(*args)

    return call


def begin_call(thread: IOThread, function: Callable[[], None]) -> None:
    thread.call(function)


def begin_timer(thread: IOThread, function: Callable[[], None]) -> None:
    def begin() -> None:
        thread.call_later(0, function)

    thread.call(begin)


def begin_before_wait(thread: IOThread, function: Callable[[], None]) -> None:
    thread.call(lambda: thread.call_before_wait(function))


@pytest.mark.parametrize("begin", [begin_call, begin_timer, begin_before_wait])
def test_an_io_thread_survives_a_function_that_raises(
    io_thread: IOThread, begin: Callable[[IOThread, Callable[[], None]], None]
) -> None:
    called = threading.Event()
    begin(io_thread, failing_once())
    begin(io_thread, called.set)
    assert called.wait(TIMEOUT)


def test_an_io_thread_watches_a_socket_whose_function_has_raised_no_more(io_thread: IOThread) -> None:
    reader, writer = socket.socketpair()
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise MemoryError("the test")

    with reader, writer:
        io_thread.call(lambda: io_thread.watch(reader.fileno(), READABLE, fail))
        writer.send(b"x")
        wait_until(lambda: calls, "it is called")
        for _ in range(3):
            called = threading.Event()
            io_thread.call(called.set)
            assert called.wait(TIMEOUT)
        assert len(calls) == 1


@pytest.mark.uncompiled
@pytest.mark.parametrize("name", ["expire_slice", "evict_slice"])
def test_the_active_expire_thread_survives_an_exception(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    monkeypatch.setattr(embedded, "EXPIRE_INTERVAL", 0.001)
    engine = EmbeddedEngine(Store())
    called = threading.Event()
    monkeypatch.setattr(engine, name, failing_once(called.set))
    embedded._failed.reset()
    engine.start()
    try:
        assert called.wait(TIMEOUT)
    finally:
        engine.stop()
    assert caplog.messages == ["the active expire thread failed unexpectedly, and goes on"]


def test_an_accept_thread_survives_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "MAX_ACCEPT_PAUSE", 0.001)
    scheduler = IOThreads(1)
    context = ServerContext(EmbeddedEngine(Store()), COMMANDS)
    listener = Listener(socket.AF_INET, ("127.0.0.1", 0), context, scheduler)
    monkeypatch.setattr(listener, "get_request", failing_once(listener.get_request))
    scheduler.start()
    listener.start()
    try:
        with socket.create_connection(("127.0.0.1", listener.port), TIMEOUT) as sock:
            sock.sendall(b"PING\n")
            assert sock.recv(100) == b"PONG\n"
    finally:
        listener.stop()
        scheduler.stop()


def test_the_thread_of_standard_error_survives_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    stream = BackgroundStream(writer)
    with monkeypatch.context() as patch:
        patch.setattr(stderr_log, "_write", failing_once(stderr_log._write))
        stream.write("lost\n")
        wait_until(lambda: stream.dropped, "the text is dropped")
        stream.write("written\n")
        assert os.read(reader, 100) == b"written\n"
        stream.drain()
    os.close(reader)
    os.close(writer)


def test_a_rewrite_that_fails_unexpectedly_has_failed_and_the_next_one_can_begin() -> None:
    server = LoggedServer()
    server.run("SET k v")
    server.disk.on_call = failing_once(lambda _: None)
    with pytest.raises(MemoryError):
        server.service.save()
    assert server.service.info()["aof_last_bgrewrite_status"] == "err"
    server.service.save()
    assert server.service.info()["aof_last_bgrewrite_status"] == "ok"


def test_the_thread_of_the_log_survives_exceptions_and_logs_the_first_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "TICK_INTERVAL", 0.001)
    server = LoggedServer()
    called = threading.Event()
    monkeypatch.setattr(server.service, "tick", failing_once(failing_once(called.set)))
    server.service.start()
    try:
        assert called.wait(TIMEOUT)
    finally:
        server.service.stop()
    assert caplog.messages == ["the log's thread failed unexpectedly, and goes on"]
