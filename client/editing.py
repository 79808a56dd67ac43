"""Line editing at the terminal: history kept between runs, and completion of command names.

It stands on Python's `readline`, where that is there; without it a line is simply read.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

HISTORY_LENGTH = 1000

readline: ModuleType | None
try:
    import readline
except ImportError:  # some builds of Python come without it
    readline = None


def history_file() -> Path:
    """Return where the history is kept: ``$KVLINE_HISTORY``, else ``~/.kvline_history``."""
    return Path(os.environ.get("KVLINE_HISTORY") or "~/.kvline_history").expanduser()


class LineEditor:
    """Read lines from the terminal. As a context manager it loads the history and, at the end, keeps it."""

    def __init__(self, names: Iterable[str], history: Path) -> None:
        self._names = sorted(names)
        self._history = history

    def read(self, prompt: str) -> str:
        """Read one line. Raises `EOFError` at Ctrl-D and `KeyboardInterrupt` at Ctrl-C."""
        return input(prompt)

    def __enter__(self) -> LineEditor:
        if readline is not None:
            with contextlib.suppress(OSError):  # the first run has no history yet
                readline.read_history_file(self._history)
            readline.set_history_length(HISTORY_LENGTH)
            readline.set_completer(self._complete)
            readline.set_completer_delims(" \t")
            uses_libedit = "libedit" in (readline.__doc__ or "")
            readline.parse_and_bind("bind ^I rl_complete" if uses_libedit else "tab: complete")
        return self

    def __exit__(self, *_: object) -> None:
        if readline is not None:
            try:
                readline.write_history_file(self._history)
            except OSError as problem:
                print(f"the history could not be kept in {self._history}: {problem.strerror}", file=sys.stderr)

    def _complete(self, text: str, state: int) -> str | None:
        """Return the ``state``-th completion of what is typed, for `readline`: names where a name can stand."""
        assert readline is not None
        before = readline.get_line_buffer()[: readline.get_begidx()].split()
        if before and [word.upper() for word in before] != ["HELP"]:
            return None
        matches = [name for name in self._names if name.startswith(text.upper())]
        if text.islower():
            matches = [name.lower() for name in matches]
        return f"{matches[state]} " if state < len(matches) else None
