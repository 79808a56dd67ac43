"""The durable log has what bitmaps, RESTORE and MIGRATE change, and can undo it."""

from __future__ import annotations

from contextlib import closing

import pytest

from common.text import quote
from server.engines.base import CommitFailed
from server.rdb.payload import dump
from tests.harness.fake_redis import OK, FakeRedis
from tests.harness.logs import LoggedServer, fail_once

RESTORE = f"RESTORE r 100000 {quote(dump(b'value')).decode()}"

LINES = [
    "SET k abc EX 100",
    "SETBIT k 3 1",
    "SETBIT new 100 1",
    "BITFIELD k SET u8 #1 255 SET i64 30 -5",
    "BITFIELD other OVERFLOW FAIL INCRBY u8 40 300",
    "BITOP NOT d k",
    "BITOP AND k d new",
    "BITOP OR new missing",
    RESTORE,
    f"{RESTORE} REPLACE",
    "SETBIT r 1 1",
]


def test_a_restart_finds_what_bitmap_commands_and_restore_have_changed() -> None:
    server = LoggedServer()
    replies = server.run(*LINES)
    assert not [reply for reply in replies if "ERR" in reply]
    assert server.restart().items() == server.items()
    assert {key for key, _, _ in server.items()} == {b"k", b"other", b"d", b"r"}


def test_what_could_not_be_logged_is_undone() -> None:
    server = LoggedServer()
    server.run("SET k abc PXAT 3000000000000", "SET new x", "SET r y")
    before = server.items()
    server.disk.on_call = fail_once("append")
    session = server.connect()
    for line in (*LINES[1:], f"{RESTORE} REPLACE"):
        session.feed(f"{line}\n".encode())
    assert server.items() != before
    with pytest.raises(CommitFailed):
        server.log.commit()
    assert sorted(server.items()) == sorted(before)


def test_what_migrate_has_moved_is_deleted_in_the_log_too() -> None:
    with closing(FakeRedis({b"RESTORE": OK})) as target:
        server = LoggedServer()
        replies = server.run("MSET a 1 b 2", f"MIGRATE 127.0.0.1 {target.port} a 0 5000")
    assert replies == ["OK", "OK"]
    assert [key for key, _, _ in server.restart().items()] == [b"b"]
