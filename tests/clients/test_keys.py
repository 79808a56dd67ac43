"""redis-py's commands on keys, whatever their values."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.redis_py import plain, refused


def fill(client: Any, *keys: str) -> None:
    """Set keys to their own names."""
    assert client.mset(dict(zip(keys, keys, strict=True))) is True


@pytest.mark.parametrize("remove", ["delete", "unlink"])
def test_keys_are_removed_and_counted(client: Any, remove: str) -> None:
    fill(client, "a", "b", "c")
    assert getattr(client, remove)("a", "none", "b", "a") == 2
    assert client.keys() == [b"c"]
    assert getattr(client, remove)("a") == 0


def test_exists_and_touch_count_each_key_as_often_as_it_is_named(client: Any) -> None:
    fill(client, "a", "b")
    assert client.exists("a", "b", "a", "none") == 3
    assert client.touch("a", "b", "a", "none") == 3
    assert client.exists("none") == client.touch("none") == 0


def test_the_type_of_a_value_is_string_or_none(client: Any) -> None:
    fill(client, "a")
    assert [plain(client.type(key)) for key in ("a", "none")] == ["string", "none"]


def test_keys_are_listed_by_pattern(client: Any) -> None:
    fill(client, "one", "two", "three", "four", "[x]")
    assert set(client.keys()) == {b"one", b"two", b"three", b"four", b"[x]"}
    assert set(client.keys("t*")) == {b"two", b"three"}
    assert set(client.keys("?[nw]*")) == {b"one", b"two"}
    assert client.keys("\\[*\\]") == [b"[x]"]
    assert client.keys("nothing*") == []


def test_scan_goes_through_all_keys_by_pieces(client: Any) -> None:
    names = [f"key{number}" for number in range(95)]
    fill(client, *names, "other")
    found: list[bytes] = []
    cursor, pieces = 0, 0
    while cursor or not pieces:
        cursor, keys = client.scan(cursor, match="key*", count=10)
        found += keys
        pieces += 1
    assert sorted(found) == sorted(name.encode() for name in names)
    assert pieces > 1
    with refused("invalid cursor"):
        client.scan("first")
    with refused("syntax error"):
        client.scan(0, count=0)


def test_scan_iter_yields_every_key_once_while_nothing_changes(client: Any) -> None:
    fill(client, *(f"key{number}" for number in range(95)), "other")
    assert len(list(client.scan_iter())) == len(set(client.scan_iter(count=7))) == 96
    assert set(client.scan_iter("key?")) == {b"key%d" % number for number in range(10)}
    assert len(list(client.scan_iter(_type="string"))) == 96
    assert list(client.scan_iter(_type="hash")) == []


def test_randomkey_returns_every_key_sooner_or_later_and_nothing_else(client: Any) -> None:
    assert client.randomkey() is None
    fill(client, "a", "b", "c")
    assert {client.randomkey() for _ in range(200)} == {b"a", b"b", b"c"}


def test_rename_moves_value_and_expiry_and_overwrites(client: Any) -> None:
    fill(client, "a", "b")
    moment = client.time()[0] + 1000
    client.expireat("a", moment)
    assert client.rename("a", "b") is True
    assert (client.exists("a"), client.get("b"), client.expiretime("b")) == (0, b"a", moment)
    with refused("no such key"):
        client.rename("a", "b")


def test_renamenx_overwrites_nothing(client: Any) -> None:
    fill(client, "a", "b")
    assert client.renamenx("a", "b") is False
    assert client.mget("a", "b") == [b"a", b"b"]
    assert client.renamenx("a", "c") is True
    assert client.mget("a", "b", "c") == [None, b"b", b"a"]
    with refused("no such key"):
        client.renamenx("a", "d")


def test_copy_copies_value_and_expiry_and_overwrites_only_with_replace(client: Any) -> None:
    fill(client, "a", "b")
    moment = client.time()[0] + 1000
    client.expireat("a", moment)
    assert client.copy("a", "b") is False
    assert client.get("b") == b"b"
    assert client.copy("a", "b", replace=True) is True
    assert client.copy("a", "c", destination_db=0) is True
    assert client.mget("a", "b", "c") == [b"a"] * 3
    assert [client.expiretime(key) for key in "abc"] == [moment] * 3
    assert client.copy("none", "d") is False
    with refused("source and destination objects are the same"):
        client.copy("a", "a")
    with refused("DB index is out of range"):
        client.copy("a", "d", destination_db=99)


@pytest.mark.parametrize("flush", ["flushdb", "flushall"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_flush_leaves_nothing(client: Any, flush: str, asynchronous: bool) -> None:
    fill(client, "a", "b", "c")
    client.expire("a", 1000)
    assert client.dbsize() == 3
    assert getattr(client, flush)(asynchronous=asynchronous) is True
    assert client.dbsize() == 0
    assert client.mget("a", "b", "c") == [None] * 3
    fill(client, "a")
    assert client.ttl("a") == -1
