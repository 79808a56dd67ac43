"""A pseudo-terminal that runs a program, and methods to type keys and read the screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time
from codecs import getincrementaldecoder
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from tests.harness.fork_server import Fork
from tests.harness.processes import RUN_CLIENT, can_be_forked, environment, fork
from tests.harness.waiting import TIMEOUT, wait_until

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x07|(?:\x1b|\x1b\[[0-9;?]*|\r)\Z")
"""Escape sequences that move the cursor or ring the bell, and incomplete ones at the end of the output."""

ELAPSED_TIME = re.compile(r"^\(\d+\.\d\d s\)\r?\n", re.MULTILINE)
"""What the prompt prints after a reply that took longer than 0.1 s."""

CTRL_D, TAB, UP, ENTER = "\x04", "\t", "\x1b[A", "\r"


class Terminal:
    """A program at a pseudo-terminal. ``variables`` are added to its environment."""

    def __init__(self, *command: str | Path, **variables: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, b"\x32\x00\xc8\x00\x00\x00\x00\x00")  # 50 lines of 200 columns
        self.initial_attributes = self.attributes
        """The attributes before the program was started."""
        self._received = ""
        self._decoder = getincrementaldecoder("utf-8")()
        self._shown = 0  # how much of it has been expected already
        try:
            self.process = self._start(command, slave, {"TERM": "dumb", "LC_ALL": "C.UTF-8", **variables})
        except BaseException:
            os.close(self._master)
            raise
        finally:
            os.close(slave)

    def _start(
        self, command: Sequence[str | Path], terminal: int, variables: dict[str, str]
    ) -> subprocess.Popen[bytes] | Fork:
        return subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=environment(**variables),
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        os.close(self._master)  # hangs up, which ends the program
        try:
            self.process.wait(TIMEOUT if kind is None else 1)
        finally:
            self.process.kill()
            self.process.wait()

    @property
    def _read(self) -> str:
        """Everything that has been shown, without the times of slow replies: on a busy machine any reply is slow."""
        return ELAPSED_TIME.sub("", _ESCAPES.sub("", self._received).replace("\r\n", "\n"))

    @property
    def received(self) -> str:
        """Everything that the program has written, with its escape sequences."""
        return self._received

    @property
    def attributes(self) -> list[object]:
        """The attributes of the terminal, as `termios.tcgetattr` returns them."""
        return termios.tcgetattr(self._master)

    @property
    def mode(self) -> tuple[bool, str]:
        """Whether the terminal echoes what is typed, and its key ``VEOL``. Programs set both."""
        attributes = termios.tcgetattr(self._master)
        return bool(attributes[3] & termios.ECHO), attributes[6][termios.VEOL].decode()

    @property
    def unexpected(self) -> str:
        """What has been shown since the last expected text."""
        return self._read[self._shown :]

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._master, text.encode())

    def expect(self, text: str) -> str:
        """Wait until this is shown. Return what was shown before it, since the last expected text."""
        deadline = time.monotonic() + TIMEOUT
        while (at := self._read.find(text, self._shown)) < 0:
            assert self._receive(deadline - time.monotonic()), f"{text!r} was not shown, but {self.unexpected!r}"
        before = self._read[self._shown : at]
        self._shown = at + len(text)
        return before

    def shows(self, text: str) -> bool:
        """Return whether this has been shown since the last expected text."""
        while self._receive(0):
            pass
        return text in self.unexpected

    def interrupt(self) -> None:
        """Press Ctrl-C once the program waits for a key: CPython's `input` sleeps over one that comes just before."""
        stat = Path(f"/proc/{self.process.pid}/stat")
        wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "S", "the program waits for a key")
        self.type("\x03")

    def exit_status(self) -> int:
        """Wait until the program has ended. What it shows until then is in ``unexpected``."""
        deadline = time.monotonic() + TIMEOUT
        while self._receive(deadline - time.monotonic()):
            pass
        return self.process.wait(TIMEOUT)

    def _receive(self, seconds: float) -> bool:
        readable, _, _ = select.select([self._master], [], [], max(0, seconds))
        if not readable:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO on Linux: the program has closed its end
            return False
        self._received += self._decoder.decode(data)
        return bool(data)


class ClientTerminal(Terminal):
    """The client at a pseudo-terminal. ``history`` is the file that its history is kept in."""

    def __init__(self, *options: str, history: Path, **variables: str) -> None:
        super().__init__(RUN_CLIENT, *options, KVLINE_HISTORY=str(history), **variables)

    def _start(
        self, command: Sequence[str | Path], terminal: int, variables: dict[str, str]
    ) -> subprocess.Popen[bytes] | Fork:
        """Start the client as a fork, as far as possible."""
        if not can_be_forked(variables):
            return super()._start(command, terminal, variables)
        return fork(RUN_CLIENT, [str(each) for each in command[1:]], [terminal] * 3, variables, at_terminal=True)


class Server(Protocol):
    """A server on the loopback interface."""

    @property
    def port(self) -> int: ...


class Prompt(ClientTerminal):
    """The prompt at a server. ``run`` types a line and returns what is shown until the next prompt."""

    def __init__(
        self, server: Server, *options: str, history: Path, password: str | None = None, **variables: str
    ) -> None:
        super().__init__("-p", str(server.port), *options, history=history, **variables)
        self.prompt = f"127.0.0.1:{server.port}"
        if password is not None:
            self.expect(f"password of {self.prompt}: ")
            self.type(password + ENTER)
        # prompt_toolkit moves the cursor instead of writing the blank after the prompt.
        self.banner = self.expect(f"{self.prompt}{'>' if variables else '> '}")

    def run(self, line: str, mark: str = "> ") -> str:
        self.type(line + ENTER)
        return self.expect(self.prompt + mark).removeprefix(line + "\n")
