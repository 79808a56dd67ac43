"""The client at a server with a password: from the environment, a file, a URL, or typed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from client.conversation import PASSWORD_ADVICE
from tests.harness.processes import ServerProcess, StartServer, run_client
from tests.harness.terminal import CTRL_D, ENTER, ClientTerminal
from tests.harness.waiting import wait_until

SECRET = "correct horse"
WRONG = b"kvline: AUTH failed: WRONGPASS invalid username-password pair or user is disabled.\n"
NOT_AUTHENTICATED = b"(error) NOAUTH Authentication required.\n"


@pytest.fixture(scope="module")
def guarded() -> Iterator[ServerProcess]:
    """A server with a password."""
    server = ServerProcess(KVLINE_PASSWORD="hush")
    assert server.connect().ask(f'CONFIG SET requirepass "{SECRET}"'.encode()) == b"OK"
    yield server
    server.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{SECRET}\n")
    return path


def test_the_password_may_be_in_the_environment_in_a_file_or_in_a_url(guarded: ServerProcess, file: Path) -> None:
    port = str(guarded.port)
    url = f"redis://:correct%20horse@127.0.0.1:{port}"
    for options, variables in (
        (["-p", port], {"KVLINE_PASSWORD": SECRET}),
        (["-p", port, "--password-file", str(file)], {}),
        (["-p", port, "--password-file", str(file)], {"KVLINE_PASSWORD": "wrong"}),
        (["-u", url], {"KVLINE_PASSWORD": "wrong"}),
        (["-u", f"redis://:wrong@127.0.0.1:{port}", "--password-file", str(file)], {}),
        ([], {"KVLINE_URL": f"redis://127.0.0.1:{port}", "KVLINE_PASSWORD": SECRET}),
    ):
        ended = run_client(*options, "PING", **variables)
        assert (ended.stdout, ended.stderr) == (b"PONG\n", b""), options


def test_a_batch_is_executed_with_the_password(guarded: ServerProcess) -> None:
    ended = run_client("-p", str(guarded.port), lines=b"SET k v\nGET k\n", KVLINE_PASSWORD=SECRET)
    assert ended.stdout == b"OK\nv\n"


def test_a_wrong_password_ends_the_client_before_any_command(guarded: ServerProcess) -> None:
    ended = run_client("-p", str(guarded.port), "SET", "k", "wrong", KVLINE_PASSWORD="wrong")
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, b"", WRONG)


def test_without_a_password_the_client_says_how_to_give_one(guarded: ServerProcess) -> None:
    ended = run_client("-p", str(guarded.port), "PING")
    assert (ended.returncode, ended.stdout) == (1, NOT_AUTHENTICATED)
    assert ended.stderr == f"kvline: {PASSWORD_ADVICE}\n".encode()


def test_a_batch_may_send_the_password_itself(guarded: ServerProcess) -> None:
    lines = f'PING\nAUTH "{SECRET}"\nPING\n'.encode()
    assert run_client("-p", str(guarded.port), lines=lines).stdout == NOT_AUTHENTICATED + b"OK\nPONG\n"
    ended = run_client("-p", str(guarded.port), "-n", "1", lines=lines)
    assert (ended.returncode, ended.stdout) == (1, b""), "the commands would run in another database"


def test_a_server_without_a_password_is_used_with_a_warning(start_server: StartServer) -> None:
    server = start_server()
    ended = run_client("-p", str(server.port), "PING", KVLINE_PASSWORD=SECRET)
    assert ended.stdout == b"PONG\n"
    assert ended.stderr.startswith(b"kvline: AUTH failed: ERR AUTH <password> called without any password configured")
    assert run_client("--local", "PING", KVLINE_PASSWORD=SECRET).stderr == b""


@pytest.mark.parametrize(
    ("options", "variables", "problem"),
    [
        (["--password-file", "/nowhere"], {}, b"--password-file /nowhere can't be read: No such file or directory"),
        (["--password-file", "/dev/null"], {}, b"--password-file /dev/null has no password in its first line"),
        ([], {"KVLINE_PASSWORD": "x" * 3000}, b"KVLINE_PASSWORD: a password has at most 2048 bytes"),
    ],
    ids=["missing", "empty", "too long"],
)
def test_a_password_that_cannot_be_used_is_a_wrong_option(
    options: list[str], variables: dict[str, str], problem: bytes
) -> None:
    ended = run_client(*options, "PING", **variables)
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert problem in ended.stderr


def test_at_a_terminal_the_client_asks_for_the_password_and_does_not_show_it(
    guarded: ServerProcess, tmp_path: Path
) -> None:
    history = tmp_path / "history"
    with ClientTerminal("-p", str(guarded.port), history=history) as terminal:
        terminal.expect(f"password of 127.0.0.1:{guarded.port}: ")
        wait_until(lambda: not terminal.mode[0], "the terminal does not echo")
        terminal.type(SECRET + ENTER)
        terminal.expect(f"127.0.0.1:{guarded.port}> ")
        terminal.type("PING" + ENTER)
        terminal.expect("PONG")
        terminal.type(f'AUTH "{SECRET}x"' + ENTER)
        terminal.expect("WRONGPASS")
        terminal.type("DISCONNECT" + ENTER)
        assert terminal.exit_status() == 0
        assert SECRET not in terminal.received.replace(f'AUTH "{SECRET}x"', "")
    assert history.read_text() == "PING\nDISCONNECT\n"


@pytest.mark.parametrize(
    ("typed", "shown"), [("wrong" + ENTER, WRONG.decode()), (CTRL_D, PASSWORD_ADVICE)], ids=["wrong", "Ctrl-D"]
)
def test_a_wrong_or_missing_password_at_a_terminal_ends_the_client(
    guarded: ServerProcess, tmp_path: Path, typed: str, shown: str
) -> None:
    with ClientTerminal("-p", str(guarded.port), "PING", history=tmp_path / "history") as terminal:
        terminal.expect("password of")
        wait_until(lambda: not terminal.mode[0], "the terminal does not echo")
        terminal.type(typed)
        terminal.expect(shown.strip())
        assert terminal.exit_status() == 1
