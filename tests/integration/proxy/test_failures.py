"""A backing Redis that is down, slow, loading or restarted: errors within the timeout, and recovery."""

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
    execute,
    execute_each,
    info,
    is_unavailable,
    wait_for_reply,
)
from tests.harness.processes import Peer, StartServer
from tests.harness.redis_server import RedisServer
from tests.harness.resp_wire import Reply
from tests.harness.waiting import all_at_once, wait_until

OK = b"+OK\r\n"
UNKNOWN = b"; whether the command ran is unknown\r\n"


def test_a_start_without_the_backing_server_logs_a_warning_and_recovers(
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
    assert execute_each(peer, "PING", "ECHO word") == [b"+PONG\r\n", b"$4\r\nword\r\n"]
    redis.start_again()
    wait_for_reply(peer, "SET key value", OK)


def test_every_command_that_needs_the_backing_server_reports_that_it_is_down(
    start_redis: StartRedis, start_server: StartServer
) -> None:
    redis = start_redis()
    redis.kill()
    peer = start_server(*backend(redis)).connect()
    for line in ("GET key", "SET key value", "WATCH key", "COMPACT", "SCAN 0", "KEYS *", "DBSIZE", "FLUSHALL"):
        assert is_unavailable(execute(peer, line)), line
    execute_each(peer, "MULTI", "SET key value")
    assert is_unavailable(execute(peer, "EXEC"))
    assert info(peer, "keyspace") == {}
    assert int(info(peer, "backend")["backend_unavailable"]) >= 8
    assert "expired_keys" not in info(peer, "stats"), "a zero would look like a real value"


def test_kill_and_restart_of_the_backing_server_under_load(start_redis: StartRedis, start_server: StartServer) -> None:
    """Eight clients write. They get only errors of the backing server while it is down, and all recover. Twice."""
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
            wait_until(lambda: all(replies), "all clients have started")
            redis.kill()
            wait_until(lambda: all(is_unavailable(each[-1]) for each in replies), "all clients get errors")
            redis.start_again()
            wait_until(lambda: all(each[-1] == OK for each in replies), "all clients are served again")
    finally:
        stop.set()
        for each in threads:
            each.join()
    for each in replies:
        assert all(reply == OK or is_unavailable(reply) for reply in each)
    server.check()


def test_stale_pool_connections_cause_no_errors(start_redis: StartRedis, start_server: StartServer) -> None:
    redis = start_redis()
    server = start_server(*backend(redis))
    peers = [server.connect() for _ in range(5)]
    all_at_once([lambda peer=peer: execute(peer, "SET key value") for peer in peers])
    redis.kill()
    redis.start_again()
    direct = wait_until(lambda: _connected(redis), "Redis accepts connections")
    wait_until(lambda: execute(direct, "PING") == b"+PONG\r\n", "Redis replies")
    for peer in peers:
        assert execute(peer, "SET key value") == OK


def _connected(redis: RedisServer) -> Peer | None:
    try:
        return redis.connect()
    except ConnectionError:
        return None


def test_a_slow_backing_server_causes_timeouts_only_for_requests_that_wait_for_it(
    start_redis: StartRedis, start_server: StartServer
) -> None:
    """CLIENT PAUSE delays writes only. A write times out, a read is served."""
    redis = start_redis()
    server = start_server(*backend(redis, "--backend-timeout", SHORT))
    reader, writer = server.connect(), server.connect()
    direct = redis.connect()
    execute_each(direct, "SET key value", "CLIENT PAUSE 600000 WRITE")
    writer.send(encode_request([b"SET", b"key", b"other"]))
    wait_until(lambda: info(direct, "clients")["blocked_clients"] == "1", "the write is paused")
    assert execute(reader, "GET key") == b"$5\r\nvalue\r\n"
    refused = writer.line()
    assert refused.startswith(TIMED_OUT)
    assert refused.endswith(UNKNOWN)
    assert info(reader, "backend")["backend_timed_out"] == "1"
    execute(direct, "CLIENT UNPAUSE")
    assert execute(writer, "SET key third") == OK


def test_a_backing_server_that_hangs_causes_timeouts_only_for_commands_that_need_it(
    start_redis: StartRedis, start_server: StartServer
) -> None:
    """Requests on pooled and on new connections time out, and INFO is served."""
    redis = start_redis()
    server = start_server(*backend(redis, "--backend-timeout", SHORT, "--backend-connections", "2"))
    peers = [server.connect() for _ in range(5)]
    assert execute(peers[0], "SET key value") == OK
    redis.signal(signal.SIGSTOP)
    try:
        replies = all_at_once([lambda peer=peer: execute(peer, "GET key") for peer in peers])
        assert all(bytes(reply).startswith(TIMED_OUT) for reply in replies), replies
        assert not any(bytes(reply).endswith(UNKNOWN) for reply in replies)  # it does not matter whether a GET ran
        assert execute(peers[0], "PING") == b"+PONG\r\n"
        assert info(peers[0], "keyspace") == {}
    finally:
        redis.signal(signal.SIGCONT)
    wait_for_reply(peers[0], "GET key", b"$5\r\nvalue\r\n")


def test_a_backing_server_that_is_loading_is_unavailable(
    start_redis: StartRedis, start_server: StartServer, tmp_path: Path
) -> None:
    """Loading is slowed down until the error has been seen."""
    redis = start_redis(dir=str(tmp_path), rdbcompression="no")
    direct = redis.connect()
    for number in range(2000):
        direct.send(encode_request([b"SET", b"key%d" % number, b"%010000d" % number]))
    assert direct.receive(5 * 2000) == OK * 2000
    execute(direct, "SAVE")
    redis.kill()
    server = start_server(*backend(redis))
    peer = server.connect()
    redis.start_again(key_load_delay="5000")  # it handles requests after every two megabytes
    loading = UNAVAILABLE + b"LOADING Redis is loading the dataset in memory\r\n"
    wait_until(lambda: execute(peer, "GET key1") == loading, "the backing server is loading")
    execute_each(peer, "MULTI", "GET key1")
    assert execute(peer, "EXEC") == loading
    wait_until(lambda: execute(redis.connect(), "CONFIG SET key-load-delay 0") == OK, "loading is fast again")
    wait_for_reply(peer, "STRLEN key1", b":10000\r\n")


def test_a_server_that_does_not_speak_resp_is_reported(start_server: StartServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def reply() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1024)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=reply)
        thread.start()
        server = start_server("--port", "0", "--backend", f"redis://127.0.0.1:{port}")
        assert b"not a Redis reply" in bytes(execute(server.connect(), "GET key"))
        thread.join()


def test_a_compact_that_fails_midway_ends_with_an_error_and_closes_the_connection(
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
def test_the_server_stops_cleanly_while_the_backing_server_hangs(
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
