"""Run a batch: send its lines, print the replies, report errors with the numbers of their lines."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import BinaryIO

from client.batch.encoder import BatchEncoder
from client.batch.progress import Progress
from client.command_line import INTERRUPTED
from client.connection import ConnectionLost, Pipeline
from client.conversation import Conversation
from client.protocol import Received, has_failed
from client.render.forms import Renderer, print_replies
from client.source import Source
from common.replies import ErrorReply, Reply
from common.resp_client import MalformedReply
from common.text import printable


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What the command line says about a batch."""

    first_line: int = 1
    stop_on_error: bool = False
    quiet: bool = False
    """Print errors and the summary only."""

    always_sum_up: bool = False
    """Print the summary even if nothing failed and standard error is no terminal."""

    size: int = 0
    """Bytes of the input, for the progress bar. 0 if it is not known."""


@dataclass(slots=True)
class _Outcome:
    """What has become of the lines."""

    errors: int = 0
    confirmed: int = 0
    """The last line whose reply has arrived, or the last one before a transaction that is still open."""

    in_transaction: bool = False
    began: float = field(default_factory=time.monotonic)


class Batch(Pipeline):
    """One run of a batch. ``source`` is the input. Replies are written to ``output``, errors to standard error."""

    def __init__(
        self,
        conversation: Conversation,
        source: Source,
        output: BinaryIO,
        render: Renderer,
        options: BatchOptions,
    ) -> None:
        self._conversation = conversation
        self._source = source
        self._output = output
        self._render = render
        self._options = options
        self._encoder = BatchEncoder(conversation.protocol, options.first_line)
        self._outcome = _Outcome(confirmed=options.first_line - 1)
        # At a terminal an error would be shown twice: among the replies, and with the number of its line.
        self._hides_errors = output.isatty() and sys.stderr.isatty()
        self._progress = Progress(options.size if options.quiet or not output.isatty() else 0)
        self._bytes_read = 0
        self._first_database = conversation.protocol.login.database
        self.input_ended = False

    def run(self) -> int:
        """Send every line, print every reply, and return the exit status: 1 if a command failed.

        The last line needs no line break. Lines after DISCONNECT or QUIT are not sent.
        """
        try:
            with self._progress:
                self._run_in_steps() if self._options.stop_on_error else self._run_pipelined()
        except KeyboardInterrupt:
            self._report("interrupted" + self._resumption())
            return INTERRUPTED
        except (ConnectionLost, MalformedReply) as problem:
            self._conversation.disconnect()
            if self._conversation.protocol.shuts_server_down:
                return int(self._outcome.errors > 0)
            self._report(f"{problem}{self._resumption()}")
            return 1
        self._sum_up()
        return int(self._outcome.errors > 0)

    def _run_pipelined(self) -> None:
        self._conversation.connection.stream(self)

    def _run_in_steps(self) -> None:
        """Send a line only after the reply to the line before it, so that nothing follows an error."""
        protocol, connection = self._conversation.protocol, self._conversation.connection
        while data := self._source.read():
            *ends, partial = data.split(b"\n")
            for end in ends:
                if not self._run_step(self._encoder.feed(end + b"\n")):
                    return
            if partial:
                self._encoder.feed(partial)
        self._run_step(self._encoder.feed(b""))
        while protocol.streaming:
            self.consume(connection.receive())

    def _run_step(self, request: bytes) -> bool:
        """Send the request of a line, if there is one. Return whether to continue."""
        protocol, connection = self._conversation.protocol, self._conversation.connection
        if request:
            connection.send(request)
            while protocol.pending:
                self.consume(connection.receive())
        return not self._outcome.errors and not protocol.closing

    def fileno(self) -> int:
        """See `client.connection.Pipeline`."""
        return self._source.fileno()

    def is_complete(self) -> bool:
        """See `client.connection.Pipeline`. After MONITOR and SUBSCRIBE there is no end."""
        return not self._conversation.protocol.pending and not self._conversation.protocol.streaming

    def read_requests(self) -> bytes:
        """See `client.connection.Pipeline`."""
        data = self._source.read()
        self._bytes_read += len(data)
        self._progress.update(self._bytes_read)
        requests = self._encoder.feed(data)
        # After QUIT nothing is sent any more, so the rest of the input is not read.
        self.input_ended = not data or self._conversation.protocol.closing
        return requests

    def consume(self, data: bytes) -> None:
        """Print the replies that arrive, and report errors."""
        for received in self._conversation.protocol.receive(data):
            if not received.request.hidden:
                self._show(received)

    def _show(self, received: Received) -> None:
        self._confirm(received)
        failed = (
            [(at, reply) for at, reply in enumerate(received.replies) if has_failed(reply)]
            if {ErrorReply, list} & set(map(type, received.replies))
            else []
        )
        shown: list[Reply] = received.replies
        if failed and self._hides_errors:
            places = {at for at, _ in failed}
            shown = [reply for at, reply in enumerate(shown) if at not in places]
        if not self._options.quiet:
            print_replies(self._render, shown, self._output)
        for at, reply in failed:
            self._outcome.errors += 1
            self._report_error(received.line + at, reply)

    def _confirm(self, received: Received) -> None:
        name = received.request.name
        if name == b"MULTI" and not isinstance(received.replies[0], ErrorReply):
            self._outcome.in_transaction = True
        elif name in (b"EXEC", b"DISCARD", b"RESET"):
            self._outcome.in_transaction = False
        if not self._outcome.in_transaction and received.line:
            self._outcome.confirmed = received.line + len(received.replies) - 1

    def _report_error(self, line: int, reply: Reply) -> None:
        for error in [reply] if isinstance(reply, ErrorReply) else reply if isinstance(reply, list) else []:
            if isinstance(error, ErrorReply):
                place = f"line {line}: " if line else ""
                self._report(f"{place}{printable(error.text).decode()}")

    def _report(self, text: str) -> None:
        self._progress.pause()
        print(f"kvline: {text}", file=sys.stderr, flush=True)

    def _resumption(self) -> str:
        confirmed = self._outcome.confirmed
        database = self._conversation.protocol.login.database
        # A line that selects it is not read again.
        option = f" --database {database}" if database != self._first_database else ""
        return f". {confirmed:,} lines confirmed; continue with --resume {confirmed + 1}{option}"

    def _sum_up(self) -> None:
        outcome, options = self._outcome, self._options
        if not (options.always_sum_up or options.quiet or outcome.errors or sys.stderr.isatty()):
            return
        lines = max(0, self._encoder.line - options.first_line + 1)
        seconds = time.monotonic() - outcome.began
        errors = "1 error" if outcome.errors == 1 else f"{outcome.errors:,} errors"
        self._report(f"{lines:,} lines, {errors}, {seconds:.2f} s")
