"""Batch mode: lines on the client's stdin, replies on its stdout."""

from __future__ import annotations

import os
import random
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.harness.processes import RUN_CLIENT, ServerProcess, StartServer, environment, run_client
from tests.harness.waiting import TIMEOUT, wait_until

UNBALANCED = b"(error) ERR Protocol error: unbalanced quotes in request\n"


@pytest.fixture(params=["socket", "--local"])
def options(request: pytest.FixtureRequest) -> list[str]:
    """The client's options for an empty store: of a server, and of ``--local``."""
    if request.param == "--local":
        return ["--local"]
    server: ServerProcess = request.getfixturevalue("server")
    return ["--port", str(server.port)]


def run_lines(options: list[str], lines: bytes, *failing: int) -> bytes:
    """Pipe the lines through the client and return what it printed. These lines fail, and no others."""
    ended = run_client(*options, lines=lines)
    *errors, summary = ended.stderr.decode().splitlines() if failing else [""]
    assert ended.returncode == bool(failing), ended.stderr
    assert re.findall(r"^kvline: line (\d+): [A-Z]+ ", "\n".join(errors), re.MULTILINE) == list(map(str, failing))
    assert len(errors) == len(failing)
    expected = f"{len(failing)} error{'s' if len(failing) > 1 else ''}, "
    assert expected in summary if failing else ended.stderr == b""
    return ended.stdout


def test_each_line_gets_its_reply(options: list[str]) -> None:
    lines = b'SET key "two words"\nGET key\nget none\nINCR n\nINCR key\nNOPE a\nDEL key n\n'
    assert run_lines(options, lines, 5, 6) == (
        b'OK\n"two words"\n(nil)\n1\n'
        b"(error) ERR value is not an integer or out of range\n"
        b"(error) ERR unknown command 'NOPE', with args beginning with: 'a' \n"
        b"2\n"
    )


def test_transactions_are_printed_as_a_numbered_list(options: list[str]) -> None:
    assert run_lines(options, b"MULTI\nEXEC\nMULTI\nINCR n\nGET none\nINCR n\nEXEC\n") == (
        b"OK\n(empty)\nOK\nQUEUED\nQUEUED\nQUEUED\n1) 1\n2) (nil)\n3) 2\n"
    )


def test_empty_lines_print_nothing(options: list[str]) -> None:
    assert run_lines(options, b"\n\r\n  \t \nPING\n\n") == b"PONG\n"
    assert run_lines(options, b"") == b""


def test_a_line_may_end_in_crlf_and_the_last_line_without_a_line_break(options: list[str]) -> None:
    assert run_lines(options, b"SET key value\r\nGET key") == b"OK\nvalue\n"


def test_unbalanced_quotes_are_reported_in_order_and_make_the_transaction_dirty(options: list[str]) -> None:
    lines = b"ECHO 1\nECHO \"2\nECHO 3\nMULTI\nSET key 1\nGET 'key\nEXEC\nEXISTS key\n"
    assert run_lines(options, lines, 2, 6, 7) == (
        b"1\n" + UNBALANCED + b"3\nOK\nQUEUED\n" + UNBALANCED + b"(error) EXECABORT Transaction discarded because of "
        b"previous errors.\n0\n"
    )


@pytest.mark.parametrize("closing_command", [b"DISCONNECT", b"QUIT", b"quit", b"Disconnect"])
def test_lines_after_disconnect_are_not_run(server: ServerProcess, closing_command: bytes) -> None:
    lines = b"SET before 1\n" + closing_command + b"\nSET after 1\n" + b'ECHO "\n'
    assert run_lines(["--port", str(server.port)], lines) == b"OK\nOK\n"
    assert run_lines(["--local"], lines) == b"OK\nOK\n"
    assert server.connect().ask(b"EXISTS before after") == b"1"


def test_a_disconnect_that_the_server_refuses_does_not_disconnect(options: list[str]) -> None:
    refused = b"(error) ERR wrong number of arguments for 'disconnect' command\n"
    assert run_lines(options, b"DISCONNECT now\nPING\n", 1) == refused + b"PONG\n"


def test_a_quit_with_arguments_disconnects(options: list[str]) -> None:
    assert run_lines(options, b"QUIT now\nPING\n") == b"OK\n"


