"""Every protocol serves the keys of the backing Redis, and every reply is the backing server's own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import redis as redis_py

from common.resp_client import encode_request
from tests.harness.backing_redis import StartRedis, backend, execute, execute_each, info
from tests.harness.frame_client import FrameClient
from tests.harness.processes import Peer, ServerProcess, StartServer, run_client
from tests.harness.redis_server import HOST, RedisServer, free_port
from tests.harness.resp_wire import Aggregate
from tests.harness.sessions import load_transcripts
from tests.harness.waiting import TIMEOUT

TRANSCRIPTS = [pytest.param(exchanges, id=name) for name, exchanges in load_transcripts()]


def test_one_backing_server_is_served_over_every_protocol(peer: Peer, direct: Peer, proxy: ServerProcess) -> None:
    assert execute(direct, "SET key 11") == b"+OK\r\n"
    assert execute(peer, "GET key") == b"$2\r\n11\r\n"
    assert peer.ask(b"GET key") == b"11"
    frames = FrameClient(proxy.port)
    assert frames.get("key") == 11
    frames.set("key", [1])
    frames.close()
    assert execute(direct, "GET key") == b"$3\r\n[1]\r\n"


def test_get_over_resp(direct: Peer, proxy: ServerProcess) -> None:
    value = bytes(range(256)) * 1000
    direct.send(encode_request([b"SET", b"\x00odd\r\nkey", value]))
    assert direct.line() == b"+OK\r\n"
    client = redis_py.Redis(port=proxy.port)
    assert client.get(b"\x00odd\r\nkey") == value
    assert client.get("absent") is None
    client.close()


REQUESTS = """
SET key value|SET key other NX|SET key v2 XX GET|GET key|GET absent|SET word OK|GET word|GETDEL word|SETNX n 1|SETNX n 2
INCR n|INCRBY n 10|DECR n|DECRBY n 2|INCRBYFLOAT n 0.5|INCR n|INCR key|APPEND key more|STRLEN key|GETRANGE key 0 2
SETRANGE key 1 abc|MSET a 1 b 2|MGET a b absent|MSETNX a 1 c 2|EXISTS a b absent a|TYPE a|TYPE list|TYPE absent
GET list|INCR list|MGET a list|SETEX t 1000 x|TTL t|EXPIRE t 500|PERSIST t|TTL t|TTL absent|EXPIRE a 10 NX GT
EXPIRE a nonsense|SET a b c|SET a b EX 0|SETEX a -1 b|GETEX a PERSIST|RENAME a aa|RENAME absent x|RENAMENX aa b
COPY aa copy|COPY aa copy REPLACE|DEL aa absent|UNLINK b|TOUCH c|DBSIZE|KEYS list|SCAN 0 MATCH list COUNT 1000
OBJECT ENCODING n|OBJECT REFCOUNT n|OBJECT FREQ n|MEMORY USAGE n|LCS key key LEN|LCS key key IDX|SUBSTR key 0 1
SETBIT bits 7 1|GETBIT bits 7|BITCOUNT bits|BITCOUNT bits 0 5 BIT|BITPOS bits 1|BITOP NOT dest bits|GET dest
BITPOS bits 2|BITFIELD bits SET u8 0 200 GET i8 0 OVERFLOW FAIL INCRBY u8 0 100|BITFIELD_RO bits GET u8 0
BITFIELD bits GET u64 0|DUMP absent|DUMP list|RESTORE bits 0 x|RESTORE new 0 x
MIGRATE 127.0.0.1 1 absent 0 10|MIGRATE 127.0.0.1 1 a 0 x
GETSET key new|PSETEX p 100000 x|DEL p|SCAN nonsense|SCAN 0 COUNT 0|FLUSHDB NONSENSE|FLUSHALL ASYNC|RANDOMKEY
"""


@pytest.mark.parametrize("version", [2, 3])
def test_replies_and_error_texts_are_byte_for_byte_those_of_the_backing_server(
    redis: RedisServer, direct: Peer, peer: Peer, version: int
) -> None:
    """The same requests to the backing Redis and to the server get the same bytes."""
    lines = [line for line in REQUESTS.replace("\n", "|").split("|") if line]
    for each in (direct, peer):
        execute(each, f"HELLO {version}")
    execute(direct, "RPUSH list item")
    expected = execute_each(direct, *lines)
    execute(direct, "RPUSH list item")
    assert list(zip(lines, execute_each(peer, *lines), strict=True)) == list(zip(lines, expected, strict=True))


def test_a_binary_argument_is_repeated_unchanged_in_an_error(direct: Peer, peer: Peer) -> None:
    args = [b"EXPIRE", b"key", b"10", b"\xff\xfe"]
    errors: list[bytes] = []
    for each in (direct, peer):
        each.send(encode_request(args))
        errors.append(each.line())
    assert errors[0] == errors[1]
    assert errors[0].startswith(b"-ERR")


@pytest.mark.parametrize("exchanges", TRANSCRIPTS)
def test_the_transcripts_hold_over_a_backing_redis(
    redis: RedisServer, peer: Peer, exchanges: list[tuple[str, str]]
) -> None:
    for line, reply in exchanges:
        peer.send(line.encode() + b"\n")
        expected = reply.encode()
        received = peer.receive(len(expected))
        if line == "COMPACT":  # Redis does not order keys
            received, expected = (b"\n".join(sorted(each.split(b"\n"))) for each in (received, expected))
        assert (line, received) == (line, expected)


def test_compact_prints_only_strings_and_their_expiry(direct: Peer, peer: Peer) -> None:
    execute_each(direct, "SET a 1", 'SET "odd key" "two\\nlines"', "RPUSH list 1", "HSET hash f v")
    execute(direct, "SET b 2 PXAT 2000000000123")
    peer.send(b"COMPACT\n")
    lines = sorted(peer.line() for _ in range(3))
    assert lines[:2] == [b'SET "odd key" "two\\nlines"\n', b"SET a 1\n"]
    assert lines[2].startswith(b"SET b 2 PXAT 2000000000")
    assert peer.ask(b"PING") == b"PONG"


def test_compact_copies_a_keyspace_to_another_server(
    start_server: StartServer, direct: Peer, proxy: ServerProcess
) -> None:
    count = 1000
    for number in range(count):
        direct.send(encode_request([b"SET", b"key%d" % number, b"\xff value %d" % number]))
    assert direct.receive(5 * count) == b"+OK\r\n" * count
    compacted = run_client("--port", str(proxy.port), lines=b"COMPACT\n").stdout
    other = start_server()
    assert run_client("--port", str(other.port), lines=compacted).returncode == 0
    again = run_client("--port", str(other.port), lines=b"COMPACT\n").stdout
    assert sorted(compacted.splitlines()) == sorted(again.splitlines())
    assert len(compacted.splitlines()) == count
    back = run_client("--port", str(proxy.port), lines=b"FLUSHALL\n" + again)
    assert back.returncode == 0
    assert execute(direct, "DBSIZE") == b":%d\r\n" % count


def test_find_is_refused(peer: Peer) -> None:
    assert peer.ask(b"FIND *") == b"(error) ERR FIND needs the embedded store, and this server has a backing Redis"


def test_compact_is_one_bulk_string_over_resp(direct: Peer, peer: Peer) -> None:
    execute(direct, "SET key value")
    assert execute(peer, "COMPACT") == b"$13\r\nSET key value\r\n"


def test_compact_streams_with_bounded_memory(start_redis: StartRedis, start_server: StartServer) -> None:
    """600 values of 100 KiB are read line by line. The server's memory must not grow by half of that."""
    redis = start_redis()
    server = start_server(*backend(redis))
    direct, peer = redis.connect(), server.connect()
    size, count = 100 * 1024, 600
    for number in range(count):
        direct.send(encode_request([b"SET", b"key%d" % number, b"x" * size]))
    assert direct.receive(5 * count) == b"+OK\r\n" * count
    before = server.resident_bytes()
    peer.send(b"COMPACT\n")
    grown = 0
    for _ in range(count):
        assert peer.line().startswith(b"SET key")
        grown = max(grown, server.resident_bytes() - before)
    assert grown < size * count // 2


