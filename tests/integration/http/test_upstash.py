"""Upstash's own Python client, unchanged: blocking and asyncio, with a token and without one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness.http_wire import start_with_http
from tests.harness.processes import ServerProcess
from tests.harness.waiting import TIMEOUT, wait_until

TOKEN = "a-token-of-the-test"

upstash = pytest.importorskip("upstash_redis", reason="upstash-redis is not installed")
upstash_asyncio = pytest.importorskip("upstash_redis.asyncio", reason="upstash-redis is not installed")
UpstashError = pytest.importorskip("upstash_redis.errors").UpstashError


class Waiting:
    """A wrapper that runs the methods of an asyncio client to their result, so that a test takes either client."""

    def __init__(self, client: Any, runner: asyncio.Runner) -> None:
        self._client = client
        self._runner = runner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        async def finish(outcome: Any) -> Any:
            return await asyncio.wait_for(outcome, TIMEOUT)

        def execute(*args: object, **options: object) -> Any:
            outcome = method(*args, **options)
            if inspect.isawaitable(outcome) and not hasattr(outcome, "get"):
                return self._runner.run(finish(outcome))
            return Waiting(outcome, self._runner) if hasattr(outcome, "get") else outcome

        return execute


@pytest.fixture(scope="module")
def with_token() -> Iterator[ServerProcess]:
    server = start_with_http(ServerProcess, KVLINE_PASSWORD=TOKEN)
    yield server
    server.check()
    server.close()


@pytest.fixture(params=["token", "no token"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty server, with a token and without one."""
    if request.param == "no token":
        return str(request.getfixturevalue("server").http_url)
    server: ServerProcess = request.getfixturevalue("with_token")
    assert server.connect().ask(b"FLUSHALL") == b"OK"
    return server.http_url


@pytest.fixture(params=["blocking", "asyncio"])
def client(request: pytest.FixtureRequest, url: str) -> Iterator[Any]:
    """A client of either kind, with its defaults, but without retries and telemetry."""
    options = {"url": url, "token": TOKEN, "rest_retries": 0, "allow_telemetry": False}
    if request.param == "blocking":
        with upstash.Redis(**options) as blocking:
            yield blocking
        return
    with asyncio.Runner() as runner:
        asynchronous = upstash_asyncio.Redis(**options)
        yield Waiting(asynchronous, runner)
        runner.run(asynchronous.close())


def test_values_are_returned_unchanged(client: Any) -> None:
    assert client.set("k", "sn☃w") is True
    assert client.get("k") == "sn☃w"
    assert client.get("nothing") is None
    assert client.mset({"a": "1", "b": "2"}) is True
    assert client.mget("a", "b", "c") == ["1", "2", None]
    assert client.exists("a", "b", "c") == 2
    assert client.delete("a", "b", "c") == 2


def test_ok_and_json_are_returned_as_strings(client: Any) -> None:
    for value in ("OK", "", "null", '{"a": 1}', "x" * 300_000):
        client.set("k", value)
        assert client.get("k") == value


def test_numbers_are_incremented(client: Any) -> None:
    assert [client.incr("n"), client.incrby("n", 10), client.decr("n")] == [1, 11, 10]
    assert client.incrbyfloat("n", 0.5) == 10.5


def test_keys_expire(client: Any) -> None:
    assert client.set("k", "v", ex=100) is True
    assert 0 < client.ttl("k") <= 100
    assert client.pexpire("k", 1) in (1, True)
    wait_until(lambda: client.get("k") is None, "the key has expired")
    assert client.ttl("k") == -2


def test_conditions_hold(client: Any) -> None:
    assert client.set("k", "v", nx=True) is True
    assert not client.set("k", "w", nx=True)
    assert client.set("k", "w", xx=True, get=True) == "v"


def test_keys_are_listed(client: Any) -> None:
    client.mset({f"k{number}": "v" for number in range(30)})
    assert len(client.keys("k*")) == 30
    found: list[str] = []
    cursor = 0
    while True:
        cursor, page = client.scan(cursor, match="k*", count=10)
        found += page
        if not cursor:
            break
    assert sorted(found) == sorted(f"k{number}" for number in range(30))


@pytest.mark.parametrize("kind", ["pipeline", "multi"])
def test_many_commands_go_in_one_request(client: Any, kind: str) -> None:
    batch = getattr(client, kind)()
    batch.set("k", "v")
    batch.incr("n")
    batch.get("k")
    batch.mget("k", "none")
    assert batch.exec() == [True, 1, "v", ["v", None]]


def test_an_error_is_raised_with_its_text(client: Any) -> None:
    client.set("k", "text")
    with pytest.raises(UpstashError, match="ERR value is not an integer or out of range"):
        client.incr("k")
    with pytest.raises(UpstashError, match="ERR unknown command 'NONSENSE'"):
        client.execute(["NONSENSE"])


def test_an_error_in_a_transaction_is_raised(client: Any) -> None:
    batch = client.multi()
    batch.set("k", "text")
    batch.incr("k")
    with pytest.raises(UpstashError, match="ERR value is not an integer"):
        batch.exec()


def test_a_wrong_token_is_an_error(with_token: ServerProcess) -> None:
    with (
        upstash.Redis(url=with_token.http_url, token="a-wrong-one", rest_retries=0, allow_telemetry=False) as client,
        pytest.raises(UpstashError, match="WRONGPASS"),
    ):
        client.get("k")


def test_without_an_encoding_strings_are_returned_unchanged(url: str) -> None:
    options = {"url": url, "token": TOKEN, "rest_retries": 0, "allow_telemetry": False, "rest_encoding": None}
    with upstash.Redis(**options) as client:
        assert client.set("k", 'sn☃w "') is True
        assert client.get("k") == 'sn☃w "'
