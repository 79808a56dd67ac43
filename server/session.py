"""A session: one connection's side of the conversation, without the connection.

    bytes -> RequestReader -> words -> command -> engine -> reply -> encoder -> bytes
                                |                              |
                                +---- transaction queue -------+

It is sans-I/O: bytes that came in go into ``feed``, bytes to send come out. It knows no socket, no thread and no clock,
so the same session runs behind a thread a connection, in the client's terminal mode, in a test, and behind any I/O
scheme that may come. It is used by one thread at a time; what sessions share is the engine alone.

A reply may be far larger than what a peer will read at once, and a small request can ask for many such. So ``feed``
stops making output at about ``OUTPUT_SIZE`` bytes, keeps its place, and says so by ``pending``. Whoever owns the
connection writes what it got before it asks for more: a peer that does not read costs one such piece, and its thread.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from common.limits import DEFAULT_LIMITS, Limits
from common.replies import QUEUED, Error, Reply
from common.requests import BadRequest, Batch, Request, Words
from common.resp import ReplyEncoder
from server.engine import Call, Engine
from server.errors import INTERNAL_ERROR, TRANSACTION_TOO_LARGE, CommandError, unknown_command, wrong_arity
from server.reader import RequestReader
from server.registry import Command, CommandTable

OUTPUT_SIZE = 256 * 1024

WORD_OVERHEAD = 64
"""What a queued word costs beside its bytes, so that a million empty ones count as the memory that they take."""

logger = logging.getLogger(__name__)


class Transaction:
    """The commands that wait for EXEC."""

    __slots__ = ("queue", "size", "spoiled")

    def __init__(self) -> None:
        self.queue: list[Call] = []
        self.size = 0  # bytes that the queued words take
        self.spoiled = False  # a command could not be queued, so EXEC will refuse


class Session:
    """Turn one connection's bytes into replies. ``number`` tells connections apart."""

    def __init__(
        self, engine: Engine, commands: CommandTable, limits: Limits = DEFAULT_LIMITS, number: int = 0
    ) -> None:
        self.commands = commands
        self.number = number
        self.transaction: Transaction | None = None
        self.closing = False
        """Nothing more will be answered; the connection is to be closed once the output is written."""
        self.pending = False
        """There is more output: write what ``feed`` returned, then call ``feed(b"")``."""
        self._engine = engine
        self._limits = limits
        self._spellings = commands.by_spelling
        self._resp = ReplyEncoder()
        self._reader = RequestReader(self._resp, limits)
        self._output: Iterator[bytes] = iter(())

    def feed(self, data: bytes) -> bytes:
        """Take what has arrived; return what to send.

        While ``pending`` is true there is more to send, and no new data is taken: write, then call with ``b""``.
        """
        if self.pending:
            if data:
                raise RuntimeError("the pending output comes first")
            output = self._output
        elif self.closing:
            return b""
        else:
            output = self._answer(self._reader.feed(data))
        pieces: list[bytes] = []
        size = 0
        for piece in output:
            pieces.append(piece)
            size += len(piece)
            if size >= OUTPUT_SIZE:
                self._output = output
                self.pending = True
                break
        else:
            self.pending = False
        return b"".join(pieces)

    @property
    def resp_version(self) -> int:
        """The version of RESP that this connection has agreed on."""
        return self._resp.version

    def use_resp(self, version: int) -> None:
        """Answer RESP requests in this version from now on."""
        self._resp.use(version)

    def run_all(self, calls: list[Call]) -> Reply:
        """Run a transaction's commands as one step, those on the store; a session's own commands touch no one else."""
        on_store = [call for call in calls if call[0].on_store]
        outcomes = iter(self._engine.execute_all(on_store))
        replies: list[Reply] = []
        for command, words in calls:
            outcome = next(outcomes) if command.on_store else self._run(command, words)
            replies.append(self._explain(outcome) if isinstance(outcome, Exception) else outcome)
        return replies

    def _answer(self, batches: list[Batch]) -> Iterator[bytes]:
        for encoder, requests in batches:
            for request in requests:
                reply = self._reply(request)
                encode = encoder.scalars.get(type(reply))
                if encode is None:
                    yield from encoder.stream(reply)
                else:
                    yield encode(reply)
                if self.closing:
                    return

    def _reply(self, words: Request) -> Reply:
        if isinstance(words, BadRequest):
            self.closing = words.fatal
            return self._spoil(words.error)
        command = self._spellings.get(words[0]) or self.commands.find(words[0])
        if command is None:
            return self._spoil(unknown_command(words))
        if not command.fewest <= len(words) <= command.most:
            return self._spoil(wrong_arity(command.name))
        if self.transaction is not None and not command.immediate:
            return self._queue(self.transaction, command, words)
        return self._run(command, words)

    def _run(self, command: Command, words: Words) -> Reply:
        try:
            if command.on_store:
                return self._engine.execute(command, words)
            return command.run(self, *words[1:])
        except Exception as problem:
            return self._explain(problem)

    def _explain(self, problem: Exception) -> Error:
        """Turn what a command raised into its reply: the one place where an unforeseen failure is caught."""
        if isinstance(problem, CommandError):
            return problem.reply
        logger.error("a command failed unexpectedly", exc_info=problem)
        return INTERNAL_ERROR

    def _queue(self, transaction: Transaction, command: Command, words: Words) -> Reply:
        transaction.size += sum(map(len, words)) + WORD_OVERHEAD * len(words)
        if transaction.size > self._limits.max_request or len(transaction.queue) >= self._limits.max_words:
            transaction.queue.clear()
            return self._spoil(TRANSACTION_TOO_LARGE)
        if not transaction.spoiled:
            transaction.queue.append((command, words))
        return QUEUED

    def _spoil(self, error: Error) -> Error:
        if self.transaction is not None:
            self.transaction.spoiled = True
        return error
