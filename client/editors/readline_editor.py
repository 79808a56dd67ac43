"""The plain line editor: completion and history with Python's `readline`, no hints. It needs no package."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType

from client.hints.completion import BLANKS, FindKeys, completions
from client.history import HISTORY_LENGTH, History

termios: ModuleType | None
try:
    import termios
except ImportError:  # on Windows
    termios = None

readline: ModuleType | None
try:
    import readline
except ImportError:  # on Windows, and in some builds of Python
    readline = None


class ReadlineEditor:
    """A `client.editors.line_editor.LineEditor`. Without `readline`, lines are read without editing."""

    def __init__(self, usages: Mapping[str, str], history: History, find_keys: FindKeys | None = None) -> None:
        self._usages = usages
        self._find_keys = find_keys
        self._matches: list[str] = []  # of the completion that readline asks for one by one
        self._history = history

    def read(self, prompt: str) -> str:
        """Read one line. See `LineEditor`."""
        line = self._read(prompt)
        # CPython's `input` has added it to readline's own history.
        if self._history.is_secret(line):
            _forget_last(line)
        self._history.add(line)
        return line

    def ask(self, question: str) -> str:
        """See `LineEditor`."""
        line = self._read(question)
        _forget_last(line)
        return line

    def discard_pasted_lines(self) -> None:
        """Discard what the terminal has received. See `LineEditor`."""
        if termios is not None and sys.stdin.isatty():
            termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)

    def _read(self, prompt: str) -> str:
        try:
            return input(prompt)
        except (EOFError, KeyboardInterrupt):
            print(flush=True)  # the cursor is still in the row of the prompt: see `LineEditor.read`
            raise

    def __enter__(self) -> ReadlineEditor:
        if readline is not None:
            readline.clear_history()
            readline.set_history_length(HISTORY_LENGTH)
            for line in self._history.lines:
                readline.add_history(line)
            readline.set_completer(self._complete)
            # By default "-" and "|" delimit as well, which cuts arguments such as LIB-NAME.
            readline.set_completer_delims(BLANKS)
            # libedit (macOS) has a syntax of its own. Before Python 3.13 only the docstring distinguishes it.
            uses_libedit = "libedit" in (readline.__doc__ or "")
            readline.parse_and_bind("bind ^I rl_complete" if uses_libedit else "tab: complete")
        return self

    def __exit__(self, *_: object) -> None:
        self._history.close()

    def _complete(self, _: str, state: int) -> str | None:
        """Return the completion with index ``state``, or None after the last one. `readline` calls it."""
        assert readline is not None
        if state == 0:
            # readline passes only the argument before the cursor. Completions depend on those before it, too.
            before = readline.get_line_buffer()[: readline.get_endidx()]
            self._matches = completions(self._usages, before, self._find_keys)
        return f"{self._matches[state]} " if state < len(self._matches) else None


def _forget_last(line: str) -> None:
    """Remove the last line from readline's history, if that is this line."""
    if readline is None:
        return
    length = readline.get_current_history_length()
    if line and readline.get_history_item(length) == line:
        readline.remove_history_item(length - 1)
