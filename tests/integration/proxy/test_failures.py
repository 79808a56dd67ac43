"""A backing Redis that is missing, slow, loading or restarted: a clear error in time, and service when it is back."""

from __future__ import annotations

import signal
import socket
import threading
from pathlib import Path

import pytest

from common.resp_client import encode_request
from tests.harness.backing_redis import (
    SHORT,
    TIMED_OUT,
    UNAVAILABLE,
    StartRedis,
    backend,
    calls,
    execute,
    figures,
    is_unavailable,
    wait_for,
)
from tests.harness.processes import Peer, StartServer, all_at_once, wait_until
from tests.harness.redis_server import RedisServer
from tests.harness.resp_wire import Reply

OK = b"+OK\r\n"
UNKNOWN = b"; whether the command ran is unknown\r\n"


def test_a_start_with_no_backing_server_is_a_warning_and_service_begins_when_it_comes(
    start_redis: StartRedis, start_server: StartServer
) -> None:
    redis = start_redis()
    redis.kill()
    server = start_server(*backend(redis))
    assert "WARNING" in server.log
    assert "backend unavailable" in server.log
    peer = server.connect()
    assert is_unavailable(execute(peer, "GET key"))
    assert UNKNOWN not in bytes(execute(peer, "SET key value"))
    assert peer.ask(b"GET key").startswith(b"(error) ERR backend unavailable: ")
    assert calls(peer, "PING", "ECHO word") == [b"+PONG\r\n", b"$4\r\nword\r\n"]
    redis.start_again()
    wait_for(peer, "SET key value", OK)


def test_every_command_that_needs_the_backing_server_says_that_it_is_not_there(
    start_redis: StartRedis, start_server: StartServer
) -> None:
    redis = start_redis()
    redis.kill()
    peer = start_server(*backend(redis)).connect()
    for line in ("GET key", "SET key value", "WATCH key", "COMPACT", "SCAN 0", "KEYS *", "DBSIZE", "FLUSHALL"):
        assert is_unavailable(execute(peer, line)), line
    calls(peer, "MULTI", "SET key value")
    assert is_unavailable(execute(peer, "EXEC"))
    assert figures(peer, "keyspace") == {}
    assert int(figures(peer, "backend")["backend_unavailable"]) >= 8
    assert "expired_keys" not in figures(peer, "stats"), "a zero would be taken for what it says"


