"""MIGRATE from kvline to a real Redis and back, and its errors on both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.differential.test_dump import VALUES
from tests.harness.fake_redis import HOST
from tests.harness.redis_server import RedisServer, find_redis, free_port
from tests.harness.resp_wire import Reply, Servers, Twin, payload

PASSWORD = b"open sesame"


@pytest.fixture(scope="module")
def target(servers: Servers) -> Iterator[RedisServer]:
    """A further Redis, to which both migrate."""
    found = find_redis()
    assert found is not None
    redis = RedisServer(*found)
    yield redis
    redis.close()


@pytest.fixture
def twin(servers: Servers) -> Iterator[Twin]:
    twin = servers.connect()
    twin.ask([b"FLUSHALL"])
    yield twin
    twin.ask([b"CONFIG", b"SET", b"requirepass", b""])
    twin.close()


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{len(value)} bytes, {value[:12]!r}")
def test_a_key_migrates_to_redis_and_back(servers: Servers, twin: Twin, value: bytes) -> None:
    ours, theirs = servers.kvline.port, servers.redis.port
    twin.ask_one(twin.kvline, [b"SET", b"k", value, b"PXAT", b"4102444800499"])
    reply = twin.ask_one(twin.kvline, [b"MIGRATE", HOST.encode(), b"%d" % theirs, b"k", b"0", b"5000"])
    assert reply == b"+OK\r\n"
    assert payload(twin.ask_one(twin.redis, [b"GET", b"k"])) == value
    assert twin.ask_one(twin.kvline, [b"EXISTS", b"k"]) == b":0\r\n"
    reply = twin.ask_one(twin.redis, [b"MIGRATE", HOST.encode(), b"%d" % ours, b"", b"0", b"5000", b"KEYS", b"k"])
    assert reply == b"+OK\r\n"
    assert payload(twin.ask_one(twin.kvline, [b"GET", b"k"])) == value
    expires_at = twin.ask_one(twin.kvline, [b"PEXPIRETIME", b"k"])
    assert isinstance(expires_at, bytes)
    assert abs(int(expires_at[1:]) - 4102444800499) < 60_000
    assert twin.ask_one(twin.redis, [b"EXISTS", b"k"]) == b":0\r\n"


ERRORS = [
    b"MIGRATE %h %p missing 0 1000",
    b"MIGRATE %h %p %e 0 1000",
    b"MIGRATE %h %p %e 0 1000 KEYS",
    b"MIGRATE %h %p %e 0 1000 KEYS missing other",
    b"MIGRATE %h %p k 0 1000 KEYS k",
    b"MIGRATE %h %p k 0 1000 FOO",
    b"MIGRATE %h %p k 0 1000 AUTH",
    b"MIGRATE %h %p k 0 1000 AUTH2 user",
    b"MIGRATE %h %p k x 1000",
    b"MIGRATE %h %p k 0 y",
    b"MIGRATE %h %p k x y FOO",
    b"MIGRATE %h %p k 0",
    b"MIGRATE %h %p k 0 1000 COPY AUTH2 default %w",
    b"MIGRATE %h %p k 0 1000 COPY",
    b"MIGRATE %h %p k 0 1000 COPY",
    b"MIGRATE %h %p k 0 1000 COPY REPLACE",
    b"MIGRATE %h %p k 0 -5 copy replace",
    b"MIGRATE %h %c k 0 1000",
    b"MIGRATE host.invalid %p k 0 1000",
    b"MIGRATE %h %p %e 0 1000 COPY REPLACE KEYS k missing k",
    # The last ones, because Redis creates the key in spite of the error.
    b"MIGRATE %h %p k 99 1000 COPY REPLACE",
    b"MIGRATE %h %p k 0 1000 COPY REPLACE AUTH %w",
    b"MIGRATE %h %p %e 0 1000 REPLACE KEYS k k",
    b"MIGRATE %h %p %e 0 1000 REPLACE KEYS k k",
]


def fill_in(line: bytes, port: int) -> list[bytes]:
    names = {b"%h": HOST.encode(), b"%p": b"%d" % port, b"%e": b"", b"%c": b"%d" % free_port(), b"%w": PASSWORD}
    return [names.get(arg, arg) for arg in line.split()]


def conversation(twin: Twin, ask: object, target: RedisServer) -> list[Reply]:
    """Send all requests to one of the two servers, with an empty target."""
    beside = target.connect()
    assert beside.ask(b"FLUSHALL") == b"+OK\r"
    peer = twin.kvline if ask == "kvline" else twin.redis
    twin.ask_one(peer, [b"SET", b"k", b"v"])
    return [twin.ask_one(peer, fill_in(line, target.port)) for line in ERRORS]


def test_both_servers_reply_the_same(twin: Twin, target: RedisServer) -> None:
    ours, theirs = (conversation(twin, each, target) for each in ("kvline", "Redis"))
    assert list(zip(ERRORS, ours, strict=True)) == list(zip(ERRORS, theirs, strict=True))


def test_a_target_with_a_password_gets_the_same_errors(twin: Twin, target: RedisServer) -> None:
    beside = target.connect()
    beside.ask(b'CONFIG SET requirepass "%b"' % PASSWORD)
    try:
        beside.ask(b'AUTH "%b"' % PASSWORD)
        for options in (
            [],
            [b"AUTH", b"x"],
            [b"AUTH2", b"no", b"x"],
            [b"AUTH", PASSWORD],
            [b"AUTH2", b"default", PASSWORD],
        ):
            beside.ask(b"FLUSHALL")
            twin.ask([b"SET", b"k", b"v"])
            # Another name of the host, because Redis keeps its connections, which need no password any more.
            request = [b"MIGRATE", b"localhost", b"%d" % target.port, b"k", b"0", b"1000", b"REPLACE", *options]
            ours, theirs = twin.ask(request)
            assert ours == theirs
    finally:
        beside.ask(b'CONFIG SET requirepass ""')


def test_command_getkeys_finds_the_keys_after_the_options(twin: Twin) -> None:
    for line in (
        b"COMMAND GETKEYS MIGRATE h 1 k 0 10",
        b"COMMAND GETKEYS MIGRATE h 1 k 0 10 COPY REPLACE AUTH KEYS",
        b"COMMAND GETKEYS MIGRATE h 1 %e 0 10 COPY AUTH KEYS KEYS a b",
        b"COMMAND GETKEYS MIGRATE h 1 %e 0 10 AUTH2 KEYS KEYS REPLACE KEYS a b",
        b"COMMAND GETKEYS BITOP AND d a b",
        b"COMMAND GETKEYS BITFIELD k GET u8 0",
        b"COMMAND GETKEYS RESTORE k 0 x",
    ):
        ours, theirs = twin.ask(fill_in(line, 1))
        assert ours == theirs
