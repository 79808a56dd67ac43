"""The idle timeout: which connections it closes, and what it costs those that it does not close."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from math import inf
from time import perf_counter_ns
from typing import Any

import pytest

from common.resp_client import encode_request
from server.app import Server
from server.clients.registry import ClientInfo
from server.net.connection import Connection
from server.net.io_thread import IOThread
from server.net.nonblocking import NonblockingConnection
from server.net.threads import BlockingConnection
from server.net.timers import Timer, TimerHeap
from server.session.context import ServerContext
from server.session.session import Session
from server.session.timeouts import seconds_left
from server.settings import Settings
from tests.harness.processes import Peer
from tests.harness.sessions import ClientSession, execute, send_line
from tests.harness.waiting import TIMEOUT, wait_until

Connect = Callable[[Server], Peer]
StartTimed = Callable[[int], Server]


@pytest.fixture(params=[0, 1, 2], ids=lambda count: f"{count} I/O threads")
def start(request: pytest.FixtureRequest) -> Iterator[StartTimed]:
    """Start a server with an idle timeout in this process, in each way in which connections are served."""
    with ExitStack() as started:
        yield lambda seconds: started.enter_context(
            Server(Settings(ports=(0,), io_threads=request.param, idle_timeout=seconds))
        )


@pytest.fixture
def connect() -> Iterator[Connect]:
    with ExitStack() as opened:

        def open_one(server: Server) -> Peer:
            peer = Peer(server.port)
            opened.callback(peer.close)
            assert peer.ask(b"PING") == b"PONG"
            return peer

        yield open_one


def client_of(server: Server) -> ClientInfo:
    """Return the only client."""
    (client,) = server.context.clients.all()
    return client


# ---------------------------------------------------------------- which connections are closed


def test_a_silent_client_is_closed_after_the_idle_timeout(start: StartTimed, connect: Connect) -> None:
    server = start(1)
    assert connect(server).rest() == b""
    wait_until(lambda: len(server.context.clients) == 0, "the client is deregistered")


def test_a_client_that_has_sent_nothing_is_closed_after_the_idle_timeout(start: StartTimed) -> None:
    peer = Peer(start(1).port)
    assert peer.rest() == b""
    peer.close()


def test_monitor_is_exempt_from_the_idle_timeout_until_reset(start: StartTimed, connect: Connect) -> None:
    server = start(1)
    monitor = connect(server)
    assert monitor.ask(b"MONITOR") == b"OK"
    assert connect(server).rest() == b"", "a client that connected later is closed"
    connect(server)
    assert [monitor.line().partition(b"] ")[2] for _ in range(2)] == [b'"PING"\n'] * 2
    monitor.send(b"RESET\n")
    assert monitor.rest().endswith(b"RESET\n"), "then it is an idle client"


def test_config_set_timeout_applies_to_existing_connections(start: StartTimed, connect: Connect) -> None:
    server = start(0)
    silent, other = connect(server), connect(server)
    assert other.ask(b"CONFIG SET timeout 1") == b"OK"
    assert (silent.rest(), other.rest()) == (b"", b"")


def test_config_set_timeout_0_ends_the_idle_timeout(start: StartTimed, connect: Connect) -> None:
    server = start(1000)
    peer = connect(server)
    assert peer.ask(b"CONFIG SET timeout 0") == b"OK"
    client = client_of(server)
    client.call.started = client.touched_at = perf_counter_ns() - 2000 * 10**9  # silent for 2,000 seconds
    assert peer.ask(b"CONFIG SET timeout 0") == b"OK"
    assert seconds_left(Session(server.context, client)) == float("inf")


@pytest.mark.uncompiled
def test_a_client_whose_command_takes_longer_is_not_idle(
    start: StartTimed, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start(1)
    entered, gate = threading.Event(), threading.Event()
    execute_in_stages = server.context.engine.database(0).execute_in_stages

    def gated(*arguments: object) -> object:
        entered.set()
        assert gate.wait(TIMEOUT)
        return execute_in_stages(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(server.context.engine.database(0), "execute_in_stages", gated)
    waiting = connect(server)
    waiting.send(b"KEYS *\n")
    assert entered.wait(TIMEOUT)
    for _ in range(2):
        assert connect(server).rest() == b"", "a silent client that connected later is closed"
    gate.set()
    assert waiting.line() == b"(empty)\n"


def test_a_client_that_does_not_read_is_closed_after_the_idle_timeout(start: StartTimed, connect: Connect) -> None:
    server = start(1)
    greedy = connect(server)
    greedy.send(encode_request([b"SET", b"big", bytes(1_000_000)]))
    assert greedy.line() == b"+OK\r\n"
    greedy.send(encode_request([b"GET", b"big"]) * 100)
    wait_until(lambda: len(server.context.clients) == 0, "the connection is closed")


def test_the_longest_idle_timeout_is_accepted(start: StartTimed, connect: Connect) -> None:
    server = start(2**31 - 1)
    peer, other = connect(server), connect(server)
    assert (peer.ask(b"PING"), other.ask(b"CONFIG SET timeout 2147483647")) == (b"PONG", b"OK")
    assert (peer.ask(b"PING"), connect(server).ask(b"PING")) == (b"PONG", b"PONG")


# ---------------------------------------------------------------- what counts as activity


@pytest.mark.parametrize(
    "request_",
    [b"PING\n", b"NO SUCH COMMAND\n", b"GET too many arguments\n", b"\n", b"*1\r\n$4\r\n", b"{\n", b"\xff\xf6"],
    ids=["command", "unknown", "arity", "empty line", "part of a request", "frame", "telnet AYT"],
)
def test_everything_that_a_client_sends_is_activity(start: StartTimed, connect: Connect, request_: bytes) -> None:
    server = start(1000)
    peer, client = connect(server), client_of(server)
    before = client.active_at
    peer.send(request_)
    wait_until(lambda: client.active_at > before, "the client is active")


def test_queueing_a_command_is_activity(start: StartTimed, connect: Connect) -> None:
    server = start(1000)
    peer, client = connect(server), client_of(server)
    assert peer.ask(b"MULTI") == b"OK"
    before = client.active_at
    assert peer.ask(b"GET a") == b"QUEUED"
    assert client.active_at > before


def test_reading_output_that_had_to_wait_is_activity(start: StartTimed, connect: Connect) -> None:
    server = start(1000)
    peer, client = connect(server), client_of(server)
    peer.send(encode_request([b"SET", b"big", bytes(30_000_000)]))
    assert peer.line() == b"+OK\r\n"
    peer.send(b"GET big\n")
    peer.receive(1)
    for _ in range(3):
        before = client.active_at
        peer.receive(8_000_000)
        wait_until(lambda before=before: client.active_at > before, "the client is active")  # type: ignore[misc]


@pytest.mark.uncompiled  # replaces a method
@pytest.mark.parametrize("connection_class", [NonblockingConnection, BlockingConnection])
def test_timeouts_may_be_changed_while_a_connection_is_accepted(
    context: ServerContext, connection_class: type[Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, thread = context.clients, IOThread("I/O")
    add = registry.add

    def add_and_change_timeouts(*args: Any) -> ClientInfo:
        client = add(*args)
        registry.apply_timeouts()
        return client

    thread.start()
    with ExitStack() as opened, monkeypatch.context() as patched:
        opened.callback(thread.stop)
        accepted = opened.enter_context(socket.socket())
        patched.setattr(registry, "add", add_and_change_timeouts)
        # Each call is made at once, as if the thread that accepts connections was interrupted for it.
        patched.setattr(thread, "call", lambda function: function())
        stats = [context.stats.new_shard()] if connection_class is NonblockingConnection else []
        connection = connection_class(context, accepted, ("127.0.0.1", 1), thread, *stats)
        registry.apply_timeouts()
        connection.close()


def test_client_list_shows_how_long_a_client_was_silent(session: ClientSession) -> None:
    send_line(session, "PING")
    client = session.client
    client.call.started -= 10 * 10**9
    send_line(session, "NO SUCH COMMAND")
    assert client.active_at > client.call.started
    assert b" idle=0 " in b"".join(execute(session, b"CLIENT", b"LIST").splitlines())  # type: ignore[union-attr]


# ---------------------------------------------------------------- what the timers cost


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The timers that are set, by their seconds."""
    seconds: list[float] = []
    add = TimerHeap.add

    def counted(self: TimerHeap, after: float, function: Callable[[], None]) -> object:
        seconds.append(after)
        return add(self, after, function)

    monkeypatch.setattr(TimerHeap, "add", counted)
    return seconds


