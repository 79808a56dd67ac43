"""The loop of the prompt, and the commands that the client itself executes."""

from __future__ import annotations

import time
from collections.abc import Callable

from client.connection import ConnectionLost
from client.conversation import LOGIN_TIMEOUT, CannotConnect, Conversation, ServerShutDown, text_of
from client.editors.line_editor import LineEditor
from client.hints.advice import advice
from client.hints.help_page import help_page
from client.lines import encode_line
from client.protocol import CLOSING_COMMANDS, Received
from client.shell.documentation import Documentation
from client.shell.peek import peek
from client.shell.pipe import PipeClosed, ShellPipe
from client.shell.screen import Screen
from client.shell.typed_line import TypedLine, parse_line
from common.replies import ErrorReply, Reply
from common.resp_client import MalformedReply

MIN_SHOWN_SECONDS = 0.1
"""Replies that took longer are followed by their time."""

INTERRUPTED_LOGIN_TIMEOUT = 1.0
"""Seconds to wait for a server after Ctrl-C. If it hangs, the prompt must come back nevertheless."""

LOGIN_COMMANDS = {"AUTH", "HELLO"}
"""Commands after which a server may describe its commands that has refused it before."""

CONFIRMED = {
    "FLUSHALL": "This deletes all keys of all databases.",
    "FLUSHDB": "This deletes all keys of the database.",
    "SHUTDOWN": "This stops the server.",
}
"""Commands that need a confirmation at a prompt."""

HINTS = "HELP lists commands, Tab completes, Ctrl-D ends."


