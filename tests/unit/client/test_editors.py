"""Both line editors at a pseudo-terminal: which one is chosen, and what both do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from client.editors.readline_editor import readline
from tests.harness.processes import ROOT
from tests.harness.waiting import TIMEOUT

pytestmark = pytest.mark.skipif(readline is None, reason="this Python has no readline module")

PROGRAM = ["-m", "tests.harness.fake_terminal"]
CTRL_C, CTRL_D, CTRL_R, TAB, UP, ENTER = "\x03", "\x04", "\x12", "\t", "\x1b[A", "\r"

PLAIN = "dumb"
HINTING = "xterm-256color"
both_editors = pytest.mark.parametrize("term", [PLAIN, HINTING])

Start = Callable[..., "pexpect.spawn[bytes]"]


def environment(term: str) -> dict[str, str]:
    return os.environ | {"TERM": term, "LC_ALL": "C.UTF-8"}


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return tmp_path / "history"


@pytest.fixture
def start(history: Path) -> Iterator[Start]:
    """Return a function that starts the program at a pseudo-terminal with this ``$TERM``."""
    children: list[pexpect.spawn[bytes]] = []

    def start_at(term: str, *hidden_modules: str) -> pexpect.spawn[bytes]:
        child = pexpect.spawn(
            sys.executable,
            [*PROGRAM, str(history), *hidden_modules],
            cwd=ROOT,
            env=environment(term),
            timeout=TIMEOUT,
            dimensions=(24, 80),
        )
        child.delaybeforesend = None
        children.append(child)
        child.expect(rb"at the (\w+)\r\n")
        return child

    yield start_at
    for each in children:
        each.close(force=True)


def class_name(child: pexpect.spawn[bytes]) -> bytes:
    """Return the name of the editor's class, which the program prints first."""
    match = child.match
    assert not isinstance(match, type)
    assert match is not None
    return bytes(match[1])


def send_eof(child: pexpect.spawn[bytes]) -> None:
    child.expect_exact("ask>")
    child.send(CTRL_D)
    child.expect_exact("at the end\r\n")
    child.expect(pexpect.EOF)


@pytest.mark.parametrize(
    ("term", "hidden_modules", "name"),
    [
        (HINTING, [], b"PromptToolkitEditor"),
        (HINTING, ["prompt_toolkit"], b"ReadlineEditor"),
        (HINTING, ["termios", "readline"], b"ReadlineEditor"),
        ("dumb", [], b"ReadlineEditor"),
        ("unknown", [], b"ReadlineEditor"),
        ("", [], b"ReadlineEditor"),
    ],
)
def test_the_editor_with_hints_is_chosen_if_terminal_and_package_allow(
    start: Start, term: str, hidden_modules: list[str], name: bytes
) -> None:
    child = start(term, *hidden_modules)
    assert class_name(child) == name
    send_eof(child)


def test_ctrl_r_finds_a_line_of_the_history_with_readline_too(start: Start, history: Path) -> None:
    history.write_text("SET name Ada\nGET other\nPING\n")
    child = start(PLAIN)
    child.expect_exact("ask>")
    child.send(f"{CTRL_R}nam{ENTER}")
    child.expect_exact("got 'SET name Ada'.")
    send_eof(child)


def test_output_to_a_pipe_has_no_hints(history: Path) -> None:
    done = subprocess.run(
        [sys.executable, *PROGRAM, history],
        input=b"PING\n",
        capture_output=True,
        cwd=ROOT,
        env=environment(HINTING),
        timeout=TIMEOUT,
        check=True,
    )
    assert done.stdout == b"at the ReadlineEditor\nask>got 'PING'.\nask>\nat the end\n"
    assert done.stderr == b""


def test_a_dumb_terminal_gets_no_escape_sequences(start: Start) -> None:
    child = start(PLAIN)
    child.expect_exact("ask>")
    child.send("SET k ")
    child.expect_exact("SET k ")
    assert child.before == b""
    child.send(ENTER)
    child.expect_exact("ask>")
    assert child.before == b"\r\ngot 'SET k '.\r\n"
    child.send(CTRL_D)
    child.expect(pexpect.EOF)
    assert child.before == b"\r\nat the end\r\n"


def test_the_hint_is_dimmed_and_shown_after_the_command_name(start: Start) -> None:
    child = start(HINTING)
    child.expect_exact("ask>")
    child.send("SET")
    child.expect_exact(" key value [NX | XX] [GET]")
    assert b"\x1b[0;90;3m" in bytes(child.before or b"")
    child.send(" k v" + ENTER)
    child.expect_exact("got 'SET k v'.\r\n")


@both_editors
def test_tab_completes_names_keywords_and_subcommands(start: Start, term: str) -> None:
    child = start(term)
    for typed, got in [
        ("SE" + TAB + "k", "SET k"),
        ("getd" + TAB + "k", "getdel k"),
        ("HELP de" + TAB, "HELP del "),
        ("CLIENT L" + TAB, "CLIENT LIST "),
        ("SET k v G" + TAB, "SET k v GET "),
        ("GET SE" + TAB + "x", "GET SEx"),
        ("NOPE" + TAB + "x", "NOPEx"),
        ("Se" + TAB + "k", "SET k"),
    ]:
        child.expect_exact("ask>")
        child.send(typed + ENTER)
        child.expect_exact(f"got {got!a}.\r\n")


@both_editors
def test_tab_lists_the_completions_if_there_are_several(start: Start, term: str) -> None:
    child = start(term)
    child.expect_exact("ask>")
    child.send("GET" + TAB + TAB)
    child.expect(rb"GET +GETDEL")
    child.send(" k" + ENTER)
    child.expect_exact("got 'GET k'.\r\n")


@both_editors
def test_ctrl_c_discards_the_line(start: Start, term: str) -> None:
    child = start(term)
    child.expect_exact("ask>")
    child.send("NO")
    child.expect_exact("NO")
    child.send(CTRL_C)
    child.expect_exact("interrupted\r\n")
    child.expect_exact("ask>")
    child.send("YES" + ENTER)
    child.expect_exact("got 'YES'.\r\n")


@both_editors
def test_a_line_may_contain_any_script_and_any_byte(start: Start, term: str) -> None:
    child = start(term)
    child.expect_exact("ask>")
    child.send("SET ключ 'два слова' 漢字 👩‍💻" + ENTER)
    child.expect_exact(f"got {'SET ключ ' + chr(39) + 'два слова' + chr(39) + ' 漢字 👩‍💻'!a}.\r\n")
    child.expect_exact("ask>")
    child.send(b"SET \xff" + ENTER.encode())
    child.expect_exact(f"got {'SET ' + chr(0xDCFF)!a}.\r\n")


@pytest.mark.parametrize(("first", "second"), [(PLAIN, HINTING), (HINTING, PLAIN), (HINTING, HINTING), (PLAIN, PLAIN)])
def test_both_editors_share_the_history_file(start: Start, history: Path, first: str, second: str) -> None:
    child = start(first)
    for line in ["SET ключ 1", "GET k", "GET k", "", "DEL k"]:
        child.expect_exact("ask>")
        child.send(line + ENTER)
        child.expect_exact(f"got {line!a}.\r\n")
    send_eof(child)
    child = start(second)
    for ups, line in [(3, "SET ключ 1"), (1, "SET ключ 1"), (2, "DEL k")]:
        child.expect_exact("ask>")
        child.send(UP * ups + ENTER)
        child.expect_exact(f"got {line!a}.\r\n")
    send_eof(child)
    assert history.read_text() == "SET ключ 1\nGET k\nDEL k\nSET ключ 1\nDEL k\n"