def test_info_reports_the_backend_and_its_keys(peer: Peer, direct: Peer, redis: RedisServer) -> None:
    execute_each(direct, "MSET a 1 b 2", "SET t 1 EX 1000")
    assert info(peer, "keyspace") == {"db0": "keys=3,expires=1,avg_ttl=0"}
    section = info(peer, "backend")
    assert section["backend_url"] == f"redis://{HOST}:{redis.port}/0"
    assert section["backend_connections"] == "50"
    assert info(peer, "cache") == {}


def test_commands_are_counted(peer: Peer) -> None:
    execute(peer, "CONFIG RESETSTAT")
    execute_each(peer, "SET key word", "GET key", "INCR key", "MULTI", "GET key", "INCR key", "EXEC")
    section = info(peer, "commandstats")
    assert section["cmdstat_get"].startswith("calls=2,")
    assert section["cmdstat_incr"].startswith("calls=2,")
    assert section["cmdstat_incr"].endswith("failed_calls=2")
    assert section["cmdstat_exec"].startswith("calls=1,")


def test_another_database_is_served_as_database_0(start_redis: StartRedis, start_server: StartServer) -> None:
    redis = start_redis(databases="4")
    server = start_server("--port", "0", "--backend", f"redis://{HOST}:{redis.port}/3")
    direct, peer = redis.connect(), server.connect()
    execute_each(direct, "SET key zero", "SELECT 3", "SET key three EX 1000")
    assert execute(peer, "GET key") == b"$5\r\nthree\r\n"
    assert info(peer, "keyspace") == {"db0": "keys=1,expires=1,avg_ttl=0"}
    assert execute(peer, "SELECT 0") == b"+OK\r\n"
    assert execute(peer, "SELECT 1") == b"-ERR DB index is out of range\r\n"
    assert execute(peer, "CONFIG GET databases") == Aggregate(b"*2\r\n", [b"$9\r\ndatabases\r\n", b"$1\r\n1\r\n"])
    for line in ("MULTI", "SELECT 1", "GET key"):
        execute(peer, line)
    assert execute(peer, "EXEC") == Aggregate(b"*2\r\n", [b"-ERR DB index is out of range\r\n", b"$5\r\nthree\r\n"])


