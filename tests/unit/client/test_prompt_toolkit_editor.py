"""`PromptToolkitEditor` with keys from a pipe and a screen that the tests read."""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

pytest.importorskip("prompt_toolkit", reason="prompt_toolkit is optional")

from prompt_toolkit.application.current import get_app
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from client.editors.prompt_toolkit_editor import PromptToolkitEditor
from client.history import History
from tests.harness.fake_terminal import USAGES

ENTER, LEFT, TAB, CTRL_R = "\r", "\x1b[D", "\t", "\x12"
ROWS = 10


class Screen(DummyOutput):
    """A screen that calls ``on_draw`` with its content after each drawing."""

    def __init__(self, columns: int, on_draw: Callable[[str], None]) -> None:
        self._columns = columns
        self._on_draw = on_draw

    def get_size(self) -> Size:
        return Size(rows=ROWS, columns=self._columns)

    def flush(self) -> None:
        screen = get_app().renderer.last_rendered_screen
        if screen is not None:
            cells = screen.data_buffer
            rows = ["".join(cells[y][x].char for x in range(self._columns)).rstrip() for y in range(ROWS)]
            self._on_draw("\n".join(rows).rstrip("\n"))


def type_keys(history: Path, keys: Sequence[str], columns: int = 200, prompt: str = "> ") -> tuple[str, list[str]]:
    """Type the keys, each after the previous one was drawn. Return the line, and the screen after each key."""
    shown: list[str] = []
    remaining = list(keys)

    def on_draw(screen: str) -> None:
        shown.append(screen)
        # Something may be drawn twice, and the second time before the key that was sent has been read.
        is_read = not select.select([pipe.fileno()], [], [], 0)[0]
        if remaining and is_read:
            pipe.send_text(remaining.pop(0))

    with (
        create_pipe_input() as pipe,
        PromptToolkitEditor(
            USAGES, History(history), terminal_input=pipe, terminal_output=Screen(columns, on_draw)
        ) as editor,
    ):
        return editor.read(prompt), shown


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return tmp_path / "history"


def test_the_hint_follows_the_cursor_and_is_removed_after_enter(history: Path) -> None:
    line, shown = type_keys(history, ["SET", " ", "k", " v", " ", "NX", ENTER])
    assert line == "SET k v NX"
    # Without repetitions: it is drawn again when the history has been searched for a suggestion.
    assert list(dict.fromkeys(shown)) == [
        ">",
        "> SET key value [NX | XX] [GET]",
        "> SET k value [NX | XX] [GET]",
        "> SET k v [NX | XX] [GET]",
        "> SET k v NX [GET]",
        "> SET k v NX",
    ]


def test_there_is_no_hint_if_the_cursor_is_not_at_the_end(history: Path) -> None:
    line, shown = type_keys(history, ["SET k", LEFT, "e", ENTER])
    assert line == "SET ek"
    assert list(dict.fromkeys(shown[1:])) == ["> SET k value [NX | XX] [GET]", "> SET k", "> SET ek"]


def test_there_is_no_hint_while_the_history_is_searched(history: Path) -> None:
    history.write_text("SET\n")
    line, shown = type_keys(history, [CTRL_R, "S", "E", ENTER, ENTER])
    assert line == "SET"
    assert "(reverse-i-search)`SE': SET" in shown
    assert not any("key" in screen for screen in shown)


def test_a_hint_cannot_be_accepted_as_input(history: Path) -> None:
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
def test_the_hint_is_cut_at_the_end_of_the_row(history: Path, columns: int, typed: str, shown: str) -> None:
    _, screens = type_keys(history, [typed, ENTER], columns)
    assert screens[1] == shown


def test_each_pasted_line_is_read_separately(history: Path) -> None:
    pasted = "\x1b[200~GET a\r\nGET b\n\nGET\x1b[201~"
    with (
        create_pipe_input() as pipe,
        PromptToolkitEditor(USAGES, History(history), terminal_input=pipe, terminal_output=DummyOutput()) as editor,
    ):
        pipe.send_text(f"{pasted} c{ENTER}")
        assert [editor.read("> ") for _ in range(4)] == ["GET a", "GET b", "", "GET c"]
    assert history.read_text() == "GET a\nGET b\nGET c\n"


def test_a_pasted_tab_does_not_complete(history: Path) -> None:
    line, _ = type_keys(history, ["\x1b[200~SE\tk\x1b[201~", ENTER])
    assert line == "SE\tk"


def test_tab_completes_the_common_prefix(history: Path) -> None:
    line, _ = type_keys(history, ["g", TAB, "d", TAB, "k", ENTER])
    assert line == "getdel k"


def test_pasted_lines_are_read_without_drawing_each_and_can_be_discarded(history: Path) -> None:
    lines = [f"SET key:{number} value" for number in range(1000)]
    drawn: list[int] = []

    class Drawn(DummyOutput):
        def get_size(self) -> Size:
            drawn.append(1)
            return super().get_size()

    with (
        create_pipe_input() as pipe,
        PromptToolkitEditor(USAGES, History(history), terminal_input=pipe, terminal_output=Drawn()) as editor,
    ):
        pipe.send_text("\x1b[200~" + "\r".join(lines) + "\r\x1b[201~")
        assert [editor.read("> ") for _ in range(900)] == lines[:900]
        assert len(drawn) < 100
        editor.discard_pasted_lines()
        pipe.send_text(f"PING{ENTER}")
        assert editor.read("> ") == "PING"


def test_secret_lines_are_not_remembered(history: Path) -> None:
    up = "\x1b[A"
    with (
        create_pipe_input() as pipe,
        PromptToolkitEditor(
            USAGES,
            History(history, lambda line: line.startswith("AUTH")),
            terminal_input=pipe,
            terminal_output=DummyOutput(),
        ) as editor,
    ):
        pipe.send_text(f"PING{ENTER}")
        assert editor.read("> ") == "PING"
        pipe.send_text(f"AUTH secret{ENTER}")
        assert editor.read("> ") == "AUTH secret"
    line, _ = type_keys(history, [up, ENTER])
    assert line == "PING"
    assert history.read_text() == "PING\n"


def test_a_line_of_the_history_is_suggested_instead_of_the_hint(history: Path) -> None:
    history.write_text("SET name Ada\n")
    end = "\x05"
    _, shown = type_keys(history, ["SET n", "a", end, ENTER])
    assert any(screen == "> SET name Ada" for screen in shown)
