"""The client without a person at it: lines on its stdin, replies on its stdout."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.harness.processes import RUN_CLIENT, TIMEOUT, ServerProcess, StartServer, environment, run_client, wait_until

UNBALANCED = b"(error) ERR Protocol error: unbalanced quotes in request\n"


@pytest.fixture(params=["socket", "--local"])
def options(request: pytest.FixtureRequest) -> list[str]:
    """Options for a conversation with a store that is empty, over a socket and without one."""
    if request.param == "--local":
        return ["--local"]
    server: ServerProcess = request.getfixturevalue("server")
    return ["--port", str(server.port)]


def run_lines(options: list[str], lines: bytes) -> bytes:
    """Pipe the lines through the client, which must end well; return what it printed."""
    ended = run_client(*options, lines=lines)
    assert (ended.returncode, ended.stderr) == (0, b"")
    return ended.stdout


def test_each_line_gets_its_reply(options: list[str]) -> None:
    lines = b'SET key "two words"\nGET key\nget none\nINCR n\nINCR key\nNOPE a\nDEL key n\n'
    assert run_lines(options, lines) == (
        b'OK\n"two words"\n(nil)\n1\n'
        b"(error) ERR value is not an integer or out of range\n"
        b"(error) ERR unknown command 'NOPE', with args beginning with: 'a'\n"
        b"2\n"
    )


def test_transactions_are_printed_as_a_numbered_list(options: list[str]) -> None:
    assert run_lines(options, b"MULTI\nEXEC\nMULTI\nINCR n\nGET none\nINCR n\nEXEC\n") == (
        b"OK\n(empty)\nOK\nQUEUED\nQUEUED\nQUEUED\n1) 1\n2) (nil)\n3) 2\n"
    )


def test_empty_lines_print_nothing(options: list[str]) -> None:
    assert run_lines(options, b"\n\r\n  \t \nPING\n\n") == b"PONG\n"
    assert run_lines(options, b"") == b""


def test_a_line_may_end_in_crlf_and_the_last_one_in_nothing(options: list[str]) -> None:
    assert run_lines(options, b"SET key value\r\nGET key") == b"OK\nvalue\n"


def test_unbalanced_quotes_are_answered_in_their_place_and_spoil_the_transaction(options: list[str]) -> None:
    lines = b"ECHO 1\nECHO \"2\nECHO 3\nMULTI\nSET key 1\nGET 'key\nEXEC\nEXISTS key\n"
    assert run_lines(options, lines) == (
        b"1\n" + UNBALANCED + b"3\nOK\nQUEUED\n" + UNBALANCED + b"(error) EXECABORT Transaction discarded because of "
        b"previous errors.\n0\n"
    )


@pytest.mark.parametrize("goodbye", [b"DISCONNECT", b"QUIT", b"quit", b"Disconnect"])
def test_lines_behind_a_disconnect_are_not_run(server: ServerProcess, goodbye: bytes) -> None:
    lines = b"SET before 1\n" + goodbye + b"\nSET after 1\n" + b'ECHO "\n'
    assert run_lines(["--port", str(server.port)], lines) == b"OK\nOK\n"
    assert run_lines(["--local"], lines) == b"OK\nOK\n"
    assert server.connect().ask(b"EXISTS before after") == b"1"


def test_a_disconnect_that_is_refused_does_not_end_the_conversation(options: list[str]) -> None:
    refused = b"(error) ERR wrong number of arguments for 'quit' command\n"
    assert run_lines(options, b"QUIT now\nPING\n") == refused + b"PONG\n"


def test_every_byte_passes_through_escaped(options: list[str]) -> None:
    arg = b'"' + b"".join(b"\\x%02x" % byte for byte in range(256)) + b'"'
    printed = run_lines(options, b"SET key " + arg + b"\nGET key\nECHO " + arg + b"\n").splitlines()
    assert printed[0] == b"OK"
    assert printed[1] == printed[2]
    assert run_lines(options, b"ECHO " + printed[1] + b"\n") == printed[1] + b"\n"


def test_twenty_thousand_lines_get_twenty_thousand_replies(options: list[str]) -> None:
    lines = b"".join(b"ECHO %d\n" % number for number in range(20_000))
    assert run_lines(options, lines) == b"".join(b"%d\n" % number for number in range(20_000))


def test_replies_much_larger_than_their_requests_do_not_block_it(options: list[str]) -> None:
    value = b"x" * 50_000
    assert run_lines(options, b"SET key " + value + b"\n" + b"GET key\n" * 1000) == b"OK\n" + (value + b"\n") * 1000


def test_requests_much_larger_than_their_replies_do_not_block_it(options: list[str]) -> None:
    lines = (b"SET key " + b"x" * 50_000 + b"\n") * 1000
    assert run_lines(options, lines) == b"OK\n" * 1000


@contextmanager
def open_client(*options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a client whose stdin stays open."""
    with subprocess.Popen(
        [RUN_CLIENT, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=environment(),
    ) as client:
        try:
            yield client
        finally:
            client.kill()


def read_reply(client: subprocess.Popen[bytes]) -> bytes:
    """Read what the client prints next."""
    assert client.stdout is not None
    readable, _, _ = select.select([client.stdout], [], [], TIMEOUT)
    assert readable, "no reply has come"
    return os.read(client.stdout.fileno(), 65536)


def test_replies_appear_while_stdin_stays_open(options: list[str]) -> None:
    with open_client(*options) as client:
        assert client.stdin is not None
        for number in range(20):
            client.stdin.write(b"INCR n\nECHO half")
            assert read_reply(client) == b"%d\n" % (number + 1)
            client.stdin.write(b" \n")
            assert read_reply(client) == b"half\n"
        client.stdin.close()
        assert client.wait(TIMEOUT) == 0


def test_it_ends_at_disconnect_while_stdin_stays_open(options: list[str]) -> None:
    with open_client(*options) as client:
        assert client.stdin is not None
        client.stdin.write(b"DISCONNECT\n")
        assert client.wait(TIMEOUT) == 0
        assert read_reply(client) == b"OK\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_server_that_ends_in_the_middle_is_one_sentence_and_exit_status_1(
    start_server: StartServer, number: signal.Signals
) -> None:
    server = start_server()
    with open_client("--port", str(server.port)) as client:
        assert client.stdin is not None
        assert client.stderr is not None
        client.stdin.write(b"PING\n")
        assert read_reply(client) == b"PONG\n"
        server.signal(number)
        assert client.wait(TIMEOUT) == 1
        complaint = client.stderr.read().decode()
    assert complaint.count("\n") == 1
    assert f"server at 127.0.0.1:{server.port}" in complaint
    server.exit_status()


