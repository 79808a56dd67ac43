"""The pool of connections: clients in parallel, one after the other, and the bound on both."""

from __future__ import annotations

import pytest

from tests.harness.backing_redis import StartRedis, backend, calls_counted, execute, figures, request
from tests.harness.processes import StartServer, all_at_once, wait_until
from tests.harness.resp_wire import read_reply

CLIENTS = 20
ROUNDS = 25


@pytest.mark.parametrize("connections", [1, 8], ids=["sequentially", "in parallel"])
def test_concurrent_clients_are_served_by_so_many_connections(
    start_redis: StartRedis, start_server: StartServer, connections: int
) -> None:
    """No update is lost, each client gets its own replies, and the backing server never sees more connections."""
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
    assert (
        int(figures(direct, "stats")["total_connections_received"]) <= connections + 3
    )  # the test's own, and its first
    assert int(figures(direct, "clients")["connected_clients"]) <= connections + 1


def test_in_sequential_mode_a_request_waits_for_the_one_before(
    start_redis: StartRedis, start_server: StartServer
) -> None:
    """While a write is held back, a read that could be served is not sent; then it sees what was written."""
    redis = start_redis()
    server = start_server(*backend(redis, "--backend-connections", "1"))
    writer, reader, other = server.connect(), server.connect(), server.connect()
    direct = redis.connect()
    execute(direct, "CLIENT PAUSE 600000 WRITE")
    writer.send(request("SET key value"))
    wait_until(lambda: figures(direct, "clients")["blocked_clients"] == "1", "the write is held back")
    reader.send(request("GET key"))
    wait_until(lambda: b"cmd=get" in bytes(execute(other, "CLIENT LIST")), "the read has begun")
    assert calls_counted(redis, "get") == 0
    execute(direct, "CLIENT UNPAUSE")
    assert read_reply(writer) == b"+OK\r\n"
    assert read_reply(reader) == b"$5\r\nvalue\r\n"
