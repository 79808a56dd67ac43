"""The interface of line editors, and the choice of the one that this terminal supports."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Protocol

from client.editors.readline_editor import ReadlineEditor
from client.hints.completion import FindKeys
from client.history import History

DUMB_TERMINALS = {"", "dumb", "unknown"}
"""Values of ``$TERM`` without cursor addressing."""


class LineEditor(Protocol):
    """Reads lines from the terminal. A context manager: entering it loads the history, leaving it saves the history."""

    def read(self, prompt: str) -> str:
        """Read one line. The cursor is at the beginning of the next line afterwards, whatever the outcome.

        Raises `EOFError` after Ctrl-D and `KeyboardInterrupt` after Ctrl-C.
        """
        ...

    def ask(self, question: str) -> str:
        """Read the reply to a question, without hints and history. Raises as `read` does."""
        ...

    def discard_pasted_lines(self) -> None:
        """Forget the lines that were pasted together and have not been read yet."""
        ...

    def __enter__(self) -> LineEditor: ...

    def __exit__(self, *_: object) -> None: ...


def line_editor(
    usages: Mapping[str, str], history: History, find_keys: FindKeys | None = None, *, colours: bool = False
) -> LineEditor:
    """Return the editor with hints if the terminal supports it and prompt_toolkit is installed, else the plain one."""
    # stdin is a terminal, or there would be no shell. If stdout is a file, hints would be written into it.
    if os.environ.get("TERM", "") in DUMB_TERMINALS or not sys.stdout.isatty():
        return ReadlineEditor(usages, history, find_keys)
    try:
        from client.editors.prompt_toolkit_editor import PromptToolkitEditor  # noqa: PLC0415  # it is optional

        return PromptToolkitEditor(usages, history, find_keys, colours=colours)
    except ImportError:  # also of termios, which prompt_toolkit imports when a session is made
        return ReadlineEditor(usages, history, find_keys)
