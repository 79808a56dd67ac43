"""A shell command that gets the replies of a line: ``GET key | wc -c``."""

from __future__ import annotations

import subprocess
from contextlib import suppress

from client.render.forms import render_raw
from common.replies import Reply


class PipeClosed(Exception):
    """Raised if the shell command reads no more."""


class ShellPipe:
    """Starts the command with the first reply, and passes replies on as they arrive. Close it at the end."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, reply: Reply) -> None:
        """Pass a reply on: the bytes of a value as they are, lines of anything else. Raises `PipeClosed`."""
        if self._process is None:
            self._process = subprocess.Popen(self._command, shell=True, stdin=subprocess.PIPE)
        assert self._process.stdin is not None
        try:
            self._process.stdin.writelines([reply] if isinstance(reply, bytes) else render_raw(reply))
            self._process.stdin.flush()
        except BrokenPipeError:
            raise PipeClosed from None

    def close(self) -> None:
        """End the command's input, and wait until it has ended."""
        if self._process is not None:
            assert self._process.stdin is not None
            with suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait()
