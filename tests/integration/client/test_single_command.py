"""The client's command line: one command, where the server is, and what the program loads and opens."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from common import __version__
from tests.harness.processes import ROOT, TIMEOUT, ServerProcess, run_client


def on(server: ServerProcess, *args: str | bytes) -> tuple[int, bytes]:
    """Run one command on the server; return the exit status and what was printed."""
    ended = run_client("--port", str(server.port), *args)
    assert ended.stderr == b""
    return ended.returncode, ended.stdout


def test_words_on_its_command_line_are_one_command(server: ServerProcess) -> None:
    assert on(server, "SET", "key", "two words") == (0, b"OK\n")
    assert on(server, "get", "key") == (0, b'"two words"\n')
    assert on(server, "GET", "none") == (0, b"(nil)\n")
    assert server.connect().ask(b"GET key") == b'"two words"'


def test_words_that_begin_with_a_dash_are_words(server: ServerProcess) -> None:
    assert on(server, "SET", "k", "-5") == (0, b"OK\n")
    assert on(server, "INCRBY", "bar", "-21") == (0, b"-21\n")
    assert on(server, "ECHO", "--port") == (0, b"--port\n")
    assert on(server, "ECHO", "--local") == (0, b"--local\n")
    assert on(server, "ECHO", "--") == (0, b"--\n")
    assert on(server, "ECHO", "-h") == (0, b"-h\n")


def test_words_are_taken_as_they_are_whatever_bytes_they_hold(server: ServerProcess) -> None:
    every_byte = bytes(range(1, 256))
    assert on(server, "SET", every_byte, 'a"b') == (0, b"OK\n")
    peer = server.connect()
    peer.send(b"*2\r\n$3\r\nGET\r\n$255\r\n%b\r\n" % every_byte)
    assert peer.receive(9) == b'$3\r\na"b\r\n'
    assert on(server, "ECHO", "") == (0, b'""\n')


def test_an_error_is_printed_and_gives_exit_status_1(server: ServerProcess) -> None:
    assert on(server, "INCRBY", "key", "x") == (1, b"(error) ERR value is not an integer or out of range\n")
    assert on(server, "NOPE") == (1, b"(error) ERR unknown command 'NOPE', with args beginning with:\n")
    assert on(server, "EXEC") == (1, b"(error) ERR EXEC without MULTI\n")


def test_one_command_leaves_stdin_alone(server: ServerProcess) -> None:
    ended = run_client("--port", str(server.port), "PING", lines=b"SET evil 1\n")
    assert ended.stdout == b"PONG\n"
    assert server.connect().ask(b"EXISTS evil") == b"0"


def test_it_knows_a_server_on_ipv6_and_by_name(server: ServerProcess) -> None:
    assert run_client("--host", "localhost", "--port", str(server.port), "PING").stdout == b"PONG\n"
    ended = run_client("--host", "::1", "--port", "1", "PING")
    assert ended.returncode == 1
    assert b"::1" in ended.stderr


@pytest.mark.parametrize("args", [[], ["PING"]], ids=["lines", "words"])
def test_without_a_server_it_says_why_and_how_to_start_one(args: list[str]) -> None:
    with socket.socket() as bound_but_deaf:
        bound_but_deaf.bind(("127.0.0.1", 0))
        port = bound_but_deaf.getsockname()[1]
        ended = run_client("--port", str(port), *args, lines=b"PING\n")
    assert (ended.returncode, ended.stdout) == (1, b"")
    complaint = ended.stderr.decode()
    assert complaint.count("\n") == 1
    assert f"127.0.0.1:{port}: Connection refused" in complaint
    assert f"./run_server.sh --port {port}" in complaint


@pytest.mark.parametrize("port", ["99999", "-1", "x", "0"])
def test_a_port_that_is_none_is_refused_without_a_traceback(port: str) -> None:
    ended = run_client("--port", port, "PING")
    assert ended.returncode in (1, 2)
    assert ended.stderr
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail ready\r\n", b""])
def test_something_else_than_a_kvline_server_is_one_sentence_and_exit_status_1(greeting: bytes) -> None:
    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(100)
            connection.sendall(greeting)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        answering = threading.Thread(target=answer)
        answering.start()
        ended = run_client("--port", str(listener.getsockname()[1]), "PING")
        answering.join(TIMEOUT)
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert ended.stderr.startswith(b"kvline: ")
    assert ended.stderr.count(b"\n") == 1


def test_its_usual_port_is_that_of_the_server() -> None:
    assert "9736" in run_client("--help").stdout.decode()
    assert run_client("--version").stdout == f"kvline {__version__}\n".encode()
    for source in ("client/__main__.py", "server/settings/table.py"):
        assert "DEFAULT_PORT = 9736\n" in (ROOT / source).read_text()


def without_server_code(folder: Path) -> Path:
    """Copy the client alone, with what it shares with the server."""
    for name in ("client", "common"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "run_client.sh", folder)
    return folder / "run_client.sh"


def test_it_needs_no_code_of_the_server(server: ServerProcess, tmp_path: Path) -> None:
    script = without_server_code(tmp_path)
    lines = b"SET key 1\nGET key\n"
    ended = run_client("--port", str(server.port), lines=lines, program=script, cwd=tmp_path, PYTHONPATH="")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"OK\n1\n", b"")
    local = run_client("--local", "PING", program=script, cwd=tmp_path, PYTHONPATH="")
    assert b"No module named 'server'" in local.stderr, "the check itself works"


def test_files_in_the_folder_that_it_is_started_from_are_not_taken_for_its_own(
    server: ServerProcess, tmp_path: Path
) -> None:
    for name in ("client", "common", "select", "argparse"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong file was imported')\n")
    ended = run_client("--port", str(server.port), "PING", cwd=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"PONG\n", b"")


def test_it_loads_the_servers_code_for_local_alone(server: ServerProcess) -> None:
    def loaded(*options: str) -> set[str]:
        ended = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "client", *options, "PING"],
            capture_output=True,
            cwd=ROOT,
            timeout=TIMEOUT,
            check=True,
        )
        assert ended.stdout == b"PONG\n"
        return set(re.findall(r"\| +([\w.]+)$", ended.stderr.decode(), re.MULTILINE))

    over_socket, local = loaded("--port", str(server.port)), loaded("--local")
    assert "common.resp" in over_socket
    assert {name for name in over_socket if name.startswith("server")} == set()
    assert "server.session.session" in local
    assert "server.net.listener" not in local


def test_local_opens_no_socket(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "def refuse(event, arguments):\n"
        "    if event.startswith('socket.'):\n"
        "        raise SystemExit('opened a socket: ' + event)\n"
        "sys.addaudithook(refuse)\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    ended = run_client("--local", lines=b"SET key 1\nGET key\n", PYTHONPATH=path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"OK\n1\n", b"")
    caught = run_client("--port", "1", "PING", PYTHONPATH=path)
    assert b"opened a socket: " in caught.stderr, "the check itself works"
