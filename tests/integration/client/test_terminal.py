"""The client with a person at it: prompt, completion, history, and the ways to leave."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.harness.processes import ServerProcess, StartServer
from tests.harness.terminal import CTRL_D, ENTER, TAB, UP, Terminal

pytest.importorskip("readline", reason="this Python has no line editing")


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return tmp_path / "history"


def prompt_of(server: ServerProcess, mark: str = "") -> str:
    return f"127.0.0.1:{server.port}{mark}> "


def test_a_command_typed_at_the_prompt_is_answered_on_the_next_line(server: ServerProcess, history: Path) -> None:
    prompt = prompt_of(server)
    with Terminal("--port", str(server.port), history=history) as terminal:
        assert terminal.expect(prompt) == ""
        terminal.type("SET key 'two words'" + ENTER)
        assert terminal.expect(prompt) == "SET key 'two words'\nOK\n"
        terminal.type("get key" + ENTER)
        assert terminal.expect(prompt) == 'get key\n"two words"\n'
        terminal.type(ENTER)
        assert terminal.expect(prompt) == "\n"
        terminal.type("GET 'key" + ENTER)
        assert terminal.expect(prompt).endswith("\n(error) ERR Protocol error: unbalanced quotes in request\n")


def test_the_prompt_tells_that_a_transaction_is_open(server: ServerProcess, history: Path) -> None:
    plain, open_ = prompt_of(server), prompt_of(server, "(TX)")
    with Terminal("--port", str(server.port), history=history) as terminal:
        terminal.expect(plain)
        for line, shown, prompt in [
            ("MULTI", "OK", open_),
            ("INCR n", "QUEUED", open_),
            ("MULTI", "(error) ERR MULTI calls can not be nested", open_),
            ("EXEC", "1) 1", plain),
            ("EXEC", "(error) ERR EXEC without MULTI", plain),
            ("multi", "OK", open_),
            ("NOPE", "(error) ERR unknown command 'NOPE', with args beginning with:", open_),
            ("exec", "(error) EXECABORT Transaction discarded because of previous errors.", plain),
            ("MULTI", "OK", open_),
            ("DISCARD", "OK", plain),
        ]:
            terminal.type(line + ENTER)
            assert terminal.expect(prompt) == f"{line}\n{shown}\n"


def test_local_has_a_prompt_of_its_own_and_needs_no_server(history: Path) -> None:
    with Terminal("--local", history=history) as terminal:
        assert terminal.expect("local> ") == ""
        terminal.type("INCR n" + ENTER)
        assert terminal.expect("local> ") == "INCR n\n1\n"
        terminal.type("MULTI" + ENTER)
        assert terminal.expect("local(TX)> ") == "MULTI\nOK\n"


@pytest.mark.parametrize(("key", "shown"), [(CTRL_D, "\n"), ("DISCONNECT" + ENTER, "DISCONNECT\nOK\n")])
@pytest.mark.parametrize("where", ["socket", "--local"])
def test_ctrl_d_and_disconnect_leave_with_status_0(
    server: ServerProcess, history: Path, where: str, key: str, shown: str
) -> None:
    options = ["--local"] if where == "--local" else ["--port", str(server.port)]
    with Terminal(*options, history=history) as terminal:
        terminal.expect("> ")
        terminal.type(key)
        assert terminal.exit_status() == 0
        assert terminal.unexpected == shown


def test_ctrl_c_gives_up_the_line_and_not_the_session(server: ServerProcess, history: Path) -> None:
    with Terminal("--port", str(server.port), history=history) as terminal:
        terminal.expect(prompt_of(server))
        terminal.type("SET evil")
        terminal.expect("SET evil")
        terminal.interrupt()
        terminal.expect(prompt_of(server))
        terminal.type("PING" + ENTER)
        assert terminal.expect(prompt_of(server)) == "PING\nPONG\n"


def test_tab_completes_the_names_of_commands(server: ServerProcess, history: Path) -> None:
    with Terminal("--port", str(server.port), history=history) as terminal:
        terminal.expect(prompt_of(server))
        terminal.type("DISCA" + TAB)
        terminal.expect("DISCARD ")
        terminal.type(ENTER)
        assert terminal.expect(prompt_of(server)).endswith("(error) ERR DISCARD without MULTI\n")
        terminal.type("HELP app" + TAB)
        terminal.expect("HELP append ")
        terminal.type(ENTER)
        assert "\nAPPEND key value\n" in terminal.expect(prompt_of(server))
        terminal.type("GET flu" + TAB + "x" + ENTER)
        assert terminal.expect(prompt_of(server)).endswith("(nil)\n"), "a key is not completed"


def test_the_history_is_kept_between_runs(server: ServerProcess, history: Path) -> None:
    for leave in (CTRL_D, "QUIT" + ENTER):
        with Terminal("--port", str(server.port), history=history) as terminal:
            terminal.expect(prompt_of(server))
            terminal.type("INCR remembered" + ENTER)
            terminal.expect(prompt_of(server))
            terminal.type(leave)
            assert terminal.exit_status() == 0
    with Terminal("--port", str(server.port), history=history) as terminal:
        terminal.expect(prompt_of(server))
        terminal.type(UP + UP)
        terminal.expect("INCR remembered")
        terminal.type(ENTER)
        assert terminal.expect(prompt_of(server)) == "\n3\n"
    assert "INCR remembered\n" in history.read_text()


def test_a_history_that_can_not_be_kept_does_not_keep_anybody_from_working(
    server: ServerProcess, tmp_path: Path
) -> None:
    with Terminal("--port", str(server.port), history=tmp_path / "no such folder" / "history") as terminal:
        terminal.expect(prompt_of(server))
        terminal.type("PING" + ENTER)
        assert terminal.expect(prompt_of(server)) == "PING\nPONG\n"
        terminal.type(CTRL_D)
        assert terminal.exit_status() == 0
        assert "Traceback" not in terminal.unexpected


def test_words_in_any_script_can_be_typed(server: ServerProcess, history: Path) -> None:
    with Terminal("--port", str(server.port), history=history) as terminal:
        terminal.expect(prompt_of(server))
        terminal.type("SET ключ значение" + ENTER)
        terminal.expect("\nOK\n")
    assert server.connect().ask("GET ключ".encode()) == "значение".encode()


def test_a_server_that_ends_is_told_at_the_next_command_with_exit_status_1(
    start_server: StartServer, history: Path
) -> None:
    server = start_server()
    with Terminal("--port", str(server.port), history=history) as terminal:
        terminal.expect(prompt_of(server))
        server.signal(signal.SIGTERM)
        assert server.exit_status() == 0
        terminal.type("PING" + ENTER)
        assert terminal.exit_status() == 1
        complaint = terminal.unexpected.removeprefix("PING\n")
    assert f"server at 127.0.0.1:{server.port}" in complaint
    assert complaint.count("\n") == 1