def test_a_reader_that_has_enough_is_no_reason_to_complain(options: list[str]) -> None:
    with open_client(*options) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        assert client.stderr is not None
        client.stdin.write(b"PING\n")
        assert read_reply(client) == b"PONG\n"
        client.stdout.close()
        client.stdin.write(b"PING\n")
        client.wait(TIMEOUT)
        assert client.stderr.read() == b""


def test_a_client_that_has_ended_leaves_no_connection_behind(server: ServerProcess) -> None:
    threads = server.threads()
    assert run_lines(["--port", str(server.port)], b"MULTI\nINCR n\n") == b"OK\nQUEUED\n"
    wait_until(lambda: server.threads() == threads, "the server has seen it go")
    assert server.connect().ask(b"EXISTS n") == b"0"


def test_compact_fed_back_gives_the_same_store_whatever_bytes_it_holds(
    server: ServerProcess, start_server: StartServer
) -> None:
    chance = random.Random(20240501)
    pairs = {chance.randbytes(chance.randrange(30)): chance.randbytes(chance.randrange(200)) for _ in range(2000)}
    pairs |= {bytes([byte]): bytes([byte]) * 3 for byte in range(256)}
    pairs |= {b"(nil)": b"(error) ERR", "ключ".encode(): "\u2028\xa0 значение".encode(), b"'": b'"', b"\\x41": b"\r\n"}
    peer = server.connect()
    for key, value in pairs.items():
        peer.send(b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(key), key, len(value), value))
    assert peer.receive(5 * len(pairs)) == b"+OK\r\n" * len(pairs)
    dumped = run_client("--port", str(server.port), "COMPACT")
    assert dumped.returncode == 0
    assert dumped.stdout.count(b"\n") == len(pairs)

    other = start_server()
    assert run_lines(["--port", str(other.port)], dumped.stdout) == b"OK\n" * len(pairs)
    assert run_client("--port", str(other.port), "COMPACT").stdout == dumped.stdout
    peer = other.connect()
    for key, value in pairs.items():
        peer.send(b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(key), key))
        expected = b"$%d\r\n%b\r\n" % (len(value), value)
        assert peer.receive(len(expected)) == expected


def test_compact_of_an_empty_store_fed_back_does_nothing(server: ServerProcess) -> None:
    dumped = run_client("--port", str(server.port), "COMPACT")
    assert dumped.returncode == 0
    assert run_lines(["--port", str(server.port)], dumped.stdout) == b""