def test_a_request_sets_no_timer(start: StartTimed, connect: Connect, added: list[float]) -> None:
    peer = connect(start(1000))
    for _ in range(100):
        assert peer.ask(b"PING") == b"PONG"
    assert len(added) == 1


def test_without_an_idle_timeout_a_connection_has_no_timer(
    start: StartTimed, connect: Connect, added: list[float]
) -> None:
    assert connect(start(0)).ask(b"PING") == b"PONG"
    assert added == []


def test_a_connection_that_closes_cancels_its_timer(
    start: StartTimed, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[float] = []
    cancelled: list[TimerHeap] = []
    add, remove_cancelled = TimerHeap.add, TimerHeap.remove_cancelled

    def recorded_add(self: TimerHeap, seconds: float, function: Callable[[], None]) -> Timer:
        added.append(seconds)
        return add(self, seconds, function)

    def recorded(self: TimerHeap) -> None:
        cancelled.append(self)
        remove_cancelled(self)

    monkeypatch.setattr(TimerHeap, "add", recorded_add)
    monkeypatch.setattr(TimerHeap, "remove_cancelled", recorded)
    server = start(1000)
    peer = connect(server)
    wait_until(lambda: len(added) == 1, "the timer is set")  # a connection that closes before gets none
    peer.close()
    wait_until(lambda: len(cancelled) == 1, "the timer is cancelled")


# ---------------------------------------------------------------- the time to authenticate


@pytest.fixture(params=[0, 1, 2], ids=lambda count: f"{count} I/O threads")
def guarded(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server with a password and little time to send it, in each way in which connections are served."""
    settings = Settings(ports=(0,), io_threads=request.param, password="hush", auth_timeout=1.0)
    with Server(settings) as server:
        yield server


@pytest.fixture
def connect_stranger(guarded: Server) -> Iterator[Callable[[], Peer]]:
    with ExitStack() as opened:

        def open_one() -> Peer:
            peer = Peer(guarded.port)
            opened.callback(peer.close)
            return peer

        yield open_one


@pytest.mark.parametrize("sent", [b"", b"AUTH ", b"*2\r\n$4\r\nAUTH\r\n", b"GET k\n"], ids=repr)
def test_a_client_that_does_not_authenticate_in_time_is_closed(
    guarded: Server, connect_stranger: Callable[[], Peer], sent: bytes
) -> None:
    peer = connect_stranger()
    peer.send(sent)
    assert peer.rest() in (b"", b"(error) NOAUTH Authentication required.\n")
    wait_until(lambda: len(guarded.context.clients) == 0, "the client is deregistered")


@pytest.mark.parametrize("request_", [b"AUTH wrong\n", b"RESET\n"])
def test_a_client_that_does_not_authenticate_is_closed_whatever_it_sends_all_the_time(
    connect_stranger: Callable[[], Peer], request_: bytes
) -> None:
    peer = connect_stranger()
    give_up_at = time.monotonic() + TIMEOUT
    with suppress(OSError):  # a reset or a broken pipe
        peer.send(request_)
        while peer.line():
            assert time.monotonic() < give_up_at, "the connection is closed"
            peer.send(request_)


def test_a_client_that_has_authenticated_has_no_timeout_until_reset(
    guarded: Server, connect_stranger: Callable[[], Peer]
) -> None:
    friend = connect_stranger()
    assert friend.ask(b"AUTH hush") == b"OK"
    assert connect_stranger().rest() == b"", "a client that connected later is closed"
    assert friend.ask(b"PING") == b"PONG"
    assert friend.ask(b"RESET") == b"RESET"
    assert friend.rest() == b"", "then it has to authenticate again"


def test_a_password_that_is_removed_ends_the_timeout(context: ServerContext) -> None:
    context.change_settings({"password": "hush"})
    stranger = Session(context, context.clients.add())
    assert 0 < seconds_left(stranger) <= 10
    context.change_settings({"password": ""})
    assert seconds_left(stranger) == inf
