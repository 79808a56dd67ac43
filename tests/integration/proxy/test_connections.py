"""The pool of connections to the backing server."""

from __future__ import annotations

import pytest

from tests.harness.backing_redis import StartRedis, backend, count_calls, execute, info, request
from tests.harness.processes import StartServer
from tests.harness.resp_wire import read_reply
from tests.harness.waiting import all_at_once, wait_until

CLIENTS = 20
ROUNDS = 25


@pytest.mark.parametrize("connections", [1, 8], ids=["sequential", "parallel"])
def test_concurrent_clients_share_a_pool_of_connections(
    start_redis: StartRedis, start_server: StartServer, connections: int
) -> None:
    """No update is lost, each client gets its own replies, and the pool does not exceed its limit."""
    redis = start_redis()
    server = start_server(*backend(redis, "--backend-connections", str(connections)))
    peers = [server.connect() for _ in range(CLIENTS)]

    def work(number: int) -> None:
        peer = peers[number]
        for each in range(ROUNDS):
            value = f"{number}-{each}"
            assert execute(peer, f"SET mine{number} {value}") == b"+OK\r\n"
            assert bytes(execute(peer, f"GET mine{number}")).endswith(f"\r\n{value}\r\n".encode())
            execute(peer, "INCR counter")

    all_at_once([lambda number=number: work(number) for number in range(CLIENTS)])
    direct = redis.connect()
    assert bytes(execute(direct, "GET counter")).endswith(b"\r\n%d\r\n" % (CLIENTS * ROUNDS))
    assert int(info(direct, "stats")["total_connections_received"]) <= connections + 3  # the test's own, and its first
    assert int(info(direct, "clients")["connected_clients"]) <= connections + 1


def test_with_a_pool_of_one_connection_requests_are_sequential(
    start_redis: StartRedis, start_server: StartServer
) -> None:
    """While a write is paused, a read is not sent. After it, the read returns what was written."""
    redis = start_redis()
    server = start_server(*backend(redis, "--backend-connections", "1"))
    writer, reader, other = server.connect(), server.connect(), server.connect()
    direct = redis.connect()
    execute(direct, "CLIENT PAUSE 600000 WRITE")
    writer.send(request("SET key value"))
    wait_until(lambda: info(direct, "clients")["blocked_clients"] == "1", "the write is paused")
    reader.send(request("GET key"))
    wait_until(lambda: b"cmd=get" in bytes(execute(other, "CLIENT LIST")), "the read has begun")
    assert count_calls(redis, "get") == 0
    execute(direct, "CLIENT UNPAUSE")
    assert read_reply(writer) == b"+OK\r\n"
    assert read_reply(reader) == b"$5\r\nvalue\r\n"
