"""The lines that were typed, kept between runs in a file of plain lines, whichever editor they were typed in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HISTORY_LENGTH = 1000


def history_file() -> Path:
    """Return where the history is kept: ``$KVLINE_HISTORY``, else ``~/.kvline_history``."""
    return Path(os.environ.get("KVLINE_HISTORY") or "~/.kvline_history").expanduser()


class History:
    """The history's file. A line is kept as it comes, so that clients that run side by side do not undo each other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._problem: OSError | None = None
        self.lines = self._read()[-HISTORY_LENGTH:]
        """The latest lines, oldest first."""

    def add(self, line: str) -> None:
        """Keep a line that was typed, unless it is empty or the same as the one before it."""
        if not line or self.lines[-1:] == [line]:
            return
        self.lines.append(line)
        self._write([line], os.O_APPEND)

    def close(self) -> None:
        """Forget all but the latest lines; tell the user if the history could not be kept."""
        lines = self._read()
        if len(lines) > HISTORY_LENGTH:
            self._write(lines[-HISTORY_LENGTH:], os.O_TRUNC)
        if self._problem is not None:
            print(f"the history could not be kept in {self._path}: {self._problem.strerror}", file=sys.stderr)

    def _read(self) -> list[str]:
        try:
            with self._path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
                return [line.removesuffix("\n") for line in file if line != "\n"]
        except OSError:  # the first run has no history yet
            return []

    def _write(self, lines: list[str], how: int) -> None:
        """Write to the file, which is for its owner's eyes alone; remember it when that fails."""
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | how, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
                file.writelines(f"{line}\n" for line in lines)
        except OSError as problem:
            self._problem = problem
