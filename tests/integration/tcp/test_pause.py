"""CLIENT PAUSE: requests wait, nothing is lost, and nothing but the requests waits."""

from __future__ import annotations

import re
import signal

import pytest

from common.resp_client import encode_request
from tests.harness.processes import Peer, ServerProcess, StartServer
from tests.harness.waiting import wait_until

pytestmark = pytest.mark.every_scheduler

LONG = b"1000000000"


def waiting(peer: Peer) -> int:
    """Return the number of requests that wait."""
    peer.send(encode_request([b"INFO", b"clients"]))
    text = peer.receive(int(peer.line()[1:]) + 2)
    found = re.search(rb"blocked_clients:(\d+)", text)
    assert found
    return int(found[1])


def test_writes_wait_and_reads_do_not(start_server: StartServer) -> None:
    server = start_server()
    admin, reader, writer = (server.connect() for _ in range(3))
    assert admin.ask(b"CLIENT PAUSE " + LONG + b" WRITE") == b"OK"
    writer.send(b"GET key\nSET key 1\nGET key\n")
    assert writer.line() == b"(nil)\n"
    wait_until(lambda: waiting(admin) == 1, "the SET waits")
    assert reader.ask(b"GET key") == b"(nil)"
    assert admin.ask(b"CLIENT UNPAUSE") == b"OK"
    assert [writer.line(), writer.line()] == [b"OK\n", b"1\n"]
    assert waiting(admin) == 0


def test_a_transaction_with_a_write_waits_as_a_whole(start_server: StartServer) -> None:
    server = start_server()
    admin, writer, reader = (server.connect() for _ in range(3))
    assert writer.ask(b"MULTI") == b"OK"
    assert writer.ask(b"SET key 1") == b"QUEUED"
    assert admin.ask(b"CLIENT PAUSE " + LONG + b" WRITE") == b"OK"
    writer.send(b"EXEC\n")
    wait_until(lambda: waiting(admin) == 1, "the EXEC waits")
    assert reader.ask(b"EXISTS key") == b"0"
    reader.send(b"MULTI\nGET key\nEXEC\n")
    assert [reader.line() for _ in range(3)] == [b"OK\n", b"QUEUED\n", b"1) (nil)\n"]
    assert admin.ask(b"CLIENT UNPAUSE") == b"OK"
    assert writer.line() == b"1) OK\n"


def test_a_pause_of_all_requests_ends_by_itself(server: ServerProcess) -> None:
    admin, other = server.connect(), server.connect()
    assert admin.ask(b"CLIENT PAUSE 100") == b"OK"
    other.send(b"PING\nSET key 1\nMULTI\nGET key\nEXEC\n")
    assert [other.line() for _ in range(5)] == [b"PONG\n", b"OK\n", b"OK\n", b"QUEUED\n", b"1) 1\n"]
    assert admin.ask(b"CLIENT PAUSE 0 WRITE") == b"OK"
    assert other.ask(b"SET key 2") == b"OK"


def test_pipelined_requests_wait_too(server: ServerProcess) -> None:
    admin, writer = server.connect(), server.connect()
    assert admin.ask(b"CLIENT PAUSE " + LONG + b" WRITE") == b"OK"
    writer.send(b"".join(encode_request([b"SET", b"k%d" % number, b"v"]) for number in range(100)))
    wait_until(lambda: waiting(admin) == 1, "the first SET waits")
    assert admin.ask(b"DBSIZE") == b"0"
    assert admin.ask(b"CLIENT UNPAUSE") == b"OK"
    assert writer.receive(500) == b"+OK\r\n" * 100


def test_the_request_of_a_killed_client_is_not_executed(server: ServerProcess) -> None:
    admin, writer = server.connect(), server.connect()
    number = writer.ask(b"CLIENT ID")
    assert admin.ask(b"CLIENT PAUSE " + LONG + b" WRITE") == b"OK"
    writer.send(b"SET key 1\nSET key 2\n")
    wait_until(lambda: waiting(admin) == 1, "the first SET waits")
    assert admin.ask(b"CLIENT KILL ID " + number) == b"1"
    wait_until(lambda: waiting(admin) == 0, "nothing waits, although the pause goes on")
    wait_until(lambda: admin.ask(b"CLIENT KILL ID " + number) == b"0", "the client is deregistered")
    assert admin.ask(b"CLIENT UNPAUSE") == b"OK"
    assert admin.ask(b"EXISTS key") == b"0"


@pytest.mark.parametrize("mode", [b"ALL", b"WRITE"])
def test_a_paused_server_stops(start_server: StartServer, mode: bytes) -> None:
    server = start_server()
    admin, other = server.connect(), server.connect()
    other.ask(b"PING")
    assert admin.ask(b"CLIENT PAUSE " + LONG + b" " + mode) == b"OK"
    other.send(b"SET key 1\n")
    server.signal(signal.SIGTERM)
    assert server.exit_status() == 0
