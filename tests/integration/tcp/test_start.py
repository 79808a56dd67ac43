"""Starting the server: from where, with which options, on which addresses."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from common import __version__
from server.settings import SETTINGS
from tests.harness.processes import ROOT, RUN_SERVER, Peer, StartServer, run_server
from tests.harness.waiting import TIMEOUT


def test_it_starts_from_another_folder(start_server: StartServer, tmp_path: Path) -> None:
    assert start_server(program=RUN_SERVER, cwd=tmp_path).connect().ask(b"PING") == b"PONG"


def test_it_starts_through_a_symlink_in_a_folder_with_a_blank_in_its_name(
    start_server: StartServer, tmp_path: Path
) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "first").symlink_to(RUN_SERVER)
    (folder / "second").symlink_to("first")
    server = start_server(program=folder / "second", cwd=folder)
    assert server.connect().ask(b"PING") == b"PONG"


def test_files_in_the_folder_that_it_is_started_from_are_not_taken_for_its_own(
    start_server: StartServer, tmp_path: Path
) -> None:
    for name in ("server", "common", "random", "socketserver"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong file was imported')\n")
    assert start_server(program=RUN_SERVER, cwd=tmp_path).connect().ask(b"PING") == b"PONG"


MAX_MODULES = 275
"""A first reply needs 258 modules with Python 3.11, those of the standard library included."""

FIRST_REPLY = """
import socket, sys
import server.__main__
from server.app import Server
from server.settings import Settings
with Server(Settings(ports=(0,))) as running, socket.create_connection((b"127.0.0.1", running.port)) as connection:
    connection.sendall(b"PING\\r\\n")
    assert connection.recv(100) == b"PONG\\r\\n"
    print(*sys.modules)
