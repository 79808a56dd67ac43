"""The telnet of inetutils, as Debian installs it, at a pseudo-terminal."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.harness.processes import ServerProcess
from tests.harness.terminal import CTRL_D, ENTER, Terminal
from tests.harness.waiting import wait_until

CTRL_C, CTRL_O, CTRL_BACKSLASH, CTRL_Z, ESCAPE, DELETE = "\x03", "\x0f", "\x1c", "\x1a", "\x1d", "\x7f"


@pytest.fixture(scope="module")
def program() -> str:
    """The path of telnet."""
    found = shutil.which("telnet")
    if found is None:
        pytest.skip("telnet is not installed")
    version = subprocess.run([found, "--version"], capture_output=True, check=False).stdout
    if b"GNU inetutils" not in version:
        pytest.skip("the telnet that is installed is not that of inetutils")
    return found


@pytest.fixture
def telnet(server: ServerProcess, program: str) -> Iterator[Terminal]:
    """telnet, connected to the server."""
    with Terminal(program, "127.0.0.1", str(server.port)) as terminal:
        terminal.expect("Escape character is '^]'.\n")
        wait_for_mode(terminal, echo=True)
        yield terminal


def wait_for_mode(telnet: Terminal, *, echo: bool) -> None:
    """Wait until telnet sends what is typed to the server: then its escape key is a key of the terminal too."""
    wait_until(lambda: telnet.mode == (echo, ESCAPE), "telnet has set the mode of the terminal")


def type_line(telnet: Terminal, line: str) -> None:
    """Type a line and press Enter. Its echo is expected, if the terminal shows one."""
    telnet.type(line + ENTER)
    telnet.expect(f"{line}\n")


def run(telnet: Terminal, line: str) -> str:
    """Type a line, and return the line that is shown after it."""
    type_line(telnet, line)
    return telnet.expect("\n")


def type_and_interrupt(telnet: Terminal, text: str, key: str, shown: str) -> None:
    """Type an unfinished line, and a key that interrupts, which is echoed as ``shown``."""
    telnet.type(text)
    telnet.expect(text)  # the key would discard the echo
    telnet.type(key)
    telnet.expect(shown)


def at_prompt(telnet: Terminal, command: str, *, echo: bool = True) -> None:
    """Run one of telnet's own commands at its prompt, and wait until it has left the prompt."""
    telnet.type(ESCAPE)
    telnet.expect("telnet> ")
    telnet.type(command + ENTER)
    telnet.expect(f"{command}\n")
    wait_for_mode(telnet, echo=echo)


@pytest.mark.parametrize("letters", ["Ü Ú 本 М", "Ã Џ Ï 中文 Ж", "日本語のキー", "\U0001f511"])
def test_letters_arrive_whole(server: ServerProcess, telnet: Terminal, letters: str) -> None:
    """telnet replaces some bytes of these letters by the commands BRK, SUSP, IP and AO."""
    assert run(telnet, f'SET k "{letters}"') == "OK"
    assert run(telnet, "STRLEN k") == str(len(letters.encode()))
    peer = server.connect()
    assert peer.ask(b"GET k").decode().strip('"') == letters
    assert run(telnet, "GET k").strip('"') == letters


@pytest.mark.parametrize(
    ("key", "shown"),
    [(CTRL_C, "^C"), (CTRL_BACKSLASH, "^\\"), (CTRL_Z, "^Z")],
    ids=["Ctrl-C", "Ctrl-backslash", "Ctrl-Z"],
)
def test_a_key_that_interrupts_gives_up_the_line_and_keeps_the_connection(
    server: ServerProcess, telnet: Terminal, key: str, shown: str
) -> None:
    assert run(telnet, "SET k 1") == "OK"
    type_and_interrupt(telnet, "SET k evil", key, shown)
    # telnet shows no output after the key until the server has replied to its DO TIMING-MARK.
    assert run(telnet, "INCR k") == "2"
    telnet.type(key)
    telnet.expect(shown)
    assert run(telnet, "INCR k") == "3"
    assert server.connect().ask(b"GET k") == b"3"


