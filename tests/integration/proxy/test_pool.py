"""The pool of connections to one server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FuturesTimeoutError
from contextlib import suppress
from typing import Any

import pytest

from common.errors import CommandError
from common.replies import ErrorKind
from server.engines.redis import pool as pool_module
from server.engines.redis.connection import BackendConnection, ConnectionSettings
from server.engines.redis.pool import ConnectionPool
from server.engines.redis.time_limit import time_limit
from tests.harness.fake_redis import CLOSE, HOST, FakeRedis
from tests.harness.waiting import TIMEOUT


@pytest.fixture
def fake() -> Iterator[FakeRedis]:
    made = FakeRedis()
    yield made
    made.close()


@pytest.fixture
def pool(fake: FakeRedis) -> Iterator[ConnectionPool]:
    made = ConnectionPool(ConnectionSettings({"host": HOST, "port": fake.port}), 2, b"waiting for the pool")
    yield made
    made.close()


def test_a_pool_opens_connections_when_they_are_needed_and_reuses_the_last_one(
    pool: ConnectionPool, fake: FakeRedis
) -> None:
    assert fake.connections == 0
    first, second = pool.acquire(), pool.acquire()
    pool.release(first)
    pool.release(second)
    assert [pool.acquire(), pool.acquire()] == [second, first]
    assert fake.connections == 2


def test_a_pool_with_no_free_connection_has_a_timeout(pool: ConnectionPool) -> None:
    held = [pool.acquire(), pool.acquire()]
    with time_limit(0.05), pytest.raises(CommandError) as raised:
        pool.acquire()
    assert raised.value.reply.kind is ErrorKind.UPSTREAM_TIMEOUT
    assert raised.value.reply.text.endswith(b"timed out waiting for the pool")
    pool.release(held[0])
    assert pool.acquire() is held[0]


def test_a_released_connection_goes_to_a_thread_that_waits(pool: ConnectionPool) -> None:
    held = [pool.acquire(), pool.acquire()]
    got: list[BackendConnection] = []
    waiting = threading.Thread(target=lambda: got.append(pool.acquire()))
    waiting.start()
    pool.release(held[1])
    waiting.join(TIMEOUT)
    assert got == [held[1]]


def test_a_failed_attempt_to_connect_leaves_its_place_in_the_pool(pool: ConnectionPool, fake: FakeRedis) -> None:
    fake.script[b"HELLO"] = CLOSE
    for _ in range(3):
        with pytest.raises(CommandError):
            pool.acquire()
    del fake.script[b"HELLO"]
    assert all(pool.acquire().is_usable() for _ in range(2))


def test_a_retired_pool_closes_idle_connections_now_and_others_when_they_are_released(pool: ConnectionPool) -> None:
    used, idle = pool.acquire(), pool.acquire()
    pool.release(idle)
    pool.retire()
    assert (used.is_usable(), idle.is_usable()) == (True, False)
    assert used.send_all([[b"PING"]])
    pool.release(used)
    assert not used.is_usable()


def test_a_closed_pool_refuses_requests_and_closes_connections_in_use(pool: ConnectionPool) -> None:
    used, idle = pool.acquire(), pool.acquire()
    pool.release(idle)
    pool.close()
    assert not used.is_usable()
    assert not idle.is_usable()
    with pytest.raises(CommandError) as raised:
        pool.acquire()
    assert raised.value.reply.text == b"ERR backend unavailable: the server is stopping"


def test_a_connection_that_is_opened_while_the_pool_closes_is_closed(
    pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo

    def close_and_look_up(*args: Any) -> Any:
        pool.close()  # the socket does not exist yet, so this cannot close it
        return look_up(*args)

    monkeypatch.setattr(socket, "getaddrinfo", close_and_look_up)
    assert not pool.acquire().is_usable()


def test_close_wakes_threads_that_wait_for_a_connection(pool: ConnectionPool) -> None:
    for _ in range(2):
        pool.acquire()
    errors: list[bytes] = []
    begun = threading.Event()

    def acquire() -> None:
        begun.set()
        try:
            pool.acquire()
        except CommandError as problem:
            errors.append(problem.reply.text)

    waiting = threading.Thread(target=acquire)
    waiting.start()
    assert begun.wait(TIMEOUT)
    pool.close()
    waiting.join(TIMEOUT)
    assert errors == [b"ERR backend unavailable: the server is stopping"]


# ---------------------------------------------------------------- connections that are held without being used


def test_a_held_connection_is_reclaimed_if_all_others_are_in_use(
    pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "MIN_HOLD_TIME", 0.001)
    first, second = pool.acquire(), pool.acquire()
    for held in (first, second):
        pool.make_reclaimable(held)
    third = pool.acquire()
    assert third not in (first, second), "the holder of the old one must not find it open again"
    assert third.is_usable()
    assert not first.is_usable(), "the one that was held longest"
    assert (pool.take_back(first), pool.take_back(second)) == (False, True)
    assert second.is_usable()


def test_a_held_connection_is_not_reclaimed_while_others_are_free(
    pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "MIN_HOLD_TIME", 0.001)
    held = pool.acquire()
    pool.make_reclaimable(held)
    pool.release(pool.acquire())
    pool.acquire()
    assert pool.take_back(held)


def test_a_connection_that_was_taken_back_is_not_reclaimed(
    pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "MIN_HOLD_TIME", 0.001)
    held, _ = pool.acquire(), pool.acquire()
    pool.make_reclaimable(held)
    assert pool.take_back(held)
    with time_limit(0.05), pytest.raises(CommandError):
        pool.acquire()
    assert held.is_usable()


def test_a_held_connection_is_not_reclaimed_before_its_time(
    pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "MIN_HOLD_TIME", 600)
    held, _ = pool.acquire(), pool.acquire()
    pool.make_reclaimable(held)
    with time_limit(0.05), pytest.raises(CommandError) as raised:
        pool.acquire()
    assert raised.value.reply.kind is ErrorKind.UPSTREAM_TIMEOUT
    assert pool.take_back(held)


def test_a_thread_that_waits_gets_a_connection_that_is_held_later(
    pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "MIN_HOLD_TIME", 0.05)
    held, _ = pool.acquire(), pool.acquire()
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(pool.acquire)
        with suppress(FuturesTimeoutError):
            waiting.result(0.1)  # time enough to begin to wait; if it was not, the thread finds a held connection
        assert not waiting.done()
        pool.make_reclaimable(held)
        assert waiting.result(TIMEOUT).is_usable()


# ---------------------------------------------------------------- a connection that is closed by another thread


def test_a_request_on_a_connection_closed_meanwhile_reports_that_and_not_a_file_descriptor(fake: FakeRedis) -> None:
    connection = BackendConnection(ConnectionSettings({"host": HOST, "port": fake.port}))
    connection.connect()

    class Closing(list[bytes]):
        def __iter__(self) -> Iterator[bytes]:
            connection.disconnect()  # as another thread that stops the server, while this one encodes its request
            return super().__iter__()

    with pytest.raises(CommandError) as raised:
        connection.send_all([Closing([b"PING"])])
    assert raised.value.reply.text == b"ERR backend unavailable: the connection was closed"


def test_a_connection_on_which_a_request_was_interrupted_is_closed(fake: FakeRedis) -> None:
    connection = BackendConnection(ConnectionSettings({"host": HOST, "port": fake.port}))
    connection.connect()

    class Interrupted(list[bytes]):
        def __iter__(self) -> Iterator[bytes]:
            raise SystemExit  # such as MemoryError, or what another thread raises in this one

    with pytest.raises(SystemExit):
        connection.send_all([Interrupted([b"PING"])])
    assert not connection.is_usable()
