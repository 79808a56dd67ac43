"""redis-py's asyncio client: pipelines, transactions, and many tasks at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest
import redis.asyncio

from tests.harness.processes import ServerProcess
from tests.harness.waiting import TIMEOUT

TASKS = 8
ROUNDS = 25

Scenario = Callable[[redis.asyncio.Redis], Awaitable[None]]
Run = Callable[[Scenario], None]


@pytest.fixture
def run(server: ServerProcess, protocol: int) -> Run:
    """Run a scenario to its end, with a client that is closed then."""

    async def lead(scenario: Scenario) -> None:
        async with redis.asyncio.Redis(port=server.port, protocol=protocol, socket_timeout=TIMEOUT) as client:
            await scenario(client)

    return lambda scenario: asyncio.run(lead(scenario))


async def increment_by_watching(client: redis.asyncio.Redis) -> None:
    """Count up by WATCH, GET, MULTI, SET, EXEC, as often as it takes until no other client does so meanwhile."""
    async with client.pipeline() as pipeline:
        while True:
            with suppress(redis.WatchError):
                await pipeline.watch("counter")
                number = int(await pipeline.get("counter") or 0)  # while a pipeline watches, its commands run at once
                pipeline.multi()
                pipeline.set("counter", number + 1)
                assert await pipeline.execute() == [True]
                return


async def check_pipeline(client: redis.asyncio.Redis, *, transaction: bool) -> None:
    async with client.pipeline(transaction=transaction) as pipeline:
        pipeline.set("key", "1").incr("key").get("key").get("none").mget("key", "none").delete("key", "none")
        assert await pipeline.execute() == [True, 2, b"2", None, [b"2", None], 1]
        for _ in range(5000):
            pipeline.incr("n")
        assert await pipeline.execute() == list(range(1, 5001))
        pipeline.set("key", "x").incr("key").get("key")
        before, error, after = await pipeline.execute(raise_on_error=False)
        assert (before, after) == (True, b"x")
        assert isinstance(error, redis.ResponseError)
        assert str(error).startswith("value is not an integer or out of range")


@pytest.mark.parametrize("transaction", [True, False], ids=["MULTI", "no MULTI"])
def test_a_pipeline_returns_every_reply_in_order_errors_included(run: Run, transaction: bool) -> None:
    run(partial(check_pipeline, transaction=transaction))


async def check_refusal(client: redis.asyncio.Redis) -> None:
    async with client.pipeline(transaction=True) as pipeline:
        pipeline.set("key", "x").execute_command("NOPE", "a")
        with pytest.raises(redis.ResponseError, match="unknown command 'NOPE', with args beginning with: 'a'"):
            await pipeline.execute()
    assert await client.get("key") is None


def test_a_transaction_with_an_unknown_command_changes_nothing(run: Run) -> None:
    run(check_refusal)


async def check_watch_error(client: redis.asyncio.Redis) -> None:
    async with client.pipeline() as pipeline:
        await pipeline.watch("key")
        await client.set("key", "changed")
        pipeline.multi()
        pipeline.set("result", "must not be there")
        with pytest.raises(redis.WatchError):
            await pipeline.execute()
        await pipeline.watch("key")
        await pipeline.unwatch()
        await client.set("key", "changed again")
        pipeline.multi()
        pipeline.get("key")
        assert await pipeline.execute() == [b"changed again"]
    assert await client.exists("result") == 0


def test_a_watched_key_that_another_client_changes_raises_a_watch_error(run: Run) -> None:
    run(check_watch_error)


async def check_counting(client: redis.asyncio.Redis) -> None:
    async def count() -> None:
        for _ in range(ROUNDS):
            await increment_by_watching(client)

    await asyncio.gather(*(count() for _ in range(TASKS)))
    assert await client.get("counter") == b"%d" % (TASKS * ROUNDS)


def test_counting_by_watch_from_many_tasks_loses_nothing(run: Run) -> None:
    run(check_counting)


async def check_helper(client: redis.asyncio.Redis) -> None:
    async def increment(pipeline: redis.asyncio.client.Pipeline) -> int:
        number = int(await pipeline.get("counter") or 0)
        pipeline.multi()
        pipeline.set("counter", number + 1)
        return number + 1

    async def count() -> list[int]:
        return [await client.transaction(increment, "counter", value_from_callable=True) for _ in range(ROUNDS)]

    numbers = [number for counted in await asyncio.gather(*(count() for _ in range(TASKS))) for number in counted]
    assert sorted(numbers) == list(range(1, TASKS * ROUNDS + 1)), "no number is given twice"


def test_counting_by_the_transaction_helper_from_many_tasks_loses_nothing(run: Run) -> None:
    run(check_helper)


async def check_many_commands(client: redis.asyncio.Redis) -> None:
    assert await asyncio.gather(*(client.set(f"key{number}", number) for number in range(80))) == [True] * 80
    values = await asyncio.gather(*(client.get(f"key{number}") for number in range(80)))
    assert values == [b"%d" % number for number in range(80)]
    assert sorted(await asyncio.gather(*(client.incr("n") for _ in range(80)))) == list(range(1, 81))


def test_eighty_tasks_at_once_each_get_their_own_reply(run: Run) -> None:
    run(check_many_commands)