class Shell:
    """One run of the prompt. ``documentation`` is what the server says about its commands."""

    def __init__(
        self,
        conversation: Conversation,
        editor: LineEditor,
        screen: Screen,
        documentation: Documentation,
        *,
        confirms: bool = True,
    ) -> None:
        self._conversation = conversation
        self._editor = editor
        self._screen = screen
        self._documentation = documentation
        self._confirms = confirms
        self._ended = False
        self._own_commands: dict[str, Callable[[TypedLine], None]] = {
            "EXIT": self._exit,
            "HELP": self._help,
            "?": self._help,
            "PEEK": self._peek,
        }

    def run(self) -> int:
        """Read, run and show until EXIT, DISCONNECT, QUIT, SHUTDOWN or Ctrl-D. Return the exit status."""
        with self._editor as editor:
            self._screen.remark(f"{self._server()}. {HINTS}")
            self._show_warnings()
            while not self._ended:
                try:
                    line = editor.read(self._prompt())
                except KeyboardInterrupt:
                    continue  # Ctrl-C discards the line. The shell goes on.
                except EOFError:
                    break
                try:
                    self._run_line(parse_line(line))
                except KeyboardInterrupt:
                    self._interrupt()
        return 0

    def _prompt(self) -> str:
        """Return the prompt: the server's address, and ``(TX)`` if a transaction is open."""
        name = self._conversation.name
        if not name:
            return "not connected> "
        database = self._conversation.protocol.login.database
        transaction = "(TX)" if self._conversation.protocol.in_transaction else ""
        return f"{name}{f'[{database}]' if database else ''}{transaction}> "

    def _server(self) -> str:
        server = self._conversation.server
        # kvline's own version: `version` is that of the Redis whose behaviour is meant.
        version = server.get(b"kvline_version", server.get(b"version"))
        return " ".join(filter(None, (text_of(server.get(b"server")), text_of(version)))) or "connected"

    def _show_warnings(self) -> None:
        for warning in self._conversation.warnings:
            self._screen.remark(warning)

    # ------------------------------------------------------------ one line

    def _run_line(self, line: TypedLine) -> None:
        if line.args == []:
            return
        own_command = self._own_commands.get(line.name)
        if own_command is not None:
            own_command(line)
        elif not self._conversation.name and line.name.encode() in CLOSING_COMMANDS:
            self._ended = True
        elif self._is_confirmed(line) and self._is_connected(line):
            self._run_command(line)

    def _is_confirmed(self, line: TypedLine) -> bool:
        if line.name not in CONFIRMED or not self._confirms:
            return True
        try:
            reply = self._editor.ask(f"{CONFIRMED[line.name]} Continue? [y/N] ")
        except (KeyboardInterrupt, EOFError):
            return False
        return reply.strip().lower() in ("y", "yes")

    def _run_command(self, line: TypedLine) -> None:
        """Send a command, and show its replies or pass them to a shell command."""
        protocol = self._conversation.protocol
        request = encode_line(protocol, line.command)
        pipe = ShellPipe(line.shell_command) if line.shell_command else None

        def show(received: Received) -> None:
            for reply in received.replies:
                if pipe is not None and not isinstance(reply, ErrorReply):
                    pipe.write(reply)
                else:
                    self._screen.show(reply, streaming=protocol.streaming)
                    self._advise(line, reply)

        began = time.monotonic()
        completed = False
        try:
            completed = self._guarded(lambda: self._conversation.exchange(request, show))
            if completed and pipe is None and (seconds := time.monotonic() - began) > MIN_SHOWN_SECONDS:
                self._screen.remark(f"({seconds:.2f} s)")
        except PipeClosed:
            self._interrupt()
        finally:
            if pipe is not None:
                pipe.close()
        if completed and line.name in LOGIN_COMMANDS:
            self._load_documentation()
        self._ended = self._ended or protocol.closing

    def _load_documentation(self) -> None:
        """Ask the server for what it may have refused before the login."""
        protocol = self._conversation.protocol
        if self._documentation.documents or protocol.in_transaction:  # a transaction would queue the request
            return
        if not self._documentation.load(self._conversation) and self._reconnect():
            self._report_lost_state(protocol.in_transaction, protocol.watching)

    def _advise(self, line: TypedLine, reply: Reply) -> None:
        """Print what may help after an error: a similar name, or the usage line."""
        if isinstance(reply, ErrorReply) and line.args and (text := advice(self._documentation.documents, line.args)):
            self._screen.remark(text)

    # ------------------------------------------------------------ the connection

    def _guarded(self, action: Callable[[], None]) -> bool:
        """Run something that uses the connection. Return whether it came to its end, and report why not."""
        try:
            action()
        except ServerShutDown:
            self._screen.remark("the server has shut down")
            self._ended = True
        except (ConnectionLost, MalformedReply) as problem:
            self._conversation.disconnect()
            self._screen.error(f"{problem}. The last command may have been executed.")
        else:
            return True
        return False

    def _interrupt(self) -> None:
        """Return to the prompt after Ctrl-C, on a new connection if replies are still to arrive on this one."""
        self._screen.remark("")
        self._editor.discard_pasted_lines()
        protocol = self._conversation.protocol
        if (protocol.pending or protocol.streaming) and self._reconnect(INTERRUPTED_LOGIN_TIMEOUT):
            self._report_lost_state(protocol.in_transaction, protocol.watching)

    def _is_connected(self, line: TypedLine) -> bool:
        """Connect again if necessary. Return whether the command of a line can be sent."""
        protocol = self._conversation.protocol
        if not self._conversation.is_lost():
            return True
        if line.name == "AUTH":  # the server may not accept the earlier password any more
            self._conversation.forget_password()
        if not self._reconnect():
            return False
        self._screen.remark(f"connected again to {self._conversation.name}")
        # What was typed relies on the state that is lost: a command of a transaction must not run alone.
        return not self._report_lost_state(protocol.in_transaction, protocol.watching)

    def _reconnect(self, login_timeout: float = LOGIN_TIMEOUT) -> bool:
        try:
            self._conversation.reconnect(login_timeout)
        except (CannotConnect, ConnectionLost, MalformedReply) as problem:
            self._screen.error(str(problem))
            return False
        except KeyboardInterrupt:
            self._screen.remark("")
            return False
        self._show_warnings()
        return True

    def _report_lost_state(self, in_transaction: bool, watching: bool) -> bool:
        """Report what does not exist on the new connection. Return whether anything was lost."""
        if in_transaction:
            self._screen.remark("the open transaction was lost with the connection; nothing was sent since")
        elif watching:
            self._screen.remark("the watched keys were lost with the connection; nothing was sent since")
        return in_transaction or watching

    # ------------------------------------------------------------ the client's own commands

    def _exit(self, _: TypedLine) -> None:
        self._ended = True

    def _help(self, line: TypedLine) -> None:
        assert line.args
        topic = [arg.decode(errors="replace") for arg in line.args[1:]]
        self._screen.lines(help_page(self._documentation.documents, topic))

    def _peek(self, line: TypedLine) -> None:
        assert line.args
        if len(line.args) != 2:
            self._screen.remark("usage: PEEK key")
        elif self._conversation.protocol.in_transaction:
            self._screen.remark("PEEK needs replies, which the commands of an open transaction do not get")
        elif self._conversation.name and not self._conversation.protocol.has_replies:
            self._screen.remark("PEEK needs replies, which CLIENT REPLY has turned off")
        elif self._is_connected(line):
            key = line.args[1]
            self._guarded(lambda: self._screen.show(peek(self._conversation, key)))