def test_every_byte_can_be_sent_and_printed_escaped(options: list[str]) -> None:
    arg = b'"' + b"".join(b"\\x%02x" % byte for byte in range(256)) + b'"'
    printed = run_lines(options, b"SET key " + arg + b"\nGET key\nECHO " + arg + b"\n").splitlines()
    assert printed[0] == b"OK"
    assert printed[1] == printed[2]
    assert run_lines(options, b"ECHO " + printed[1] + b"\n") == printed[1] + b"\n"


def test_pipelining_of_20000_lines(options: list[str]) -> None:
    lines = b"".join(b"ECHO %d\n" % number for number in range(20_000))
    assert run_lines(options, lines) == b"".join(b"%d\n" % number for number in range(20_000))


def test_replies_larger_than_socket_buffers_do_not_deadlock(options: list[str]) -> None:
    value = b"x" * 50_000
    assert run_lines(options, b"SET key " + value + b"\n" + b"GET key\n" * 1000) == b"OK\n" + (value + b"\n") * 1000


def test_requests_larger_than_socket_buffers_do_not_deadlock(options: list[str]) -> None:
    lines = (b"SET key " + b"x" * 50_000 + b"\n") * 1000
    assert run_lines(options, lines) == b"OK\n" * 1000


@contextmanager
def open_client(*options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a client and leave its stdin open."""
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


def read_output(client: subprocess.Popen[bytes]) -> bytes:
    """Return what the client prints next."""
    assert client.stdout is not None
    readable, _, _ = select.select([client.stdout], [], [], TIMEOUT)
    assert readable, "the client printed nothing"
    return os.read(client.stdout.fileno(), 65536)


def test_replies_are_printed_while_stdin_is_open(options: list[str]) -> None:
    with open_client(*options) as client:
        assert client.stdin is not None
        for number in range(20):
            client.stdin.write(b"INCR n\nECHO half")
            assert read_output(client) == b"%d\n" % (number + 1)
            client.stdin.write(b" \n")
            assert read_output(client) == b"half\n"
        client.stdin.close()
        assert client.wait(TIMEOUT) == 0


def test_disconnect_ends_the_client_while_stdin_is_open(options: list[str]) -> None:
    with open_client(*options) as client:
        assert client.stdin is not None
        client.stdin.write(b"DISCONNECT\n")
        assert client.wait(TIMEOUT) == 0
        assert read_output(client) == b"OK\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_lost_connection_gives_one_line_on_stderr_and_exit_status_1(
    start_server: StartServer, number: signal.Signals
) -> None:
    server = start_server()
    with open_client("--port", str(server.port)) as client:
        assert client.stdin is not None
        assert client.stderr is not None
        client.stdin.write(b"PING\n")
        assert read_output(client) == b"PONG\n"
        server.signal(number)
        assert client.wait(TIMEOUT) == 1
        message = client.stderr.read().decode()
    assert message.count("\n") == 1
    assert f"server at 127.0.0.1:{server.port}" in message
    server.exit_status()


def test_a_closed_stdout_gives_no_error_message(options: list[str]) -> None:
    with open_client(*options) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        assert client.stderr is not None
        client.stdin.write(b"PING\n")
        assert read_output(client) == b"PONG\n"
        client.stdout.close()
        client.stdin.write(b"PING\n")
        client.wait(TIMEOUT)
        assert client.stderr.read() == b""


def test_the_connection_is_closed_when_the_client_ends(server: ServerProcess) -> None:
    clients = server.clients()
    assert run_lines(["--port", str(server.port)], b"MULTI\nINCR n\n") == b"OK\nQUEUED\n"
    wait_until(lambda: server.clients() == clients, "the server has closed the connection")
    assert server.connect().ask(b"EXISTS n") == b"0"


def test_the_output_of_compact_as_input_restores_the_store(server: ServerProcess, start_server: StartServer) -> None:
    generator = random.Random(20240501)
    pairs = {
        generator.randbytes(generator.randrange(30)): generator.randbytes(generator.randrange(200)) for _ in range(2000)
    }
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


def test_the_output_of_compact_of_an_empty_store_is_empty(server: ServerProcess) -> None:
    dumped = run_client("--port", str(server.port), "COMPACT")
    assert dumped.returncode == 0
    assert run_lines(["--port", str(server.port)], dumped.stdout) == b""