def test_a_password_is_used_and_never_shown(start_redis: StartRedis, start_server: StartServer) -> None:
    redis = start_redis()
    execute(redis.connect(), "CONFIG SET requirepass s3cret/@")
    server = start_server("--port", "0", "--backend", f"redis://default:s3cret%2F%40@{HOST}:{redis.port}")
    peer = server.connect()
    assert execute(peer, "SET key value") == b"+OK\r\n"
    assert info(peer, "backend")["backend_url"] == f"redis://default@{HOST}:{redis.port}"
    assert "s3cret" not in server.log
    wrong = start_server("--port", "0", "--backend", f"redis://:wrong@{HOST}:{redis.port}").connect()
    assert b"backend unavailable: WRONGPASS" in bytes(execute(wrong, "GET key"))
    without = start_server(*backend(redis)).connect()
    assert b"backend unavailable: NOAUTH" in bytes(execute(without, "GET key"))


def test_a_tls_connection_to_the_backing_server(
    start_redis: StartRedis, start_server: StartServer, tmp_path: Path
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*make, "-out", certificate, "-keyout", key], check=True, capture_output=True, timeout=TIMEOUT)
    redis = start_redis()
    files = {"cert": certificate, "key": key, "ca-cert": certificate}
    settings = " ".join(f"tls-{name}-file {path}" for name, path in files.items())
    direct = redis.connect()
    if execute(direct, f"CONFIG SET {settings} tls-auth-clients no") != b"+OK\r\n":
        pytest.skip("this redis-server was built without TLS")
    port = free_port()
    assert execute(direct, f"CONFIG SET tls-port {port}") == b"+OK\r\n"
    url = f"rediss://localhost:{port}?ssl_ca_certs={certificate}&ssl_check_hostname=false"
    peer = start_server("--port", "0", "--backend", url).connect()
    value = "x" * 100_000
    assert execute_each(peer, f"SET key {value}", "GET key", "GET key") == [b"+OK\r\n", *[bulk(value)] * 2]
    untrusted = start_server("--port", "0", "--backend", f"rediss://localhost:{port}").connect()
    assert b"backend unavailable: " in bytes(execute(untrusted, "GET key"))


def bulk(text: str) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text.encode())


def test_a_unix_socket_of_the_backing_server(
    start_redis: StartRedis, start_server: StartServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("redis") / "socket"
    redis = start_redis(unixsocket=str(path))
    server = start_server("--port", "0", "--backend", f"unix://{path}?db=0")
    assert execute(server.connect(), "SET key value") == b"+OK\r\n"
    assert execute(redis.connect(), "GET key") == b"$5\r\nvalue\r\n"
