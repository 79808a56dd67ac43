"""The cache policy: which reads are served from the cache, and which commands invalidate it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

pytest.importorskip("cachetools", reason="the extra proxy is not installed")
pytest.importorskip("redis", reason="the extra proxy is not installed")

from common.errors import CommandError, backend_timed_out
from common.replies import OK, Reply
from common.text_args import split_args
from server.commands import COMMANDS
from server.engines.base import WOULD_BLOCK, CallContext, Engine, QueuedCommand, TransactionPart, WouldBlock
from server.engines.redis.cache import ReadThroughCache
from server.engines.redis.cached_reads import CACHEABLE, CachedReads
from server.engines.redis.tracking import Tracking
from server.registry import Command


class FakeEngine:
    """An engine whose every value is the number of commands that it has executed."""

    forwards = ()

    def __init__(self) -> None:
        self.executed: list[bytes] = []
        self.failure: CommandError | None = None

    def execute(self, command: Command, args: list[bytes], call: CallContext) -> Reply:
        self.executed.append(command.name)
        call.started += 1
        if self.failure is not None:
            raise self.failure
        return b"%d" % len(self.executed)

    def try_execute(self, command: Command, args: list[bytes], call: CallContext) -> WouldBlock:
        return WOULD_BLOCK

    def execute_all(
        self, parts: Sequence[TransactionPart], watches: object, call: CallContext
    ) -> list[Reply | Exception] | None:
        queue = [each for _, part in parts for each in part]
        self.executed += [command.name for command, _ in queue]
        if self.failure is not None:
            raise self.failure
        return [OK] * len(queue)

    def info_sections(self) -> dict[str, dict[str, object]]:
        return {"backend": {}}


class FakeTracking:
    connected = True


class Client:
    """Executes lines of commands on `CachedReads`."""

    def __init__(self, *, tracked: bool = False) -> None:
        self.backing = FakeEngine()
        self.tracking = FakeTracking()
        self.cache = ReadThroughCache(10, 3600)
        tracking = cast(Tracking, self.tracking) if tracked else None
        self.engine = CachedReads(cast(Engine[Any], self.backing), self.cache, tracking)
        self.call = CallContext()

    def execute(self, line: str) -> Reply:
        return self.engine.execute(*resolve(line), self.call)

    def try_execute(self, line: str) -> Reply | WouldBlock:
        return self.engine.try_execute(*resolve(line), self.call)

    def execute_all(self, *lines: str) -> object:
        return self.engine.execute_all([(0, list(map(resolve, lines)))], {}, self.call)


def resolve(line: str) -> QueuedCommand:
    args = split_args(line.encode())
    return COMMANDS.resolve(args), args


@pytest.fixture
def client() -> Client:
    return Client()


def test_every_cacheable_command_reads_one_key_and_nothing_else() -> None:
    for name in CACHEABLE:
        command = COMMANDS.find(name)
        assert command is not None
        assert (command.reads, command.arity, command.keys.first, command.keys.last) == (True, 2, 1, 1)


def test_a_cacheable_read_is_served_from_the_cache(client: Client) -> None:
    assert [client.execute("GET key"), client.execute("get key")] == [b"1", b"1"]
    assert client.backing.executed == [b"GET"]
    assert client.call.started > 1, "the session measures durations from it"


@pytest.mark.parametrize("line", ["STRLEN key", "GETRANGE key 0 1", "MGET key", "EXISTS key", "TTL key", "DBSIZE"])
def test_other_reads_are_not_cached_and_invalidate_nothing(client: Client, line: str) -> None:
    client.execute("GET key")
    assert [client.execute(line), client.execute(line)] == [b"2", b"3"]
    assert client.execute("GET key") == b"1"


def test_one_lookup_per_miss(client: Client) -> None:
    client.execute("GET key")
    stats = client.cache.stats()
    assert (stats.hits, stats.misses) == (0, 1)


def test_a_call_that_reads_through_does_not_use_the_cache(client: Client) -> None:
    client.execute("GET key")
    client.call.read_through = True
    assert [client.execute("GET key"), client.execute("GET key")] == [b"2", b"3"]
    assert client.try_execute("GET key") is WOULD_BLOCK
    client.call.read_through = False
    assert client.execute("GET key") == b"1", "and stores nothing"


def test_the_cache_is_bypassed_while_tracking_is_not_connected() -> None:
    client = Client(tracked=True)
    client.execute("GET key")
    client.tracking.connected = False
    assert [client.execute("GET key"), client.execute("GET key")] == [b"2", b"3"]
    assert client.try_execute("GET key") is WOULD_BLOCK
    client.tracking.connected = True
    assert client.try_execute("GET key") == b"1"


def test_try_execute_returns_what_is_cached_and_never_asks_the_engine(client: Client) -> None:
    assert client.try_execute("GET key") is WOULD_BLOCK
    assert client.backing.executed == []
    client.execute("GET key")
    assert client.try_execute("GET key") == b"1"
    assert client.try_execute("STRLEN key") is WOULD_BLOCK
    assert client.try_execute("SET key value") is WOULD_BLOCK
    assert client.try_execute("GET key") == b"1"


WRITES = [
    "SET key x",
    "DEL other key",
    "RENAME other key",
    "MSET other x key x",
    "GETEX key EX 1",
    "FLUSHALL",
    "FLUSHDB",
    "EVAL script 1 key",
    "EVAL script 0",
    "EVALSHA sha 0",
]


@pytest.mark.parametrize("line", WRITES)
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("in_transaction", [False, True])
def test_a_write_invalidates_its_keys_also_if_it_fails(
    client: Client, line: str, fails: bool, in_transaction: bool
) -> None:
    client.execute("GET key")
    client.backing.failure = backend_timed_out(b"waiting", outcome_unknown=True) if fails else None
    try:
        client.execute_all("GET key", line) if in_transaction else client.execute(line)
    except CommandError:
        assert fails
    client.backing.failure = None
    assert client.execute("GET key") != b"1"


def test_a_write_of_another_key_invalidates_nothing(client: Client) -> None:
    client.execute("GET key")
    client.execute("SET other value")
    client.execute_all("SET other value", "GET key")
    assert client.execute("GET key") == b"1"


def test_reads_of_a_transaction_are_executed_by_the_engine(client: Client) -> None:
    client.execute("GET key")
    client.execute_all("GET key", "GET key")
    assert client.backing.executed == [b"GET"] * 3


def test_a_failed_read_is_not_cached(client: Client) -> None:
    client.backing.failure = backend_timed_out(b"waiting")
    with pytest.raises(CommandError):
        client.execute("GET key")
    client.backing.failure = None
    assert client.execute("GET key") == b"2"


def test_info_has_a_section_about_the_cache(client: Client) -> None:
    client.execute("GET key")
    sections = client.engine.info_sections()
    assert sections["backend"] == {}
    assert sections["cache"]["cache_misses"] == 1
    assert "cache_tracking_connected" not in sections["cache"]
    assert Client(tracked=True).engine.info_sections()["cache"]["cache_tracking_connected"] == 1
