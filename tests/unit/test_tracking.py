"""Tracking, with a connection whose messages the test decides."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import cast

import pytest

pytest.importorskip("cachetools", reason="the extra proxy is not installed")
pytest.importorskip("redis", reason="the extra proxy is not installed")

from common.errors import CONNECTION_CLOSED, backend_unavailable
from common.replies import OK, ErrorReply, Reply
from server.engines.redis import tracking as tracking_module
from server.engines.redis.cache import ReadThroughCache
from server.engines.redis.connection import BackendConnection
from server.engines.redis.tracking import Tracking
from tests.harness.waiting import wait_until


class FakeConnection:
    """A connection to a server that accepts tracking, unless ``refusal`` is set."""

    def __init__(self, cache: ReadThroughCache) -> None:
        self.messages: queue.Queue[Reply | Exception] = queue.Queue()
        self.refusal: ErrorReply | None = None
        self.connected = 0
        self._cache = cache

    def connect(self) -> None:
        """Connect, while a reader that saw the previous connection still connected stores an entry."""
        self._cache.get(b"stored meanwhile", lambda _: b"stale")

    def send_all(self, requests: list[list[bytes]]) -> list[Reply]:
        if requests == [[b"PING"]]:
            return [OK]
        self.connected += self.refusal is None
        return [self.refusal or OK]

    def receive(self) -> Reply:
        try:
            message = self.messages.get(timeout=0.05)
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(message, Exception):
            raise message
        return message

    def disconnect(self) -> None:
        pass

    def lose(self) -> None:
        self.messages.put(backend_unavailable(CONNECTION_CLOSED))


@pytest.fixture
def cache() -> ReadThroughCache:
    return ReadThroughCache(10, 3600)


@pytest.fixture
def connection(cache: ReadThroughCache) -> FakeConnection:
    return FakeConnection(cache)


@pytest.fixture
def tracking(connection: FakeConnection, cache: ReadThroughCache) -> Iterator[Tracking]:
    made = Tracking(cast(BackendConnection, connection), cache, 1.0)
    made.start()
    wait_until(lambda: made.connected, "tracking is connected")
    yield made
    connection.lose()
    made.stop()


def test_the_cache_is_empty_when_tracking_becomes_connected(tracking: Tracking, cache: ReadThroughCache) -> None:
    assert tracking.connected
    assert cache.get_cached(b"stored meanwhile") is None


def test_an_invalidation_removes_its_keys(
    tracking: Tracking, connection: FakeConnection, cache: ReadThroughCache
) -> None:
    for key in (b"a", b"b"):
        cache.get(key, lambda _: b"value")
    connection.messages.put([b"invalidate", [b"a", b"unknown"]])
    wait_until(lambda: cache.get_cached(b"a") is None, "the key is invalidated")
    assert cache.get(b"b", lambda _: b"fetched again") == b"value"
    connection.messages.put([b"invalidate", None])
    wait_until(lambda: cache.get_cached(b"b") is None, "all keys are invalidated")


@pytest.mark.parametrize("message", [OK, 1, None, [], [b"message", b"x"], [b"invalidate"], [b"invalidate", [None, 1]]])
def test_other_messages_invalidate_nothing(
    tracking: Tracking, connection: FakeConnection, cache: ReadThroughCache, message: Reply
) -> None:
    for key in (b"a", b"b"):
        cache.get(key, lambda _: b"value")
    connection.messages.put(message)
    connection.messages.put([b"invalidate", [b"a"]])
    wait_until(lambda: cache.get_cached(b"a") is None, "the next message is processed")
    assert cache.get(b"b", lambda _: b"fetched again") == b"value"
    assert connection.connected == 1


def test_a_lost_connection_empties_the_cache_and_is_logged_once(
    tracking: Tracking, connection: FakeConnection, cache: ReadThroughCache, caplog: pytest.LogCaptureFixture
) -> None:
    cache.get(b"a", lambda _: b"value")
    connection.refusal = ErrorReply(b"NOPERM", b"no tracking")
    connection.lose()
    wait_until(lambda: not tracking.connected, "the loss is noticed")
    wait_until(lambda: cache.get_cached(b"a") is None, "the cache is empty")
    connection.refusal = None
    wait_until(lambda: tracking.connected, "tracking is connected again")
    assert connection.connected == 2
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "cache bypassed (tracking is not connected)"
    ]


def test_an_unexpected_failure_empties_the_cache_and_tracking_is_connected_again(
    tracking: Tracking, connection: FakeConnection, cache: ReadThroughCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking_module, "RETRY_INTERVAL", 0.001)
    cache.get(b"a", lambda _: b"value")
    connection.messages.put(MemoryError("the test"))
    wait_until(lambda: connection.connected == 2 and tracking.connected, "tracking is connected again")
    assert cache.get_cached(b"a") is None
