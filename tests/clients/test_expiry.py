"""redis-py's commands on when keys expire, and keys that do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.harness.processes import ServerProcess
from tests.harness.redis_py import milliseconds, refused
from tests.harness.waiting import wait_until

LATER = 2_000_000_000
"""A time that is far off, in seconds since the epoch."""


def test_an_expiry_is_what_was_asked_for(client: Any) -> None:
    client.set("key", "value")
    assert client.expireat("key", LATER) is True
    assert (client.expiretime("key"), client.pexpiretime("key")) == (LATER, LATER * 1000)
    assert client.pexpireat("key", LATER * 1000 + 7) is True
    assert client.pexpiretime("key") == LATER * 1000 + 7
    assert client.expireat("key", datetime.fromtimestamp(LATER, UTC)) is True
    assert client.pexpiretime("key") == LATER * 1000
    before = milliseconds(client)
    assert client.expire("key", 1000) is True
    assert before + 1_000_000 <= client.pexpiretime("key") <= milliseconds(client) + 1_000_000
    assert client.pexpire("key", timedelta(seconds=2000)) is True
    assert before + 2_000_000 <= client.pexpiretime("key") <= milliseconds(client) + 2_000_000
    assert client.get("key") == b"value"


def test_the_time_to_live_is_what_is_left_of_it(client: Any) -> None:
    client.set("key", "value", pxat=LATER * 1000)
    before = milliseconds(client)
    left = client.pttl("key")
    assert LATER * 1000 - milliseconds(client) <= left <= LATER * 1000 - before
    before = milliseconds(client)
    left = client.ttl("key")
    assert LATER * 1000 - milliseconds(client) - 500 <= left * 1000 <= LATER * 1000 - before + 500


def test_a_key_without_an_expiry_and_no_key_are_reported_apart(client: Any) -> None:
    client.set("key", "value")
    for command in (client.ttl, client.pttl, client.expiretime, client.pexpiretime):
        assert [command("key"), command("none")] == [-1, -2]
    for command in (client.expire, client.pexpire, client.expireat, client.pexpireat):
        assert command("none", 2 * LATER) is False
    assert client.exists("none") == 0


def test_persist_removes_an_expiry(client: Any) -> None:
    client.set("key", "value", ex=1000)
    assert [client.persist("key"), client.persist("key"), client.persist("none")] == [True, False, False]
    assert client.ttl("key") == -1


@pytest.mark.parametrize("unit", [1, 1000], ids=["expireat", "pexpireat"])
def test_expire_conditions_nx_xx_gt_lt(client: Any, unit: int) -> None:
    expire_at = client.expireat if unit == 1 else client.pexpireat
    later = LATER * unit
    client.set("key", "value")
    assert expire_at("key", later, xx=True) is False
    assert expire_at("key", later, gt=True) is False
    assert client.ttl("key") == -1
    assert expire_at("key", later, nx=True) is True
    assert expire_at("key", later + unit, nx=True) is False
    assert expire_at("key", later, gt=True) is False
    assert expire_at("key", later, lt=True) is False
    assert client.expiretime("key") == LATER
    assert expire_at("key", later + unit, gt=True) is True
    assert expire_at("key", later + 2 * unit, lt=True) is False
    assert client.expiretime("key") == LATER + 1
    assert expire_at("key", later - unit, lt=True) is True
    assert expire_at("key", later + 5 * unit, xx=True) is True
    assert client.expiretime("key") == LATER + 5
    client.persist("key")
    assert expire_at("key", later, lt=True) is True
    assert client.expiretime("key") == LATER


@pytest.mark.parametrize("unit", [1, 1000], ids=["expire", "pexpire"])
def test_conditions_hold_for_times_from_now_too(client: Any, unit: int) -> None:
    expire = client.expire if unit == 1 else client.pexpire
    client.set("key", "value")
    assert [expire("key", 1000 * unit, xx=True), expire("key", 1000 * unit, nx=True)] == [False, True]
    assert [expire("key", 9000 * unit, lt=True), expire("key", 9000 * unit, gt=True)] == [False, True]
    assert [expire("key", 9000 * unit, nx=True), expire("key", 1000 * unit, lt=True)] == [False, True]
    with refused("NX and XX, GT or LT options at the same time are not compatible"):
        expire("key", 1000, nx=True, gt=True)
    with refused("GT and LT options at the same time are not compatible"):
        expire("key", 1000, gt=True, lt=True)


def test_an_expiry_in_the_past_removes_the_key(client: Any) -> None:
    for expire, time in ((client.expire, 0), (client.pexpire, -1), (client.expireat, 1), (client.pexpireat, 1)):
        client.set("key", "value")
        assert expire("key", time) is True
        assert (client.exists("key"), client.get("key"), client.ttl("key")) == (0, None, -2)


def test_an_expiry_beyond_64_bits_is_refused(client: Any) -> None:
    client.set("key", "value")
    with refused("invalid expire time in 'expire' command"):
        client.expire("key", 2**62)
    with refused("value is not an integer or out of range"):
        client.execute_command("EXPIRE", "key", "soon")
    with refused("Unsupported option soon"):
        client.execute_command("EXPIRE", "key", 10, "soon")
    assert client.ttl("key") == -1


def test_a_key_with_an_expiry_of_50_ms_expires(client: Any) -> None:
    expired_before = client.info("stats")["expired_keys"]
    assert client.set("persistent", "value") is True
    assert client.set("expiring", "value", px=50) is True
    wait_until(lambda: client.get("expiring") is None, "the key has expired")
    assert (client.exists("expiring"), client.ttl("expiring"), client.keys()) == (0, -2, [b"persistent"])
    assert client.info("stats")["expired_keys"] == expired_before + 1
    assert client.set("expiring", "again", nx=True) is True
    assert client.ttl("expiring") == -1


def test_keys_are_not_counted_any_more_once_they_expired_without_an_access(client: Any) -> None:
    expired_before = client.info("stats")["expired_keys"]
    client.set("persistent", "value")
    for number in range(200):
        client.set(f"expiring{number}", "value", px=50 + number)
    wait_until(lambda: client.dbsize() == 1, "one key is left")
    stats = client.info()
    assert stats["expired_keys"] == expired_before + 200
    assert (stats["db0"]["keys"], stats["db0"]["expires"]) == (1, 0)


def test_active_expire_frees_the_memory_of_expired_keys_without_any_request(
    server: ServerProcess, connect_blocking: Any
) -> None:
    client = connect_blocking(server.port)
    empty = server.resident_bytes()
    size = 40 * 1024 * 1024  # what is larger than 32 MB, the C library gives back to the system at once
    for number in range(3):
        client.set(f"key{number}", bytes(size))
    assert server.resident_bytes() > empty + 2 * size
    for number in range(3):
        assert client.pexpire(f"key{number}", 1) is True
    wait_until(lambda: server.resident_bytes() < empty + size, "most of the memory has come back")
    assert client.dbsize() == 0
