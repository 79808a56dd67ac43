"""redis-py's commands on bitmaps, DUMP, RESTORE and MIGRATE."""

from __future__ import annotations

from typing import Any

from tests.clients.conftest import Connect
from tests.harness.processes import ServerProcess
from tests.harness.redis_py import refused


def test_bits_are_set_counted_and_found(client: Any) -> None:
    assert client.setbit("key", 7, 1) == 0
    assert client.setbit("key", 20, 1) == 0
    assert [client.getbit("key", offset) for offset in (6, 7, 1000)] == [0, 1, 0]
    assert client.bitcount("key") == 2
    assert client.bitcount("key", 0, 7, "BIT") == 1
    assert client.bitpos("key", 1) == 7
    assert client.bitpos("key", 1, 1, -1) == 20
    assert client.bitpos("key", 1, 8, 19, "BIT") == -1
    with refused("bit offset is not an integer or out of range"):
        client.setbit("key", -1, 1)


def test_bitmaps_are_combined(client: Any) -> None:
    client.mset({"a": b"\x0f\xf0", "b": b"\xff"})
    assert client.bitop("AND", "dest", "a", "b") == 2
    assert client.get("dest") == b"\x0f\x00"
    assert client.bitop("NOT", "dest", "dest") == 2
    assert client.get("dest") == b"\xf0\xff"


def test_fields_are_read_and_changed(server: ServerProcess, connect_blocking: Connect) -> None:
    client = connect_blocking(server.port)
    field = client.bitfield("key", default_overflow="SAT")
    assert field.set("u8", "#1", 200).incrby("u8", "#1", 100).get("i8", 8).execute() == [0, 255, -1]
    assert client.bitfield("key").incrby("u8", 8, 1, overflow="FAIL").execute() == [None]
    assert client.bitfield_ro("key", "u8", 8) == [255]


def test_a_value_is_dumped_restored_and_migrated(client: Any) -> None:
    client.set("key", "value", ex=1000)
    payload = client.dump("key")
    assert client.restore("copy", 0, payload) == b"OK"
    assert client.get("copy") == b"value"
    with refused("BUSYKEY Target key name already exists."):
        client.restore("copy", 0, payload)
    assert client.restore("copy", 1000, payload, replace=True) == b"OK"
    assert 0 < client.pttl("copy") <= 1000
    assert client.migrate("127.0.0.1", 1, ["absent"], 0, 100) == b"NOKEY"
