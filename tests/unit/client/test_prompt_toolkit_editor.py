"""The editor that hints, with keys from a pipe and a screen that can be looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

pytest.importorskip("prompt_toolkit", reason="the editor that hints is optional")

from prompt_toolkit.application.current import get_app
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from client.history import History
from client.editors.prompt_toolkit_editor import PromptToolkitEditor
from tests.harness.fake_terminal import USAGES

ENTER, LEFT, TAB, CTRL_R = "\r", "\x1b[D", "\t", "\x12"
ROWS = 10


class Screen(DummyOutput):
    """A screen that gives what stands on it to ``watch`` whenever it has been drawn."""

    def __init__(self, columns: int, watch: Callable[[str], None]) -> None:
        self._columns = columns
        self._watch = watch

    def get_size(self) -> Size:
        return Size(rows=ROWS, columns=self._columns)

    def flush(self) -> None:
        screen = get_app().renderer.last_rendered_screen
        if screen is not None:
            cells = screen.data_buffer
            rows = ["".join(cells[y][x].char for x in range(self._columns)).rstrip() for y in range(ROWS)]
            self._watch("\n".join(rows).rstrip("\n"))


def type_keys(history: Path, keys: Sequence[str], columns: int = 200, prompt: str = "> ") -> tuple[str, list[str]]:
    """Type each of these once the screen shows what the one before it did; return the line, and what was shown."""
    shown: list[str] = []
    left = list(keys)

    def watch(screen: str) -> None:
        shown.append(screen)
        if left:
            pipe.send_text(left.pop(0))

    with (
        create_pipe_input() as pipe,
        PromptToolkitEditor(USAGES, History(history), terminal_input=pipe, terminal_output=Screen(columns, watch)) as editor,
    ):
        return editor.read(prompt), shown


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return tmp_path / "history"


def test_the_hint_stands_behind_the_cursor_and_goes_when_the_line_is_sent(history: Path) -> None:
    line, shown = type_keys(history, ["SET", " ", "k", " v", " ", "NX", ENTER])
    assert line == "SET k v NX"
    assert shown == [
        ">",
        "> SET key value [NX | XX] [GET]",
        "> SET key value [NX | XX] [GET]",
        "> SET k value [NX | XX] [GET]",
        "> SET k v [NX | XX] [GET]",
        "> SET k v [NX | XX] [GET]",
        "> SET k v NX [GET]",
        "> SET k v NX",
    ]


def test_there_is_no_hint_while_the_cursor_stands_within_the_line(history: Path) -> None:
    line, shown = type_keys(history, ["SET k", LEFT, "e", ENTER])
    assert line == "SET ek"
    assert shown[1:] == ["> SET k value [NX | XX] [GET]", "> SET k", "> SET ek", "> SET ek"]


def test_there_is_no_hint_while_the_history_is_searched(history: Path) -> None:
    history.write_text("SET\n")
    line, shown = type_keys(history, [CTRL_R, "S", "E", ENTER, ENTER])
    assert line == "SET"
    assert "(reverse-i-search)`SE': SET" in shown
    assert not any("key" in screen for screen in shown)


def test_a_hint_is_never_accepted_as_typed(history: Path) -> None:
    right, end = "\x1b[C", "\x05"
    line, _ = type_keys(history, ["SET", right, end, TAB, ENTER])
    assert line == "SET "


@pytest.mark.parametrize(
    ("columns", "typed", "shown"),
    [
        (200, "SET", "> SET key value [NX | XX] [GET]"),
        (32, "SET", "> SET key value [NX | XX] [GET]"),
        (31, "SET", "> SET key value [NX | XX] [GET"),
        (12, "SET", "> SET key v"),
        (6, "SET", "> SET"),
        (5, "SET", "> SET\n key"),
        (5, "SET k", "> SET\n k v"),
        (14, "SET 漢 ", "> SET 漢 valu"),
    ],
)
def test_the_hint_is_cut_where_the_row_ends(history: Path, columns: int, typed: str, shown: str) -> None:
    _, screens = type_keys(history, [typed, ENTER], columns)
    assert screens[1] == shown


def test_pasted_lines_are_lines_of_their_own(history: Path) -> None:
    pasted = "\x1b[200~GET a\r\nGET b\n\nGET\x1b[201~"
    with (
        create_pipe_input() as pipe,
        PromptToolkitEditor(USAGES, History(history), terminal_input=pipe, terminal_output=DummyOutput()) as editor,
    ):
        pipe.send_text(f"{pasted} c{ENTER}")
        assert [editor.read("> ") for _ in range(4)] == ["GET a", "GET b", "", "GET c"]
    assert history.read_text() == "GET a\nGET b\nGET c\n"


def test_a_pasted_tab_is_a_blank_and_no_wish_for_completion(history: Path) -> None:
    line, _ = type_keys(history, ["\x1b[200~SE\tk\x1b[201~", ENTER])
    assert line == "SE\tk"


def test_tab_completes_as_far_as_it_is_certain(history: Path) -> None:
    line, _ = type_keys(history, ["g", TAB, "d", TAB, "k", ENTER])
    assert line == "getdel k"
