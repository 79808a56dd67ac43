"""Clients that others wrote for Redis: redis-py in both versions of RESP, and redis-cli."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
import redis

from tests.harness.processes import ServerProcess
from tests.harness.redis_server import find_redis_cli
from tests.harness.waiting import TIMEOUT

EVERY_BYTE = bytes(range(256))
NOT_AN_INTEGER = "value is not an integer or out of range"


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def protocol(request: pytest.FixtureRequest) -> int:
    version: int = request.param
    return version


@pytest.fixture
def client(server: ServerProcess, protocol: int) -> Iterator[redis.Redis]:
    with redis.Redis(port=server.port, protocol=protocol, socket_timeout=TIMEOUT) as client:
        yield client


def test_redis_py_stores_reads_counts_and_deletes(client: redis.Redis) -> None:
    assert client.ping() is True
    assert client.set("key", "value") is True
    assert client.get("key") == b"value"
    assert client.get("none") is None
    assert client.exists("key", "none", "key") == 2
    assert (client.incr("n"), client.incrby("n", 41), client.decr("n"), client.decrby("n", 40)) == (1, 42, 41, 1)
    assert client.delete("key", "n", "none") == 2
    assert client.echo("hello") == b"hello"


def test_redis_py_keeps_every_byte_of_keys_and_values(client: redis.Redis) -> None:
    assert client.set(EVERY_BYTE, EVERY_BYTE[::-1]) is True
    assert client.get(EVERY_BYTE) == EVERY_BYTE[::-1]
    assert client.set("", "") is True
    assert client.get("") == b""


def test_redis_py_runs_a_transaction_as_one_step(client: redis.Redis) -> None:
    pipeline = client.pipeline(transaction=True)
    pipeline.set("key", "1").incr("key").get("key").get("none").delete("key")
    assert pipeline.execute() == [True, 2, b"2", None, 1]


def test_redis_py_pipelines_without_a_transaction(client: redis.Redis) -> None:
    pipeline = client.pipeline(transaction=False)
    for _ in range(5000):
        pipeline.incr("n")
    assert pipeline.execute() == list(range(1, 5001))


def test_redis_py_gets_an_error_inside_a_transaction_in_its_place(client: redis.Redis) -> None:
    pipeline = client.pipeline(transaction=True)
    pipeline.set("key", "x").incr("key").get("key")
    before, error, after = pipeline.execute(raise_on_error=False)
    assert (before, after) == (True, b"x")
    assert isinstance(error, redis.ResponseError)
    assert NOT_AN_INTEGER in str(error)


def test_redis_py_gets_a_transaction_refused_that_holds_an_unknown_command(client: redis.Redis) -> None:
    pipeline = client.pipeline(transaction=True)
    pipeline.set("key", "x").execute_command("NOPE", "a")
    with pytest.raises(redis.ResponseError, match="unknown command 'NOPE', with args beginning with: 'a'"):
        pipeline.execute()
    assert client.get("key") is None


def test_redis_py_raises_errors_with_their_texts(client: redis.Redis) -> None:
    client.set("key", "x")
    with pytest.raises(redis.ResponseError) as not_an_integer:
        client.incr("key")
    assert str(not_an_integer.value) == NOT_AN_INTEGER
    with pytest.raises(redis.ResponseError) as wrong_arity:
        client.execute_command("GET")
    assert str(wrong_arity.value) == "wrong number of arguments for 'get' command"
    client.set("most", 2**63 - 1)
    with pytest.raises(redis.ResponseError) as overflow:
        client.incr("most")
    assert str(overflow.value) == "increment or decrement would overflow"


def test_redis_py_decodes_responses_when_asked(server: ServerProcess, protocol: int) -> None:
    with redis.Redis(port=server.port, protocol=protocol, decode_responses=True) as client:
        client.set("ключ", "значение")
        assert client.get("ключ") == "значение"


def test_redis_py_learns_which_version_of_resp_is_spoken(client: redis.Redis, protocol: int) -> None:
    hello = client.execute_command("HELLO")
    if protocol == 2:
        hello = dict(zip(hello[::2], hello[1::2], strict=True))
    assert (hello[b"server"], hello[b"proto"]) == (b"kvline", protocol)


def redis_cli(server: ServerProcess, *args: str, lines: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    program = find_redis_cli()
    if program is None:
        pytest.skip("there is no redis-cli here")
    return subprocess.run(
        [program, "-p", str(server.port), *args],
        input=lines,
        capture_output=True,
        timeout=TIMEOUT,
        check=True,
    )


@pytest.mark.parametrize("dash", [[], ["-3"]], ids=["RESP2", "RESP3"])
def test_redis_cli_runs_one_command(server: ServerProcess, dash: list[str]) -> None:
    assert redis_cli(server, *dash, "SET", "key", "two words").stdout == b"OK\n"
    assert redis_cli(server, *dash, "GET", "key").stdout == b"two words\n"
    assert redis_cli(server, *dash, "GET", "none").stdout.strip() == b""
    assert redis_cli(server, *dash, "INCR", "n").stdout == b"1\n"
    assert redis_cli(server, *dash, "INCR", "key").stdout.strip() == b"ERR " + NOT_AN_INTEGER.encode()


def test_redis_cli_runs_piped_lines(server: ServerProcess) -> None:
    lines = b'SET key "\\x00\\xff"\nMULTI\nINCR n\nINCRBY n -21\nEXEC\nDEL key n none\n'
    assert redis_cli(server, lines=lines).stdout == b"OK\nOK\nQUEUED\nQUEUED\n1\n-20\n2\n"


def test_redis_cli_prints_compact_unchanged(server: ServerProcess) -> None:
    redis_cli(server, "SET", "key", "two words")
    assert redis_cli(server, "COMPACT").stdout == b'SET key "two words"\n'


def test_redis_cli_loads_in_bulk_through_its_pipe_mode(server: ServerProcess) -> None:
    requests = b"".join(b"*3\r\n$3\r\nSET\r\n$5\r\n%05d\r\n$1\r\nx\r\n" % number for number in range(20_000))
    assert b"errors: 0, replies: 20000" in redis_cli(server, "--pipe", lines=requests).stdout
    assert redis_cli(server, "EXISTS", "00000", "19999", "20000").stdout == b"2\n"


def test_redis_cli_stat_shows_the_figures_of_the_server(server: ServerProcess) -> None:
    pexpect = pytest.importorskip("pexpect", reason="pexpect is not installed")
    program = find_redis_cli()
    if program is None:
        pytest.skip("there is no redis-cli here")
    redis_cli(server, "SET", "key", "value")
    child = pexpect.spawn(program, ["-p", str(server.port), "--stat"], encoding="utf-8", timeout=TIMEOUT)
    try:
        # Keys, memory, clients, blocked clients, requests, connections. A missing field is a large negative number.
        child.expect(r"\r\n1 +[0-9.]+M +[12] +0 +\d+ \(\+0\) +\d+ *\r\n")
    finally:
        child.close(force=True)


def test_redis_cli_shows_help_and_hints_of_the_commands_of_the_server(server: ServerProcess) -> None:
    pexpect = pytest.importorskip("pexpect", reason="pexpect is not installed")
    program = find_redis_cli()
    if program is None:
        pytest.skip("there is no redis-cli here")
    child = pexpect.spawn(program, ["-p", str(server.port)], encoding="utf-8", timeout=TIMEOUT, dimensions=(60, 150))
    try:
        child.expect("> ")
        child.send("help FIND\r")  # not a command of Redis, so redis-cli can only have it from COMMAND DOCS
        child.expect_exact("pattern [LIMIT count]")
        child.expect_exact("Return the keys whose value matches a pattern")
        child.expect_exact("0.1.0")
        child.send("help SET\r")
        child.expect_exact("key value [NX|XX] [GET] [EX seconds|PX milliseconds|")
        child.expect_exact("Set the value of a key.")
        child.expect_exact("string")
        child.send("SET foo ")
        child.expect_exact("SET foo ")
        child.expect_exact("value [NX|XX] [GET] [EX seconds")
    finally:
        child.close(force=True)
