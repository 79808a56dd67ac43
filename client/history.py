"""The history of typed lines: a text file that is shared by all editors and by clients that run at the same time."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

HISTORY_LENGTH = 1000
"""Lines that are loaded at the start, and that the file is cut to at the end."""


def history_file() -> Path:
    """Return the path of the history file: ``$KVLINE_HISTORY``, else ``~/.kvline_history``."""
    return Path(os.environ.get("KVLINE_HISTORY") or "~/.kvline_history").expanduser()


class History:
    """The history file. Each line is appended when it is typed, so that clients running side by side lose no lines.

    Lines for which ``is_secret`` returns true are not stored. Editors must not remember them either.
    """

    def __init__(self, path: Path, is_secret: Callable[[str], bool] = lambda _: False) -> None:
        self._path = path
        self.is_secret = is_secret
        self._problem: OSError | None = None  # the last failure; shown at the end, not between prompts
        self.lines = self._read()[-HISTORY_LENGTH:]
        """The latest lines, oldest first."""

    def add(self, line: str) -> None:
        """Append a line, unless it is empty, secret or equal to the previous one."""
        if not line or self.lines[-1:] == [line] or self.is_secret(line):
            return
        self.lines.append(line)
        # With O_APPEND the system moves to the end for each write, so lines of several clients do not overwrite.
        self._write([line], os.O_APPEND)

    def close(self) -> None:
        """Cut the file to the latest lines. Print a warning if anything could not be written."""
        # Read again, because other clients may have added lines since this one started.
        lines = self._read()
        if len(lines) > HISTORY_LENGTH:
            self._write(lines[-HISTORY_LENGTH:], os.O_TRUNC)
        if self._problem is not None:
            print(f"the history could not be saved to {self._path}: {self._problem.strerror}", file=sys.stderr)

    def _read(self) -> list[str]:
        try:
            # surrogateescape: a line may contain bytes that are not UTF-8, and must not make the history unreadable.
            with self._path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
                return [line.removesuffix("\n") for line in file if line != "\n"]
        except OSError:  # there is no file before the first run
            return []

    def _write(self, lines: list[str], mode: int) -> None:
        """Write lines to the file, which only its owner can read. A failure is stored for `close`."""
        try:
            # 0o600, because typed lines contain values.
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | mode, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
                file.writelines(f"{line}\n" for line in lines)
        except OSError as problem:
            self._problem = problem
