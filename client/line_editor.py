"""Line editing at the terminal: what every editor does, the choice between them, and the one that needs nothing.

The other is `client.prompt_toolkit_editor`, which stands on prompt_toolkit.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Protocol

from client.hints import BLANKS, completions
from client.history import HISTORY_LENGTH, History

DUMB_TERMINALS = {"", "dumb", "unknown"}
"""The values of ``$TERM`` that promise no cursor to be moved."""

readline: ModuleType | None
try:
    import readline
except ImportError:  # some builds of Python come without it
    readline = None


class LineEditor(Protocol):
    """Reads lines from the terminal. As a context manager it loads the history and, at the end, closes it."""

    def read(self, prompt: str) -> str:
        """Read one line; leave the cursor at the beginning of the next one, however it ends.

        Raises `EOFError` at Ctrl-D and `KeyboardInterrupt` at Ctrl-C.
        """
        ...

    def __enter__(self) -> LineEditor: ...

    def __exit__(self, *_: object) -> None: ...


def line_editor(usages: Mapping[str, str], history: History) -> LineEditor:
    """Return the best editor that this terminal and what is installed allow."""
    if os.environ.get("TERM", "") in DUMB_TERMINALS or not sys.stdout.isatty():
        return ReadlineEditor(usages, history)
    try:
        from client.prompt_toolkit_editor import PromptToolkitEditor  # noqa: PLC0415  # prompt_toolkit is optional
    except ImportError:
        return ReadlineEditor(usages, history)
    return PromptToolkitEditor(usages, history)


class ReadlineEditor:
    """An editor without hints. It stands on Python's `readline`, where that is there; else a line is simply read."""

    def __init__(self, usages: Mapping[str, str], history: History) -> None:
        self._usages = usages
        self._history = history

    def read(self, prompt: str) -> str:
        """Read one line; see `LineEditor`."""
        try:
            line = input(prompt)
        except (EOFError, KeyboardInterrupt):
            print(flush=True)
            raise
        self._history.add(line)
        return line

    def __enter__(self) -> ReadlineEditor:
        if readline is not None:
            readline.clear_history()
            readline.set_history_length(HISTORY_LENGTH)
            for line in self._history.lines:
                readline.add_history(line)
            readline.set_completer(self._complete)
            readline.set_completer_delims(BLANKS)
            uses_libedit = "libedit" in (readline.__doc__ or "")
            readline.parse_and_bind("bind ^I rl_complete" if uses_libedit else "tab: complete")
        return self

    def __exit__(self, *_: object) -> None:
        self._history.close()

    def _complete(self, _: str, state: int) -> str | None:
        """Return the ``state``-th completion of what stands before the cursor, for `readline`."""
        assert readline is not None
        matches = completions(self._usages, readline.get_line_buffer()[: readline.get_endidx()])
        return f"{matches[state]} " if state < len(matches) else None
