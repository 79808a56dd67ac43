"""What the prompt shows: replies, a page at a time if they are long, and remarks of the client."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from typing import BinaryIO

from client.render.pretty import Pretty
from common.replies import Lines, Reply

DUMB_TERMINALS = {"", "dumb", "unknown"}
"""Values of ``$TERM`` without cursor addressing."""


def find_pager() -> list[str] | None:
    """Return the command of the pager for this terminal: ``$PAGER``, else less. None if there is none."""
    if os.environ.get("TERM", "") in DUMB_TERMINALS:
        return None
    if pager := os.environ.get("PAGER"):
        return ["sh", "-c", pager] if os.name == "posix" else [pager]
    # F: ends at once if everything fits. R: passes colours on. X: leaves what was read on the screen.
    return ["less", "-FRX"] if shutil.which("less") else None


class Screen:
    """Writes to a terminal. ``pager`` is the command for replies that are longer than it, or None."""

    def __init__(self, output: BinaryIO, pretty: Pretty, pager: list[str] | None = None) -> None:
        self._output = output
        self._pretty = pretty
        self._pager = pager

    def show(self, reply: Reply, *, streaming: bool = False) -> None:
        """Print a reply. What arrives without a request (``streaming``) is never paged."""
        pieces = self._pretty(reply)
        if self._pager is None or streaming:
            self._write(pieces)
            return
        page: list[bytes] = []
        rows = 0
        columns, height = shutil.get_terminal_size()
        for piece in pieces:
            page.append(piece)
            rows += piece.count(b"\n") + len(piece) // columns
            if rows >= height:
                self._show_in_pager(page, pieces)
                return
        self._write(iter(page))

    def remark(self, text: str) -> None:
        """Print a line of the client itself."""
        self._write(iter([self._pretty.dim(text.encode("utf-8", "surrogateescape")), b"\n"]))

    def error(self, text: str) -> None:
        """Print an error of the client itself."""
        self._write(iter([self._pretty.error(text.encode("utf-8", "surrogateescape")), b"\n"]))

    def lines(self, text: str) -> None:
        """Print text of the client itself, paged as a reply is."""
        self.show(Lines(text.encode().split(b"\n")))

    def _write(self, pieces: Iterator[bytes]) -> None:
        self._output.writelines(pieces)
        self._output.flush()

    def _show_in_pager(self, page: list[bytes], rest: Iterator[bytes]) -> None:
        assert self._pager is not None
        # Ctrl-C is for the pager alone.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with subprocess.Popen(self._pager, stdin=subprocess.PIPE) as process:
                assert process.stdin is not None
                try:
                    process.stdin.writelines(page)
                    process.stdin.writelines(rest)
                    process.stdin.close()
                except BrokenPipeError:  # its user has seen enough
                    pass
        except OSError:  # the pager cannot be started
            self._write(iter(page))
            self._write(rest)
        finally:
            signal.signal(signal.SIGINT, before)
