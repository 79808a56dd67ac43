"""redis-py's pipelines and transactions, blocking, and from many threads at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
import redis

from tests.harness.processes import ServerProcess
from tests.harness.waiting import all_at_once, wait_until

CLIENTS = 8
ROUNDS = 25


@pytest.fixture
def client(server: ServerProcess, connect_blocking: Callable[..., redis.Redis]) -> redis.Redis:
    return connect_blocking(server.port)


def increment_by_watching(client: redis.Redis) -> None:
    """Count up by WATCH, GET, MULTI, SET, EXEC, as often as it takes until no other client does so meanwhile."""
    with client.pipeline() as pipeline:
        while True:
            with suppress(redis.WatchError):
                pipeline.watch("counter")
                number = int(pipeline.get("counter") or 0)  # while a pipeline watches, its commands run at once
                pipeline.multi()
                pipeline.set("counter", number + 1)
                assert pipeline.execute() == [True]
                return


@pytest.mark.parametrize("transaction", [True, False], ids=["MULTI", "no MULTI"])
def test_a_pipeline_returns_every_commands_reply_in_order(client: redis.Redis, transaction: bool) -> None:
    with client.pipeline(transaction=transaction) as pipeline:
        pipeline.set("key", "1").incr("key").get("key").get("none").mget("key", "none").expire("key", 1000)
        pipeline.set("key", "x", nx=True).keys().delete("key", "none").ping()
        assert len(pipeline) == 10
        replies = pipeline.execute()
        assert replies == [True, 2, b"2", None, [b"2", None], True, None, [b"key"], 1, True]
        assert pipeline.execute() == [], "what has run is not run again"


@pytest.mark.parametrize("transaction", [True, False], ids=["MULTI", "no MULTI"])
def test_a_pipeline_of_ten_thousand_commands_loses_none(client: redis.Redis, transaction: bool) -> None:
    with client.pipeline(transaction=transaction) as pipeline:
        for _ in range(10_000):
            pipeline.incr("n")
        assert pipeline.execute() == list(range(1, 10_001))


@pytest.mark.parametrize("transaction", [True, False], ids=["MULTI", "no MULTI"])
def test_an_error_in_a_pipeline_takes_its_place_and_stops_no_other(client: redis.Redis, transaction: bool) -> None:
    with client.pipeline(transaction=transaction) as pipeline:
        pipeline.set("key", "x").incr("key").get("key")
        before, error, after = pipeline.execute(raise_on_error=False)
    assert (before, after) == (True, b"x")
    assert isinstance(error, redis.ResponseError)
    assert str(error).startswith("value is not an integer or out of range")
    with client.pipeline(transaction=transaction) as pipeline:
        pipeline.incr("key").set("key", "y")
        with pytest.raises(redis.ResponseError, match=r"Command # 1 .*value is not an integer or out of range"):
            pipeline.execute()
    assert client.get("key") == b"y"


def test_a_transaction_with_an_unknown_command_or_wrong_arguments_changes_nothing(client: redis.Redis) -> None:
    for args, text in (
        (("NOPE", "a"), "unknown command 'NOPE', with args beginning with: 'a'"),
        (("GET",), "wrong number of arguments for 'get' command"),
    ):
        with client.pipeline(transaction=True) as pipeline:
            pipeline.set("key", "x").execute_command(*args)
            with pytest.raises(redis.ResponseError, match=text):
                pipeline.execute()
        assert client.get("key") is None


def test_a_pipeline_that_is_reset_discards_its_commands(client: redis.Redis) -> None:
    with client.pipeline() as pipeline:
        pipeline.set("key", "x")
        pipeline.reset()
        assert pipeline.execute() == []
        pipeline.watch("key")
        pipeline.multi()
        pipeline.set("key", "y")
        pipeline.discard()
    assert client.get("key") is None


def test_a_watched_key_that_another_client_changes_raises_a_watch_error(client: redis.Redis) -> None:
    changes: list[Callable[[], object]] = [
        lambda: client.set("key", "other"),
        lambda: client.set("key", "same"),
        lambda: client.append("key", "more"),
        lambda: client.delete("key"),
        lambda: client.set("key", "new"),
        lambda: client.expire("key", 1000),
        lambda: client.persist("key"),
        lambda: client.rename("key", "elsewhere"),
        lambda: client.copy("elsewhere", "key"),
        client.flushall,
    ]
    client.set("key", "same")
    for change in changes:
        with client.pipeline() as pipeline:
            pipeline.watch("other key", "key")
            change()
            pipeline.multi()
            pipeline.set("result", "must not be there")
            with pytest.raises(redis.WatchError, match="Watched variable changed"):
                pipeline.execute()
    assert client.exists("result") == 0


def test_what_leaves_a_watched_key_as_it_is_breaks_nothing(client: redis.Redis) -> None:
    client.mset({"key": "value", "other": "value"})
    with client.pipeline() as pipeline:
        pipeline.watch("key", "none")
        assert pipeline.set("key", "own", nx=True) is None
        client.get("key")
        client.set("other", "new")
        client.delete("none", "other")
        client.persist("key")
        client.renamenx("key", "key")
        pipeline.multi()
        pipeline.get("key")
        assert pipeline.execute() == [b"value"]


def test_unwatch_makes_a_change_not_matter(client: redis.Redis) -> None:
    with client.pipeline() as pipeline:
        pipeline.watch("key")
        assert pipeline.unwatch() is True
        client.set("key", "changed")
        pipeline.multi()
        pipeline.get("key")
        assert pipeline.execute() == [b"changed"]


def test_a_watched_key_that_expires_raises_a_watch_error(client: redis.Redis) -> None:
    with client.pipeline() as pipeline:

        def is_watched_alive() -> bool:
            pipeline.reset()
            client.set("key", "value", px=100)
            pipeline.watch("key")
            return pipeline.get("key") is not None

        wait_until(is_watched_alive, "the key is watched before it expires")
        wait_until(lambda: client.exists("key") == 0, "the key has expired")
        pipeline.multi()
        pipeline.set("result", "must not be there")
        with pytest.raises(redis.WatchError):
            pipeline.execute()
    assert client.exists("result") == 0


def test_counting_by_watch_from_many_threads_loses_nothing(
    server: ServerProcess, connect_blocking: Callable[..., redis.Redis]
) -> None:
    clients = [connect_blocking(server.port) for _ in range(CLIENTS)]

    def count(client: redis.Redis) -> None:
        for _ in range(ROUNDS):
            increment_by_watching(client)

    all_at_once([partial(count, client) for client in clients])
    assert clients[0].get("counter") == b"%d" % (CLIENTS * ROUNDS)


def test_counting_by_the_transaction_helper_from_threads_that_share_a_client_loses_nothing(client: redis.Redis) -> None:
    def increment(pipeline: redis.client.Pipeline) -> int:
        number = int(pipeline.get("counter") or 0)
        pipeline.multi()
        pipeline.set("counter", number + 1)
        return number + 1

    def count() -> list[int]:
        return [client.transaction(increment, "counter", value_from_callable=True) for _ in range(ROUNDS)]

    numbers = [number for counted in all_at_once([count] * CLIENTS) for number in counted]
    assert sorted(numbers) == list(range(1, CLIENTS * ROUNDS + 1)), "no number is given twice"
    assert client.get("counter") == b"%d" % (CLIENTS * ROUNDS)


def test_the_transaction_helper_returns_what_the_commands_replied(client: redis.Redis) -> None:
    client.mset({"a": 5, "b": 10})

    def move(pipeline: redis.client.Pipeline) -> None:
        amount = int(pipeline.get("a") or 0)
        pipeline.multi()
        pipeline.decrby("a", amount).incrby("b", amount)

    assert client.transaction(move, "a", "b") == [0, 15]
    assert client.mget("a", "b") == [b"0", b"15"]
