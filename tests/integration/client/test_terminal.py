"""The interactive shell: prompt, completion, history, and its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.processes import ServerProcess
from tests.harness.terminal import CTRL_D, ENTER, TAB, UP, ClientTerminal

pytest.importorskip("readline", reason="this Python has no readline module")


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return tmp_path / "history"


def prompt_of(server: ServerProcess, mark: str = "") -> str:
    return f"127.0.0.1:{server.port}{mark}> "


def test_the_reply_is_printed_below_the_command(server: ServerProcess, history: Path) -> None:
    prompt = prompt_of(server)
    with ClientTerminal("--port", str(server.port), history=history) as terminal:
        terminal.expect(prompt)
        terminal.type("SET key 'two words'" + ENTER)
        assert terminal.expect(prompt) == "SET key 'two words'\nOK\n"
        terminal.type("get key" + ENTER)
        assert terminal.expect(prompt) == 'get key\n"two words"\n'
        terminal.type(ENTER)
        assert terminal.expect(prompt) == "\n"
        terminal.type("GET 'key" + ENTER)
        assert terminal.expect(prompt).endswith("\n(error) ERR Protocol error: unbalanced quotes in request\n")


def test_the_prompt_shows_an_open_transaction(server: ServerProcess, history: Path) -> None:
    plain, in_transaction = prompt_of(server), prompt_of(server, "(TX)")
    with ClientTerminal("--port", str(server.port), history=history) as terminal:
        terminal.expect(plain)
        for line, shown, prompt in [
            ("MULTI", "OK", in_transaction),
            ("INCR n", "QUEUED", in_transaction),
            ("MULTI", "(error) ERR MULTI calls can not be nested", in_transaction),
            ("EXEC", "1) 1", plain),
            ("EXEC", "(error) ERR EXEC without MULTI", plain),
            ("multi", "OK", in_transaction),
            ("NOPE", "(error) ERR unknown command 'NOPE', with args beginning with: ", in_transaction),
            ("exec", "(error) EXECABORT Transaction discarded because of previous errors.", plain),
            ("MULTI", "OK", in_transaction),
            ("DISCARD", "OK", plain),
        ]:
            terminal.type(line + ENTER)
            assert terminal.expect(prompt) == f"{line}\n{shown}\n"


def test_the_prompt_of_local_needs_no_server(history: Path) -> None:
    with ClientTerminal("--local", history=history) as terminal:
        terminal.expect("local> ")
        terminal.type("INCR n" + ENTER)
        assert terminal.expect("local> ") == "INCR n\n1\n"
        terminal.type("MULTI" + ENTER)
        assert terminal.expect("local(TX)> ") == "MULTI\nOK\n"


@pytest.mark.parametrize(("key", "shown"), [(CTRL_D, "\n"), ("DISCONNECT" + ENTER, "DISCONNECT\nOK\n")])
@pytest.mark.parametrize("connection", ["socket", "--local"])
def test_ctrl_d_and_disconnect_give_exit_status_0(
    server: ServerProcess, history: Path, connection: str, key: str, shown: str
) -> None:
    options = ["--local"] if connection == "--local" else ["--port", str(server.port)]
    with ClientTerminal(*options, history=history) as terminal:
        terminal.expect("> ")
        terminal.type(key)
        assert terminal.exit_status() == 0
        assert terminal.unexpected == shown


def test_ctrl_c_discards_the_line_and_not_the_session(server: ServerProcess, history: Path) -> None:
    with ClientTerminal("--port", str(server.port), history=history) as terminal:
        terminal.expect(prompt_of(server))
        terminal.type("SET unsent")
        terminal.expect("SET unsent")
        terminal.interrupt()
        terminal.expect(prompt_of(server))
        terminal.type("PING" + ENTER)
        assert terminal.expect(prompt_of(server)) == "PING\nPONG\n"


def test_tab_completes_the_names_of_commands(server: ServerProcess, history: Path) -> None:
    with ClientTerminal("--port", str(server.port), history=history) as terminal:
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


def test_the_history_is_loaded_by_the_next_run(server: ServerProcess, history: Path) -> None:
    for last_input in (CTRL_D, "QUIT" + ENTER):
        with ClientTerminal("--port", str(server.port), history=history) as terminal:
            terminal.expect(prompt_of(server))
            terminal.type("INCR remembered" + ENTER)
            terminal.expect(prompt_of(server))
            terminal.type(last_input)
            assert terminal.exit_status() == 0
    with ClientTerminal("--port", str(server.port), history=history) as terminal:
        terminal.expect(prompt_of(server))
        terminal.type(UP + UP)
        terminal.expect("INCR remembered")
        terminal.type(ENTER)
        assert terminal.expect(prompt_of(server)) == "\n3\n"
    assert "INCR remembered\n" in history.read_text()


def test_the_shell_works_without_a_writable_history_file(server: ServerProcess, tmp_path: Path) -> None:
    with ClientTerminal("--port", str(server.port), history=tmp_path / "no such folder" / "history") as terminal:
        terminal.expect(prompt_of(server))
        terminal.type("PING" + ENTER)
        assert terminal.expect(prompt_of(server)) == "PING\nPONG\n"
        terminal.type(CTRL_D)
        assert terminal.exit_status() == 0
        assert "Traceback" not in terminal.unexpected


def test_arguments_may_be_in_any_script(server: ServerProcess, history: Path) -> None:
    with ClientTerminal("--port", str(server.port), history=history) as terminal:
        terminal.expect(prompt_of(server))
        terminal.type("SET ключ значение" + ENTER)
        terminal.expect("\nOK\n")
    assert server.connect().ask("GET ключ".encode()) == "значение".encode()
