"""The client's command line: one command as arguments, the server's address, and what the program imports."""

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
from tests.harness.processes import ROOT, ServerProcess, StartServer, run_client
from tests.harness.waiting import TIMEOUT


def run_on(server: ServerProcess, *args: str | bytes) -> tuple[int, bytes]:
    """Run one command on the server. Return the exit status and what was printed."""
    ended = run_client("--port", str(server.port), *args)
    assert ended.stderr == b""
    return ended.returncode, ended.stdout


def test_arguments_are_one_command(server: ServerProcess) -> None:
    assert run_on(server, "SET", "key", "two words") == (0, b"OK\n")
    assert run_on(server, "get", "key") == (0, b'"two words"\n')
    assert run_on(server, "GET", "none") == (0, b"(nil)\n")
    assert server.connect().ask(b"GET key") == b'"two words"'


def test_arguments_of_a_command_may_begin_with_a_dash(server: ServerProcess) -> None:
    assert run_on(server, "SET", "k", "-5") == (0, b"OK\n")
    assert run_on(server, "INCRBY", "bar", "-21") == (0, b"-21\n")
    assert run_on(server, "ECHO", "--port") == (0, b"--port\n")
    assert run_on(server, "ECHO", "--local") == (0, b"--local\n")
    assert run_on(server, "ECHO", "--") == (0, b"--\n")
    assert run_on(server, "ECHO", "-h") == (0, b"-h\n")


def test_arguments_may_contain_any_byte(server: ServerProcess) -> None:
    every_byte = bytes(range(1, 256))
    assert run_on(server, "SET", every_byte, 'a"b') == (0, b"OK\n")
    peer = server.connect()
    peer.send(b"*2\r\n$3\r\nGET\r\n$255\r\n%b\r\n" % every_byte)
    assert peer.receive(9) == b'$3\r\na"b\r\n'
    assert run_on(server, "ECHO", "") == (0, b'""\n')


def test_an_error_reply_is_printed_and_gives_exit_status_1(server: ServerProcess) -> None:
    assert run_on(server, "INCRBY", "key", "x") == (1, b"(error) ERR value is not an integer or out of range\n")
    assert run_on(server, "NOPE") == (1, b"(error) ERR unknown command 'NOPE', with args beginning with: \n")
    assert run_on(server, "EXEC") == (1, b"(error) ERR EXEC without MULTI\n")


@pytest.mark.parametrize("password", [None, "secret"])
def test_a_connection_that_the_server_refuses_gives_the_reason(start_server: StartServer, password: str | None) -> None:
    server = start_server("--port", "0", "--max-clients", "1")
    server.connect()
    variables = {} if password is None else {"KVLINE_PASSWORD": password}
    ended = run_client("-p", str(server.port), "PING", **variables)
    assert (ended.returncode, ended.stdout) == (1, b"")
    reason = "ERR max number of clients reached"
    assert ended.stderr.decode() == f"kvline: the server at 127.0.0.1:{server.port} refuses the connection: {reason}\n"


def test_one_command_does_not_read_stdin(server: ServerProcess) -> None:
    ended = run_client("--port", str(server.port), "PING", lines=b"SET unread 1\n")
    assert ended.stdout == b"PONG\n"
    assert server.connect().ask(b"EXISTS unread") == b"0"


def test_the_host_may_be_a_name_or_an_ipv6_address(server: ServerProcess) -> None:
    assert run_client("--host", "localhost", "--port", str(server.port), "PING").stdout == b"PONG\n"
    ended = run_client("--host", "::1", "--port", "1", "PING")
    assert ended.returncode == 1
    assert b"::1" in ended.stderr


@pytest.mark.parametrize("args", [[], ["PING"]], ids=["lines", "one command"])
def test_a_refused_connection_is_reported_with_the_command_that_starts_a_server(args: list[str]) -> None:
    with socket.socket() as not_listening:
        not_listening.bind(("127.0.0.1", 0))
        port = not_listening.getsockname()[1]
        ended = run_client("--port", str(port), *args, lines=b"PING\n", cwd=ROOT)
    assert (ended.returncode, ended.stdout) == (1, b"")
    message = ended.stderr.decode()
    assert message.count("\n") == 1
    assert f"127.0.0.1:{port}: Connection refused" in message
    assert message.endswith(f"Start one with ./run_server.sh --port {port}\n")


@pytest.mark.parametrize("port", ["99999", "65536", "-1", "x", "0"])
def test_an_invalid_port_is_refused(port: str) -> None:
    ended = run_client(f"--port={port}", "PING")
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert f"a port is a number from 1 to 65535, not {port!r}".encode() in ended.stderr


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"220 mail ready\r\n", b""])
def test_a_server_of_another_protocol_gives_one_line_on_stderr_and_exit_status_1(greeting: bytes) -> None:
    def send_greeting() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(100)
            connection.sendall(greeting)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=send_greeting)
        thread.start()
        ended = run_client("--port", str(listener.getsockname()[1]), "PING")
        thread.join(TIMEOUT)
    assert (ended.returncode, ended.stdout) == (1, b"")
    assert ended.stderr.startswith(b"kvline: ")
    assert ended.stderr.count(b"\n") == 1


def test_the_default_port_is_that_of_the_server() -> None:
    assert "9736" in run_client("--help").stdout.decode()
    assert run_client("--version").stdout == f"kvline {__version__}\n".encode()
    for source in ("client/settings.py", "server/settings/table.py"):
        assert "DEFAULT_PORT = 9736\n" in (ROOT / source).read_text()


def copy_without_server(folder: Path) -> Path:
    """Copy the folders ``client`` and ``common`` and the start script. Return that script's path."""
    for name in ("client", "common"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "scripts").mkdir()
    for name in ("run_client.sh", "scripts/find_python.sh"):
        shutil.copy(ROOT / name, folder / name)
    return folder / "run_client.sh"


def test_the_client_does_not_need_the_servers_code(server: ServerProcess, tmp_path: Path) -> None:
    script = copy_without_server(tmp_path)
    lines = b"SET key 1\nGET key\n"
    ended = run_client("--port", str(server.port), lines=lines, program=script, cwd=tmp_path, PYTHONPATH="")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"OK\n1\n", b"")
    local = run_client("--local", "PING", program=script, cwd=tmp_path, PYTHONPATH="")
    assert b"No module named 'server'" in local.stderr, "the check itself works"


def test_modules_in_the_current_folder_are_not_imported(server: ServerProcess, tmp_path: Path) -> None:
    for name in ("client", "common", "select", "argparse"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong file was imported')\n")
    ended = run_client("--port", str(server.port), "PING", cwd=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"PONG\n", b"")


def test_only_local_imports_the_servers_code(server: ServerProcess) -> None:
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
    assert "common.resp_client" in over_socket
    assert "common.resp_requests" not in over_socket
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
