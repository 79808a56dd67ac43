"""DUMP and RESTORE: what one server dumps, the other restores, and refused payloads get the same errors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.text import format_command
from server.rdb.crc64 import crc64
from server.rdb.payload import dump
from tests.differential.comparison import Sessions, send_story
from tests.harness.profiles import examples
from tests.harness.resp_wire import Reply, Servers, payload

PROTOCOLS = pytest.mark.parametrize("protocol", [2, 3], ids=["RESP2", "RESP3"])

VALUES = [
    b"",
    b"0",
    b"-1",
    b"127",
    b"128",
    b"-128",
    b"-129",
    b"32767",
    b"32768",
    b"-32768",
    b"-32769",
    b"2147483647",
    b"2147483648",
    b"-2147483648",
    b"-2147483649",
    b"9223372036854775807",
    b"01",
    b"-0",
    b"+1",
    b" 1",
    b"1.5",
    b"x" * 20,
    bytes(range(63)),
    bytes(range(64)),
    bytes(range(256)) * 64,
    bytes(range(256)) * 64 + b"1",
    b"a" * 21,
    b"a" * 300,
    b"a" * 100_000,
    b"abcdefgh" * 1000,
    b"hello hello hello hello world world world",
    bytes(100_000),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{len(value)} bytes, {value[:12]!r}")
def test_each_server_restores_what_the_other_one_dumps(servers: Servers, value: bytes) -> None:
    check_exchange(servers, value)


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=examples(30))
@given(
    value=st.one_of(
        st.binary(max_size=200),
        st.lists(st.sampled_from([b"abc", b"0", b"\0" * 30, b"hello world"]), max_size=300).map(b"".join),
        st.integers(-(2**40), 2**40).map(b"%d".__mod__),
    )
)
def test_each_server_restores_any_value_that_the_other_one_dumps(servers: Servers, value: bytes) -> None:
    check_exchange(servers, value)


def check_exchange(servers: Servers, value: bytes) -> None:
    """Restore what each server has dumped on the other one. Without compression both dump the same."""
    with Sessions(servers, 1) as sessions:
        twin = servers.connect()
        try:
            sessions.send(0, b"SET", b"k", value)
            ours, theirs = map(payload, twin.ask([b"DUMP", b"k"]))
            sessions.send(0, b"RESTORE", b"of kvline", b"0", ours)
            sessions.send(0, b"RESTORE", b"of Redis", b"0", theirs)
            for key in (b"of kvline", b"of Redis"):
                assert list(map(payload, twin.ask([b"GET", key]))) == [value, value]
            uncompressed(twin.ask_one, twin.redis, lambda: sessions.send(0, b"DUMP", b"k"))
        finally:
            twin.close()


def uncompressed(ask: Callable[..., Reply], redis: object, check: Callable[[], None]) -> None:
    """Run a check while Redis does not compress what it dumps."""
    ask(redis, [b"CONFIG", b"SET", b"rdbcompression", b"no"])
    try:
        check()
    finally:
        ask(redis, [b"CONFIG", b"SET", b"rdbcompression", b"yes"])


def signed(body: bytes, version: int = 10) -> bytes:
    """Return a payload with a valid checksum."""
    data = body + version.to_bytes(2, "little")
    return data + crc64(data).to_bytes(8, "little")


VALID = dump(b"value")
BODIES = {
    "empty": b"",
    "a type alone": b"\x00",
    "an unknown type": b"\x63\x01a",
    "a length beyond the end": b"\x00\x16value",
    "a length of 14 bits beyond the end": b"\x00\x40\x16value",
    "half a length": b"\x00\x40",
    "a longer form of a length": b"\x00\x40\x05value",
    "a length of 32 bits": b"\x00\x80\x00\x00\x00\x05value",
    "a length of 64 bits": b"\x00\x81\x00\x00\x00\x00\x00\x00\x00\x05value",
    "a huge length": b"\x00\x81\xff\xff\xff\xff\xff\xff\xff\xffvalue",
    "an invalid form of a length": b"\x00\x82\x00\x00\x00\x05value",
    "bytes after the string": b"\x00\x05valueabc",
    "an integer that fits a smaller encoding": b"\x00\xc2\x01\x00\x00\x00",
    "an unknown encoding": b"\x00\xc4\x01",
    "LZF": b"\x00\xc3\x04\x08\x00a\xa0\x00",
    "LZF of another length": b"\x00\xc3\x04\x09\x00a\xa0\x00",
    "LZF of a shorter length": b"\x00\xc3\x04\x07\x00a\xa0\x00",
    "LZF that refers to before the beginning": b"\x00\xc3\x04\x08\x00a\xa0\x01",
    "LZF that ends within a reference": b"\x00\xc3\x03\x08\x00a\xa0",
    "LZF that ends within a long reference": b"\x00\xc3\x03\x08\x00a\xe0",
    "LZF that ends within a literal": b"\x00\xc3\x03\x08\x05ab",
    "LZF of nothing": b"\x00\xc3\x00\x00",
    "LZF beyond the end": b"\x00\xc3\x05\x08\x00a\xa0\x00",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_both_servers_read_or_refuse_the_same_payloads(servers: Servers, body: bytes) -> None:
    with Sessions(servers, 1) as sessions:
        sessions.send(0, b"RESTORE", b"k", b"0", signed(body))
        sessions.end()


# Redis reads the footer as a part of the string then.
@pytest.mark.parametrize("body", [b"\0\x06value", b"\0\x0fvalue", b"\0\x40\x06value", b"\0\xc2\1\2", b"\0\xc0", b"\0"])
def test_a_string_that_ends_within_the_footer_is_refused(servers: Servers, body: bytes) -> None:
    twin = servers.connect()
    try:
        ours, _ = twin.ask([b"RESTORE", b"k", b"0", signed(body), b"REPLACE"])
    finally:
        twin.close()
    assert ours == b"-ERR Bad data format\r\n"


@pytest.mark.parametrize(
    "line", ["RPUSH k a b", "SADD k 1", "SADD k a", "ZADD k 1 a", "HSET k f v", "XADD k * f v", "PFADD k a"]
)
def test_a_dump_of_another_type_is_refused(servers: Servers, line: str) -> None:
    twin = servers.connect()
    try:
        twin.ask([b"FLUSHALL"])
        twin.ask_one(twin.redis, line.encode().split())
        serialized = payload(twin.ask_one(twin.redis, [b"DUMP", b"k"]))
        reply = twin.ask_one(twin.kvline, [b"RESTORE", b"k", b"0", serialized])
        is_string = line.startswith("PFADD")
        assert reply == (b"+OK\r\n" if is_string else b"-ERR Bad data format\r\n")
    finally:
        twin.close()


def restore(key: bytes, ttl: bytes, serialized: bytes, *options: bytes) -> str:
    """Return a line of text."""
    return format_command([b"RESTORE", key, ttl, serialized, *options]).decode()


STORIES = {
    "DUMP": r"""
        DUMP missing
        DUMP
        DUMP a b
        SET a 10
        DUMP a
        MULTI
        DUMP a
        EXEC
    """,
    "RESTORE: checksum and version": "\n".join(
        restore(b"k", b"0", each)
        for each in (
            b"",
            VALID[:9],
            VALID[:10],
            VALID[1:],
            VALID[:-1] + b"x",
            VALID[:3] + b"X" + VALID[4:],
            VALID[:-8] + bytes(8),
            signed(b"\0\5value", 11),
            signed(b"\0\5value", 65535),
            signed(b"\0\5value", 0),
        )
    ),
    "RESTORE: options": "\n".join(
        [
            restore(b"k", b"0", VALID),
            restore(b"k", b"0", VALID),
            restore(b"k", b"x", b"bad"),
            restore(b"k", b"-1", b"bad", b"REPLACE"),
            restore(b"k", b"x", b"bad", b"REPLACE"),
            restore(b"k", b"0", b"bad", b"REPLACE"),
            restore(b"k", b"100000", dump(b"v2"), b"replace"),
            "TTL k",
            restore(b"k", b"0", dump(b"v3"), b"REPLACE"),
            "TTL k",
            restore(b"k", b"4102444800499", dump(b"v4"), b"REPLACE", b"ABSTTL"),
            restore(b"k", b"1", dump(b"v5"), b"ABSTTL"),
            restore(b"k", b"1", dump(b"v5"), b"ABSTTL", b"REPLACE"),
            "EXISTS k",
            restore(b"k", b"1", dump(b"v5"), b"ABSTTL"),
            "EXISTS k",
            restore(b"k", b"9223372036854775807", dump(b"v5"), b"ABSTTL", b"REPLACE"),
            restore(b"k", b"0", VALID, b"REPLACE", b"IDLETIME", b"10"),
            restore(b"k", b"0", VALID, b"REPLACE", b"IDLETIME", b"-1"),
            restore(b"k", b"0", VALID, b"REPLACE", b"IDLETIME", b"x"),
            restore(b"k", b"0", VALID, b"REPLACE", b"IDLETIME"),
            restore(b"k", b"0", VALID, b"REPLACE", b"FREQ", b"255"),
            restore(b"k", b"0", VALID, b"REPLACE", b"FREQ", b"256"),
            restore(b"k", b"0", VALID, b"REPLACE", b"FREQ", b"-1"),
            restore(b"k", b"0", VALID, b"REPLACE", b"FREQ", b"x"),
            restore(b"k", b"0", VALID, b"REPLACE", b"FREQ"),
            restore(b"k", b"0", VALID, b"FREQ", b"1", b"IDLETIME", b"1"),
            restore(b"k", b"0", VALID, b"IDLETIME", b"1", b"FREQ", b"1"),
            restore(b"k", b"0", VALID, b"FOO"),
            restore(b"k", b"0", VALID, b"REPLACE", b"REPLACE", b"ABSTTL", b"ABSTTL"),
            "RESTORE k 0",
            "1:WATCH k",
            restore(b"k", b"0", dump(b"v6"), b"REPLACE"),
            "1:MULTI",
            "1:PING",
            "1:EXEC",
            "MULTI",
            restore(b"k", b"0", VALID),
            restore(b"k2", b"0", b"bad"),
            restore(b"k3", b"0", VALID),
            "GET k3",
            "EXEC",
        ]
    ),
}


@PROTOCOLS
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())
def test_both_servers_reply_the_same(servers: Servers, story: str, protocol: int) -> None:
    send_story(servers, story, protocol)