def test_an_interrupt_gives_up_a_part_of_a_line_that_was_sent_already(server: ServerProcess, telnet: Terminal) -> None:
    telnet.type("SET k evil" + CTRL_D)  # in line mode Ctrl-D sends what was typed without a line end
    telnet.expect("SET k evil")
    telnet.type(CTRL_C)
    telnet.expect("^C")
    assert run(telnet, "EXISTS k") == "0"
    telnet.type("EXISTS " + CTRL_D)
    telnet.expect("EXISTS ")
    assert run(telnet, "k") == "0"


def test_an_interrupt_leaves_a_transaction_open(telnet: Terminal) -> None:
    assert run(telnet, "MULTI") == "OK"
    assert run(telnet, "INCR n") == "QUEUED"
    type_and_interrupt(telnet, "FLUSHALL", CTRL_C, "^C")
    assert run(telnet, "EXEC") == "1) 1"


def test_abort_output_adds_nothing_to_a_line(telnet: Terminal) -> None:
    telnet.type("PI" + CTRL_O)
    telnet.expect("PI^O")
    assert run(telnet, "NG") == "PONG"


def test_are_you_there_is_replied_to(telnet: Terminal) -> None:
    at_prompt(telnet, "send ayt")
    telnet.expect("[Yes]\n")
    assert run(telnet, "PING") == "PONG"


@pytest.mark.parametrize("command", ["synch", "nop", "ao", "ga", "eof", "eor"])
def test_a_command_without_an_effect_is_skipped(telnet: Terminal, command: str) -> None:
    """Synch is IAC and the urgent byte DATA MARK."""
    telnet.type("PI" + CTRL_D)
    telnet.expect("PI")
    at_prompt(telnet, f"send {command}")
    assert run(telnet, "NG") == "PONG"


@pytest.mark.parametrize("command", ["ip", "brk", "susp", "abort", "el"])
def test_a_command_that_interrupts_gives_up_the_line(telnet: Terminal, command: str) -> None:
    telnet.type("SET k evil" + CTRL_D)
    telnet.expect("SET k evil")
    at_prompt(telnet, f"send {command}")
    assert run(telnet, "PING") == "PONG"


def test_erase_character_deletes_a_letter(telnet: Terminal) -> None:
    telnet.type("PIü" + CTRL_D)
    telnet.expect("PIü")
    at_prompt(telnet, "send ec")
    assert run(telnet, "NG") == "PONG"


@pytest.mark.parametrize("command", ["send do echo", "send will status", "mode line", "mode character"])
def test_an_option_that_is_refused_changes_no_line(telnet: Terminal, command: str) -> None:
    at_prompt(telnet, command)
    assert run(telnet, "PING") == "PONG"


@pytest.fixture
def character_mode(telnet: Terminal) -> Terminal:
    """telnet in character mode, in which it sends every key at once, and Enter as CR NUL. Nothing is echoed."""
    # The first request of its options is refused. To the second one there is no reply, so that telnet keeps the mode.
    at_prompt(telnet, "mode character")
    assert run(telnet, "PING") == "PONG"
    at_prompt(telnet, "mode character", echo=False)
    return telnet


def test_in_character_mode_the_keys_edit_the_line(server: ServerProcess, character_mode: Terminal) -> None:
    character_mode.type("ECHO abX" + DELETE + "üY" + DELETE + DELETE + "\bBc" + ENTER)
    assert character_mode.expect("\n") == "aBc"
    character_mode.type("SET k Ü" + ENTER)
    assert character_mode.expect("\n") == "OK"
    assert server.connect().ask(b"GET k") == "Ü".encode()


@pytest.mark.parametrize("key", [CTRL_C, CTRL_BACKSLASH, CTRL_Z], ids=["Ctrl-C", "Ctrl-backslash", "Ctrl-Z"])
def test_in_character_mode_a_key_that_interrupts_gives_up_the_line(character_mode: Terminal, key: str) -> None:
    character_mode.type(f"SET k evil{key}PING{ENTER}")
    assert character_mode.expect("\n") == "PONG"
    character_mode.type(f"{key}EXISTS k{ENTER}")
    assert character_mode.expect("\n") == "0"


def test_urgent_data_is_received_in_the_stream(server: ServerProcess) -> None:
    peer = server.connect()
    peer.send(b"PI\xff")
    peer.socket.send(b"\xf2", socket.MSG_OOB)
    peer.send(b"NG\n")
    assert peer.line() == b"PONG\n"