def test_kill_and_restart_of_the_backing_server_under_load(start_redis: StartRedis, start_server: StartServer) -> None:
    """Twice while eight clients write: only clear errors meanwhile, and all of them are served in the end."""
    redis = start_redis()
    server = start_server(*backend(redis, "--backend-connections", "4"))
    stop = threading.Event()
    replies: list[list[Reply]] = [[] for _ in range(8)]

    def load(number: int) -> None:
        peer = server.connect()
        while not stop.is_set():
            replies[number].append(execute(peer, f"SET key{number} value"))

    threads = [threading.Thread(target=load, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    try:
        for _ in range(2):
            wait_until(lambda: all(replies), "all have begun")
            redis.kill()
            wait_until(lambda: all(is_unavailable(each[-1]) for each in replies), "all are refused")
            redis.start_again()
            wait_until(lambda: all(each[-1] == OK for each in replies), "all are served again")
    finally:
        stop.set()
        for each in threads:
            each.join()
    for each in replies:
        assert all(reply == OK or is_unavailable(reply) for reply in each)
    server.check()


def test_connections_that_grew_stale_while_idle_cost_nobody_an_error(
    start_redis: StartRedis, start_server: StartServer
) -> None:
    redis = start_redis()
    server = start_server(*backend(redis))
    peers = [server.connect() for _ in range(5)]
    all_at_once([lambda peer=peer: execute(peer, "SET key value") for peer in peers])
    redis.kill()
    redis.start_again()
    direct = wait_until(lambda: _connected(redis), "Redis is back")
    wait_until(lambda: execute(direct, "PING") == b"+PONG\r\n", "Redis answers")
    for peer in peers:
        assert execute(peer, "SET key value") == OK


def _connected(redis: RedisServer) -> Peer | None:
    try:
        return redis.connect()
    except ConnectionError:
        return None


def test_a_slow_backing_server_costs_an_error_in_time_while_others_go_on(
    start_redis: StartRedis, start_server: StartServer
) -> None:
    """CLIENT PAUSE holds back writes alone: those who write wait and are refused, those who read are served."""
    redis = start_redis()
    server = start_server(*backend(redis, "--backend-timeout", SHORT))
    reader, writer = server.connect(), server.connect()
    direct = redis.connect()
    calls(direct, "SET key value", "CLIENT PAUSE 600000 WRITE")
    writer.send(encode_request([b"SET", b"key", b"other"]))
    wait_until(lambda: figures(direct, "clients")["blocked_clients"] == "1", "the write is held back")
    assert execute(reader, "GET key") == b"$5\r\nvalue\r\n"
    refused = writer.line()
    assert refused.startswith(TIMED_OUT)
    assert refused.endswith(UNKNOWN)
    assert figures(reader, "backend")["backend_timed_out"] == "1"
    execute(direct, "CLIENT UNPAUSE")
    assert execute(writer, "SET key third") == OK


def test_a_backing_server_that_hangs_holds_up_only_what_needs_it(
    start_redis: StartRedis, start_server: StartServer
) -> None:
    """Stopped with pooled and with new connections: all waiters are refused, and INFO is answered."""
    redis = start_redis()
    server = start_server(*backend(redis, "--backend-timeout", SHORT, "--backend-connections", "2"))
    peers = [server.connect() for _ in range(5)]
    assert execute(peers[0], "SET key value") == OK
    redis.signal(signal.SIGSTOP)
    try:
        replies = all_at_once([lambda peer=peer: execute(peer, "GET key") for peer in peers])
        assert all(bytes(reply).startswith(TIMED_OUT) for reply in replies), replies
        assert not any(bytes(reply).endswith(UNKNOWN) for reply in replies)  # nothing hangs on whether a GET ran
        assert execute(peers[0], "PING") == b"+PONG\r\n"
        assert figures(peers[0], "keyspace") == {}
    finally:
        redis.signal(signal.SIGCONT)
    wait_for(peers[0], "GET key", b"$5\r\nvalue\r\n")


def test_a_backing_server_that_loads_its_data_is_not_there_yet(
    start_redis: StartRedis, start_server: StartServer, tmp_path: Path
) -> None:
    """The data is too much to load at once, and loading it is slowed down until the error has been seen."""
    redis = start_redis(dir=str(tmp_path), rdbcompression="no")
    direct = redis.connect()
    for number in range(2000):
        direct.send(encode_request([b"SET", b"key%d" % number, b"%010000d" % number]))
    assert direct.receive(5 * 2000) == OK * 2000
    execute(direct, "SAVE")
    redis.kill()
    server = start_server(*backend(redis))
    peer = server.connect()
    redis.start_again(key_load_delay="5000")  # it answers after every two megabytes
    loading = UNAVAILABLE + b"LOADING Redis is loading the dataset in memory\r\n"
    wait_until(lambda: execute(peer, "GET key1") == loading, "the backing server says that it is loading")
    calls(peer, "MULTI", "GET key1")
    assert execute(peer, "EXEC") == loading
    wait_until(lambda: execute(redis.connect(), "CONFIG SET key-load-delay 0") == OK, "it is told to hurry")
    wait_for(peer, "STRLEN key1", b":10000\r\n")


def test_what_is_no_redis_is_named_and_not_believed(start_server: StartServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1024)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        server = start_server("--port", "0", "--backend", f"redis://127.0.0.1:{port}")
        assert b"no Redis's reply" in bytes(execute(server.connect(), "GET key"))
        thread.join()


def test_a_compact_that_breaks_off_ends_in_an_error_and_the_end_of_the_connection(
    start_redis: StartRedis, start_server: StartServer
) -> None:
    redis = start_redis()
    server = start_server(*backend(redis))
    direct, peer = redis.connect(), server.connect()
    count = 300
    for number in range(count):
        direct.send(encode_request([b"SET", b"key%d" % number, b"x" * 100 * 1024]))
    assert direct.receive(5 * count) == OK * count
    peer.send(b"COMPACT\n")
    assert peer.line().startswith(b"SET key")
    redis.kill()
    lines = peer.rest().splitlines()
    assert len(lines) < count
    assert lines[-1].startswith(b"(error) ERR backend unavailable: ")
    server.check()


@pytest.mark.parametrize("command", ["COMPACT", "SCAN 0"])
def test_the_server_stops_in_good_order_while_the_backing_server_hangs(
    start_redis: StartRedis, start_server: StartServer, command: str
) -> None:
    redis = start_redis()
    server = start_server(*backend(redis, "--backend-timeout", SHORT))
    peer = server.connect()
    assert execute(peer, "SET key value") == OK
    redis.signal(signal.SIGSTOP)
    peer.send(command.encode() + b"\n")
    server.signal(signal.SIGTERM)
    assert server.exit_status() == 0
