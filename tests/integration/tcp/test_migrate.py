"""MIGRATE between two servers, and to targets that fail."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from common.resp_client import encode_request
from server.commands.migrate import KEYS_AT_ONCE
from server.rdb.payload import load
from tests.harness.fake_redis import CLOSE, OK, SILENT, FakeRedis, FakeRequest, Script
from tests.harness.processes import Peer, ServerProcess, StartServer
from tests.harness.redis_server import free_port

LARGE = bytes(range(256)) * 4096


@pytest.fixture
def target(start_server: StartServer) -> ServerProcess:
    return start_server("--port", "0")


@pytest.fixture
def peer(server: ServerProcess) -> Peer:
    return server.connect()


@pytest.fixture
def fake(request: pytest.FixtureRequest) -> Iterator[FakeRedis]:
    with closing(FakeRedis()) as fake:
        yield fake


def ask(peer: Peer, *args: bytes | str | int) -> bytes:
    """Send a RESP request; return its reply of one line, or the value."""
    peer.send(encode_request([each if isinstance(each, bytes) else str(each).encode() for each in args]))
    line = peer.line().removesuffix(b"\r\n")
    return peer.receive(int(line[1:]) + 2)[:-2] if line[:1] == b"$" and line != b"$-1" else line


@pytest.mark.parametrize("value", [b"", b"12345", b"v" * 100, LARGE], ids=["empty", "integer", "short", "large"])
def test_a_key_moves_with_its_value_and_expiry(peer: Peer, target: ServerProcess, value: bytes) -> None:
    ask(peer, "SET", "key", value, "EX", 1000)
    assert ask(peer, "MIGRATE", "127.0.0.1", target.port, "key", 0, 5000) == b"+OK"
    assert ask(peer, "EXISTS", "key") == b":0"
    other = target.connect()
    assert ask(other, "GET", "key") == value
    assert 990 <= int(ask(other, "TTL", "key")[1:]) <= 1000


def test_copy_keeps_the_key_and_replace_overwrites_that_of_the_target(peer: Peer, target: ServerProcess) -> None:
    other = target.connect()
    ask(peer, "SET", "key", "new")
    ask(other, "SET", "key", "old")
    migrate = ("MIGRATE", "localhost", target.port, "key", 0, 5000, "COPY")
    busy = b"-ERR Target instance replied with error: BUSYKEY Target key name already exists."
    assert ask(peer, *migrate) == busy
    assert ask(peer, *migrate, "REPLACE") == b"+OK"
    assert (ask(peer, "GET", "key"), ask(other, "GET", "key")) == (b"new", b"new")


def test_many_keys_move_at_once(peer: Peer, target: ServerProcess) -> None:
    keys = [f"key:{number}" for number in range(2 * KEYS_AT_ONCE + 10)]
    for key in keys:
        ask(peer, "SET", key, key)
    ask(peer, "DEL", keys[7])
    reply = ask(peer, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys, "missing")
    assert reply == b"+OK"
    assert ask(peer, "DBSIZE") == b":0"
    other = target.connect()
    assert ask(other, "DBSIZE") == b":%d" % (len(keys) - 1)
    assert ask(other, "GET", keys[-1]) == keys[-1].encode()


def test_keys_that_the_target_refuses_are_kept(peer: Peer, target: ServerProcess) -> None:
    other = target.connect()
    ask(other, "SET", "b", "busy")
    ask(peer, "MSET", "a", 1, "b", 2, "c", 3)
    reply = ask(peer, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", "a", "b", "c")
    assert reply == b"-ERR Target instance replied with error: BUSYKEY Target key name already exists."
    assert [ask(peer, "EXISTS", key) for key in "abc"] == [b":0", b":1", b":0"]
    assert [ask(other, "GET", key) for key in "abc"] == [b"1", b"busy", b"3"]


def test_missing_keys_open_no_connection(peer: Peer, fake: FakeRedis) -> None:
    assert ask(peer, "MIGRATE", "127.0.0.1", fake.port, "missing", 0, 5000) == b"+NOKEY"
    assert ask(peer, "MIGRATE", "127.0.0.1", fake.port, "", 0, 5000, "KEYS") == b"+NOKEY"
    assert fake.connections == 0


@pytest.mark.parametrize(
    ("option", "sent"),
    [(["AUTH", "secret"], [b"AUTH", b"secret"]), (["AUTH2", "me", "secret"], [b"AUTH", b"me", b"secret"]), ([], None)],
)
def test_the_password_and_the_database_are_sent_first(
    peer: Peer, fake: FakeRedis, option: list[str], sent: list[bytes] | None
) -> None:
    fake.script = {b"RESTORE": OK}
    ask(peer, "SET", "key", "value")
    assert ask(peer, "MIGRATE", "127.0.0.1", fake.port, "key", 3, 5000, *option) == b"+OK"
    *login, restore = fake.requests
    assert login == [*([sent] if sent else []), [b"SELECT", b"3"]]
    assert restore[:3] == [b"RESTORE", b"key", b"0"]
    assert load(restore[3], 100) == b"value"


def test_a_refused_password_moves_nothing(peer: Peer, fake: FakeRedis) -> None:
    fake.script = {b"AUTH": b"-WRONGPASS invalid password\r\n", b"RESTORE": OK}
    ask(peer, "SET", "key", "value")
    reply = ask(peer, "MIGRATE", "127.0.0.1", fake.port, "key", 0, 5000, "AUTH", "bad")
    assert reply == b"-ERR Target instance replied with error: WRONGPASS invalid password"
    assert fake.count(b"RESTORE") == 0
    assert ask(peer, "GET", "key") == b"value"


@pytest.mark.parametrize(
    ("script", "timeout"),
    [
        ({b"RESTORE": SILENT}, 100),
        ({b"RESTORE": CLOSE}, 5000),
        ({b"RESTORE": [b"+O", CLOSE]}, 5000),
        ({b"RESTORE": b":1\r\n"}, 5000),
        ({b"RESTORE": b"+" + b"x" * 100_000 + b"\r\n"}, 5000),
        ({b"SELECT": CLOSE}, 5000),
    ],
    ids=["no reply", "closed", "half a reply", "no status", "a long reply", "closed at once"],
)
def test_a_key_is_kept_if_the_target_does_not_confirm_it(
    peer: Peer, fake: FakeRedis, script: Script, timeout: int
) -> None:
    fake.script = dict(script)
    ask(peer, "SET", "key", "value")
    reply = ask(peer, "MIGRATE", "127.0.0.1", fake.port, "key", 0, timeout)
    assert reply == b"-IOERR error or timeout reading to target instance"
    assert ask(peer, "GET", "key") == b"value"


def test_keys_that_were_confirmed_before_a_failure_are_gone(peer: Peer, fake: FakeRedis) -> None:
    replies = iter([OK, CLOSE])
    fake.script = {b"RESTORE": lambda _: next(replies, CLOSE)}
    ask(peer, "MSET", "a", 1, "b", 2, "c", 3)
    reply = ask(peer, "MIGRATE", "127.0.0.1", fake.port, "", 0, 5000, "KEYS", "a", "b", "c")
    assert reply.startswith(b"-IOERR error or timeout ")
    assert [ask(peer, "EXISTS", key) for key in "abc"] == [b":0", b":1", b":1"]


@pytest.mark.parametrize(
    ("host", "port", "verb"),
    [
        ("127.0.0.1", "closed", b"writing to target instance"),
        ("127.0.0.1", "x", b"connecting to the client"),
        ("127.0.0.1", "-1", b"connecting to the client"),
        ("host.invalid", "1", b"connecting to the client"),
        ("a..b", "1", b"connecting to the client"),
        (b"\xff", "1", b"connecting to the client"),
    ],
)
def test_a_target_that_cannot_be_reached_is_an_ioerr(peer: Peer, host: str | bytes, port: str, verb: bytes) -> None:
    ask(peer, "SET", "key", "value")
    number = free_port() if port == "closed" else port
    assert ask(peer, "MIGRATE", host, number, "key", 0, 1000) == b"-IOERR error or timeout " + verb
    assert ask(peer, "GET", "key") == b"value"


@pytest.mark.parametrize("change", ["SET key value", "APPEND key x", "EXPIRE key 100", "DEL key"])
def test_a_key_that_changes_meanwhile_is_kept_and_reported(
    server: ServerProcess, peer: Peer, fake: FakeRedis, change: str
) -> None:
    other = server.connect()

    def restore(request: FakeRequest) -> bytes:
        ask(other, *change.split())
        return OK

    fake.script = {b"RESTORE": restore}
    ask(peer, "SET", "key", "value")
    reply = ask(peer, "MIGRATE", "127.0.0.1", fake.port, "key", 0, 5000)
    assert reply.startswith(b"-ERR keys have changed while they were migrated")
    assert ask(peer, "EXISTS", "key") == (b":0" if change == "DEL key" else b":1")


@pytest.mark.every_scheduler
def test_other_clients_are_served_while_a_target_is_silent(server: ServerProcess, peer: Peer, fake: FakeRedis) -> None:
    other = server.connect()
    served: list[bytes] = []

    def restore(request: FakeRequest) -> bytes:
        served.extend([ask(other, "SET", "other", "x"), ask(other, "GET", "key")])
        return OK

    fake.script = {b"RESTORE": restore}
    ask(peer, "SET", "key", "value")
    assert ask(peer, "MIGRATE", "127.0.0.1", fake.port, "key", 0, 5000) == b"+OK"
    assert served == [b"+OK", b"value"]


def test_a_server_can_migrate_to_itself_without_loss(server: ServerProcess, peer: Peer) -> None:
    ask(peer, "SET", "key", "value")
    migrate = ("MIGRATE", "127.0.0.1", server.port, "key", 0, 5000)
    assert b"BUSYKEY" in ask(peer, *migrate)
    assert b"keys have changed" in ask(peer, *migrate, "REPLACE")
    assert ask(peer, "GET", "key") == b"value"


def test_migrate_is_refused_in_a_transaction(peer: Peer) -> None:
    assert ask(peer, "MULTI") == b"+OK"
    assert ask(peer, "MIGRATE", "127.0.0.1", 1, "key", 0, 10) == b"-ERR Command not allowed inside a transaction"
    assert ask(peer, "EXEC").startswith(b"-EXECABORT")


def test_a_timeout_that_no_socket_takes_is_shortened(peer: Peer, target: ServerProcess) -> None:
    ask(peer, "SET", "key", "value")
    assert ask(peer, "MIGRATE", "127.0.0.1", target.port, "key", 0, 2**63 - 1) == b"+OK"


def test_the_password_is_not_shown_by_monitor(server: ServerProcess, peer: Peer) -> None:
    monitor = server.connect()
    assert ask(monitor, "MONITOR") == b"+OK"
    ask(peer, "MIGRATE", "127.0.0.1", 1, "", 0, 10, "COPY", "auth2", "me", "secret", "KEYS", "AUTH", "missing")
    shown = b'"MIGRATE" "127.0.0.1" "1" "" "0" "10" "COPY" "auth2" "(redacted)" "(redacted)" "KEYS" "AUTH" "missing"'
    assert shown in monitor.line()
    ask(peer, "MIGRATE", "127.0.0.1", 1, "missing", 0, 10, "AUTH", "secret", "AUTH")
    assert monitor.line().endswith(b'"AUTH" "(redacted)" "AUTH"\r\n')


def test_keys_move_between_servers_with_passwords(peer: Peer, start_server: StartServer) -> None:
    target = start_server("--port", "0", KVLINE_PASSWORD="secret")
    ask(peer, "SET", "key", "value")
    migrate = ("MIGRATE", "127.0.0.1", target.port, "key", 0, 5000)
    refused = b"-ERR Target instance replied with error: "
    assert ask(peer, *migrate) == refused + b"NOAUTH Authentication required."
    assert ask(peer, *migrate, "AUTH", "wrong").startswith(refused + b"WRONGPASS")
    assert ask(peer, *migrate, "AUTH2", "default", "secret", "COPY") == b"+OK"
    assert ask(peer, *migrate, "AUTH", "secret", "REPLACE") == b"+OK"
    assert ask(peer, "EXISTS", "key") == b":0"


@pytest.mark.every_scheduler
def test_the_server_stops_while_a_target_is_silent(start_server: StartServer, fake: FakeRedis) -> None:
    server = start_server("--port", "0")
    peer = server.connect()
    fake.script = {b"RESTORE": SILENT}
    ask(peer, "SET", "key", "value")
    peer.send(encode_request([b"MIGRATE", b"127.0.0.1", b"%d" % fake.port, b"key", b"0", b"3600000"]))
    while not fake.count(b"RESTORE"):
        time.sleep(0.01)
    server.process.terminate()
    assert server.exit_status() == 0