"""


def test_a_first_reply_needs_no_modules_of_features_that_are_not_used() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FIRST_REPLY], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT, check=True
    )
    modules = set(ended.stdout.split())
    assert len(modules) <= MAX_MODULES
    slow = {
        "asyncio",
        "encodings.idna",
        "email",
        "hashlib",
        "http",
        "ipaddress",
        "multiprocessing",
        "ssl",
        "subprocess",
    }
    assert modules.isdisjoint(slow | {"tomllib", "unittest", "urllib", "uuid", "zlib"})


@pytest.mark.parametrize("level", ["warning", "error"])
def test_it_says_on_one_line_where_it_listens_whatever_the_log_level(start_server: StartServer, level: str) -> None:
    server = start_server("--port", "0", "--log-level", level)
    assert re.fullmatch(r"listening on 127\.0\.0\.1:[1-9][0-9]*\n", server.log)


def test_the_config_file_is_used_and_the_command_line_wins(start_server: StartServer, tmp_path: Path) -> None:
    (tmp_path / "kvline.toml").write_text('port = 1\nmax-clients = 77\nlog-level = "error"\n')
    server = start_server("--port", "0", "--config", "kvline.toml", cwd=tmp_path)
    peer = server.connect()
    assert peer.ask(b"CONFIG GET maxclients") == b"1) maxclients"
    assert peer.line() == b"2) 77\n"
    peer.send(b"*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n")
    assert f"config_file:{tmp_path}/kvline.toml\r\n".encode() in peer.receive(int(peer.line()[1:]) + 2)


def test_a_bad_config_file_is_one_sentence_and_exit_status_2(tmp_path: Path) -> None:
    (tmp_path / "kvline.toml").write_text("prot = 1\n")
    ended = run_server("--config", str(tmp_path / "kvline.toml"))
    assert ended.returncode == 2
    assert ended.stderr == f"run_server.sh: error: {tmp_path}/kvline.toml: 'prot' is not a setting; --help lists them\n"


def test_it_serves_one_store_on_every_port_that_it_is_given(start_server: StartServer) -> None:
    server = start_server("--port", "0", "--port", "0", ports=2)
    first, second = (int(address.rpartition(":")[2]) for address in server.addresses)
    assert first != second
    one, other = Peer(first), Peer(second)
    assert one.ask(b"SET key value") == b"OK"
    assert other.ask(b"GET key") == b"value"
    one.close()
    other.close()


def test_it_listens_on_ipv6(start_server: StartServer) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as problem:
        pytest.skip(f"no IPv6 here: {problem}")
    server = start_server("--host", "::1", "--port", "0")
    assert re.fullmatch(r"\[::1\]:[1-9][0-9]*", server.addresses[0])
    peer = Peer(server.port, "::1")
    assert peer.ask(b"PING") == b"PONG"
    peer.close()


def test_a_port_that_is_taken_is_one_sentence_and_exit_status_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_server("--port", str(port))
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == f"kvline can't listen on 127.0.0.1:{port}: Address already in use\n"


def test_when_one_of_two_ports_is_taken_it_listens_on_neither() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run_server("--port", "0", "--port", str(taken.getsockname()[1]))
    assert ended.returncode == 1
    assert "listening" not in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_a_host_that_is_not_its_own_is_one_sentence_and_exit_status_1(host: str) -> None:
    ended = run_server("--host", host, "--port", "0")
    assert ended.returncode == 1
    assert re.fullmatch(rf"kvline can't listen on {re.escape(host)}:0: .+\n", ended.stderr)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--port", "x"], "a port is a number from 0 to 65535, not 'x'"),
        (["--port", "65536"], "a port is a number from 0 to 65535, not '65536'"),
        (["--port", "-1"], "a port is a number from 0 to 65535, not '-1'"),
        (["--port", "²"], "a port is a number from 0 to 65535, not '²'"),
        (["--port"], "expected one argument"),
        (["--max-line", "0"], "a limit is a number of bytes, at least 1, not '0'"),
        (["--max-bulk", "1.5"], "a limit is a number of bytes, at least 1, not '1.5'"),
        (["--max-clients", "0"], "a number of clients is from 1 to 4294967295, not '0'"),
        (["--max-clients", "4294967296"], "a number of clients is from 1 to 4294967295, not '4294967296'"),
        (["--max-clients", "many"], "a number of clients is from 1 to 4294967295, not 'many'"),
        (["--log-level", "loud"], "invalid choice: 'loud'"),
        (["--nonsense"], "unknown option: --nonsense"),
        (["word"], "unexpected argument"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_by_name(options: list[str], complaint: str) -> None:
    ended = run_server(*options)
    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert ended.stderr.startswith("run_server.sh: error: ")
    assert ended.stderr.count("\n") == 1, "one sentence, without the usage"


def test_version_names_the_version() -> None:
    ended = run_server("--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"kvline {__version__}\n", "")


def test_help_names_every_option() -> None:
    ended = run_server("--help")
    assert ended.returncode == 0
    options = [entry.option for entry in SETTINGS if entry.option]
    assert len(options) >= 16
    assert [option for option in options if option not in ended.stdout] == []


def test_options_in_the_environment_are_used_and_the_command_line_wins(start_server: StartServer) -> None:
    variables = "export KVLINE_PORT=1 KVLINE_MAX_LINE=30 KVLINE_MAX_CLIENTS=77 KVLINE_LOG_LEVEL=error"
    server = start_server("--port", "0", "--max-clients", "78", shell=variables)
    peer = server.connect()
    assert server.port != 1
    assert peer.ask(b"ECHO " + b"x" * 30).startswith(b"(error) ERR Protocol error")
    assert peer.ask(b"CONFIG GET maxclients") == b"1) maxclients"
    assert peer.line() == b"2) 78\n"
    assert peer.ask(b"CONFIG GET loglevel") == b"1) loglevel"
    assert peer.line() == b"2) error\n"


@pytest.mark.parametrize("variable", ["KVLINE_PORT", "KVLINE_MAX_CLIENTS", "KVLINE_ALL_CORES"])
def test_a_bad_variable_is_one_sentence_and_exit_status_2(variable: str) -> None:
    ended = run_server(**{variable: "nonsense"})
    assert ended.returncode == 2
    assert re.search(rf"^run_server\.sh: error: {variable}: .*'nonsense'$", ended.stderr, re.MULTILINE)
