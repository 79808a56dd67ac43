"""A session: one connection's side of the conversation, without the connection.

    bytes -> RequestReader -> words -> command -> engine -> reply -> encoder -> bytes
                                |                              |
                                +---- transaction queue -------+

It is sans-I/O: bytes that came in go into ``feed``, bytes to send come out. It knows no socket and no thread,
so the same session runs behind a thread a connection, in the client's terminal mode, in a test, and behind any I/O
scheme that may come. It is used by one thread at a time; what sessions share stands in `instance`.

A reply may be far larger than what a peer will read at once, and a small request can ask for many such. So ``feed``
stops making output at about ``OUTPUT_SIZE`` bytes, keeps its place, and says so by ``pending``. Whoever owns the
connection writes what it got before it asks for more: a peer that does not read costs one such piece, and its thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from time import perf_counter_ns

from common.codec import Args, Encoder, ProtocolError, Request
from common.errors import (
    INTERNAL_ERROR,
    MONITOR_NEEDS_CONNECTION,
    TRANSACTION_TOO_LARGE,
    CommandError,
    unknown_command,
    wrong_arity,
)
from common.replies import NO_REPLY, NULL_ARRAY, OK, QUEUED, ErrorReply, Reply, SimpleString
from common.resp import ReplyEncoder
from server.clients.registry import Client, Push
from server.engines.embedded import QueuedCommand
from server.protocols.detection import ProtocolDetector
from server.registry import Command
from server.session.context import ServerContext

OUTPUT_SIZE = 256 * 1024

ARG_OVERHEAD = 64
"""What a queued word costs beside its bytes, so that a million empty ones count as the memory that they take."""

logger = logging.getLogger(__name__)


class Transaction:
    """The commands that wait for EXEC."""

    __slots__ = ("queue", "size", "spoiled")

    def __init__(self) -> None:
        self.queue: list[QueuedCommand] = []
        self.size = 0  # bytes that the queued words take
        self.spoiled = False  # a command could not be queued, so EXEC will refuse


class Session:
    """Turn one connection's bytes into replies. ``close`` it when the connection is gone, however it went."""

    def __init__(self, context: ServerContext, client: Client | None = None) -> None:
        self.context = context
        self.client = client or context.clients.add()
        self.transaction: Transaction | None = None
        self._watch = context.engine.new_watch()
        self.closing = False
        """Nothing more will be answered; the connection is to be closed once the output is written."""
        self.pending = False
        """There is more output: write what ``feed`` returned, then call ``feed(b"")``."""
        self.answer: Callable[[Request], Reply] = self._reply
        """Run one request and return its reply: for doors that have words rather than a stream of bytes."""
        self._is_silent = False
        self._engine = context.engine
        self._statistics = context.engine.statistics
        self._find = context.commands.by_spelling.get
        self._monitors = context.monitors
        self._limits = context.limits
        self._resp = ReplyEncoder()
        self._reader = ProtocolDetector(self._resp, context.limits)
        self._unsent: Iterator[bytes] = iter(())  # what is left of the reply that filled the last output
        self._unanswered: Iterator[tuple[Encoder, Iterable[Request]]] = iter(())  # the requests behind it
        self._encoder: Encoder = self._resp  # of the request that is running
        self._monitor: Push | None = None

    # ---------------------------------------------------------------- bytes

    def feed(self, data: bytes) -> bytes:
        """Take what has arrived; return what to send.

        While ``pending`` is true there is more to send, and no new data is taken: write, then call with ``b""``.
        """
        if self.pending:
            if data:
                raise RuntimeError("the pending output comes first")
            return self._go_on()
        return b"" if self.closing else self._answer(iter(self._reader.feed(data)), [], 0)

    def close(self) -> None:
        """Leave no trace: the transaction is dropped, nothing is watched any more, nobody is shown this client."""
        self.closing = True
        self.reset()
        self.context.clients.remove(self.client)

    def _answer(self, batches: Iterator[tuple[Encoder, Iterable[Request]]], pieces: list[bytes], size: int) -> bytes:
        """Run the requests and return their replies behind these pieces; keep the place when enough has come up.

        This is no generator, for to begin one takes longer than to look a key up.
        """
        for encoder, requests in batches:
            self._encoder = encoder
            rest = iter(requests)
            for request in rest:
                reply = self.answer(request)
                encode = encoder.scalars.get(type(reply))
                if encode is not None:
                    piece = encode(reply)
                    pieces.append(piece)
                    size += len(piece)
                else:
                    self._unsent = self._stream(encoder, reply)
                    size = _take(self._unsent, pieces, size)
                if size >= OUTPUT_SIZE:
                    self._unanswered = chain([(encoder, rest)], batches)
                    self.pending = True
                    return b"".join(pieces)
                if self.closing:
                    return b"".join(pieces)
        return b"".join(pieces)

    def _stream(self, encoder: Encoder, reply: Reply) -> Iterator[bytes]:
        """Encode a reply in pieces; where what it is made from fails on the way, say so and end the connection.

        Nobody must take what was sent before for the whole.
        """
        try:
            yield from encoder.stream(reply)
        except CommandError as problem:
            self.closing = True
            yield from encoder.stream(self._explain(problem))

    def _go_on(self) -> bytes:
        """Return the output that comes behind what has been sent."""
        pieces: list[bytes] = []
        size = _take(self._unsent, pieces, 0)
        if size >= OUTPUT_SIZE:
            return b"".join(pieces)
        self.pending = False
        unanswered, self._unanswered = self._unanswered, iter(())
        return b"".join(pieces) if self.closing else self._answer(unanswered, pieces, size)

    # ---------------------------------------------------------------- requests

    def _reply(self, args: Request) -> Reply:
        if isinstance(args, ProtocolError):
            self.closing = args.close_connection
            return self._spoil(args.error)
        if self._monitors.feeds:
            self._monitors.show(args, self.client)
        command = self._find(args[0]) or self.context.commands.find(args[0])
        if command is None:
            return self._spoil(unknown_command(args))
        if not command.fewest <= len(args) <= command.most:
            self._statistics.note_rejected(command)
            return self._spoil(wrong_arity(command.name))
        if self.transaction is not None and not command.immediate:
            return self._queue(self.transaction, command, args)
        self.client.command = command
        try:
            if command.on_store:
                return self._engine.execute(command, args, self.client)
            return self._run(command, args)
        except Exception as problem:
            return self._explain(problem)

    def at_hand(self, args: Args) -> Reply:
        """Answer a command if its reply is to be had without waiting for another machine; else return None.

        What came to nothing here has left no trace, and may be given to ``answer``.
        """
        command = self.context.commands.find(args[0])
        if command is None or not command.on_store or self.transaction is not None:
            return None
        if not command.fewest <= len(args) <= command.most:
            return None
        reply = self._engine.at_hand(command, args, self.client)
        if reply is not None:
            self.client.command = command
            if self._monitors.feeds:
                self._monitors.show(args, self.client)
        return reply

    def _run(self, command: Command, args: Args) -> Reply:
        """Run one of the session's own commands. Raises what the command raises."""
        started = self.client.active = perf_counter_ns()
        failed = True
        try:
            reply = command.run(self, *args[1:])
            failed = False
            return reply
        finally:
            self._statistics.note(command, args, perf_counter_ns() - started, failed, self.client)

    def _explain(self, problem: Exception) -> ErrorReply:
        """Turn what a command raised into its reply: the one place where an unforeseen failure is caught."""
        self._statistics.note_error()
        if isinstance(problem, CommandError):
            return problem.reply
        logger.error("a command failed unexpectedly", exc_info=problem)
        return INTERNAL_ERROR

    # ---------------------------------------------------------------- transactions

    def run_transaction(self, queue: list[QueuedCommand]) -> Reply:
        """Run the commands as one step, unless a watched key has changed."""
        try:
            outcomes = self._engine.execute_all(queue, self._watch, self.client, self._run)
        finally:
            self.unwatch()
        if outcomes is None:
            return NULL_ARRAY
        replies = [self._explain(each) if isinstance(each, Exception) else each for each in outcomes]
        return [OK if reply is NO_REPLY else reply for reply in replies]  # each command has its place in the array

    def begin_transaction(self) -> None:
        """Queue the commands that follow."""
        self.transaction = Transaction()
        self.client.queued = 0

    def end_transaction(self) -> None:
        """Drop the queue."""
        self.transaction = None
        self.client.queued = -1

    def watch_keys(self, keys: list[bytes]) -> None:
        """Let the next EXEC depend on these keys too."""
        self._engine.watch(self._watch, keys)
        self.client.watching = len(self._watch.keys)

    def unwatch(self) -> None:
        """Watch no key any more."""
        if self._watch.keys:
            self._engine.unwatch(self._watch)
        self._watch = self._engine.new_watch()
        self.client.watching = 0

    def _queue(self, transaction: Transaction, command: Command, args: Args) -> Reply:
        transaction.size += sum(map(len, args)) + ARG_OVERHEAD * len(args)
        if transaction.size > self._limits.max_request or len(transaction.queue) >= self._limits.max_args:
            transaction.queue.clear()
            return self._spoil(TRANSACTION_TOO_LARGE)
        if not transaction.spoiled:
            transaction.queue.append((command, args))
            self.client.queued = len(transaction.queue)
        return QUEUED

    def _spoil(self, error: ErrorReply) -> ErrorReply:
        """Refuse a request, and with it the transaction that it stands in."""
        self._statistics.note_error()
        if self.transaction is not None:
            self.transaction.spoiled = True
        return error

    # ---------------------------------------------------------------- the connection's state

    @property
    def resp_version(self) -> int:
        """The version of RESP that this connection has agreed on."""
        return self._resp.version

    def use_resp(self, version: int) -> None:
        """Answer RESP requests in this version from now on."""
        self._resp.use(version)
        self.client.resp = version

    def reset(self) -> None:
        """Return to the state of a new connection, as RESET does."""
        self.end_transaction()
        self.unwatch()
        self.stop_monitoring()
        self.speak()
        self.use_resp(2)
        self.client.name = b""

    def speak(self) -> None:
        """Answer requests again."""
        self.answer = self._reply
        self._is_silent = False

    def be_silent(self, *, once: bool = False) -> None:
        """Run the requests to come, or the next one, and answer nothing. A silence for good outlasts the other."""

        def respond(request: Request) -> Reply:
            reply = self._reply(request)
            if self.answer == self._reply:  # the request itself has ended the silence
                return reply
            if once and self.answer is respond:
                self.speak()
            return NO_REPLY

        if not self._is_silent:
            self.answer = respond
            self._is_silent = not once

    # ---------------------------------------------------------------- monitoring

    def start_monitoring(self) -> None:
        """Show this client every command from now on, in the dialect in which it asked for that.

        Raises `CommandError` where the server can't write to it by itself.
        """
        if self._monitor is None:
            peer, encoder = self.client.peer, self._encoder
            push = peer.open_channel() if peer else None
            if push is None:
                raise CommandError(MONITOR_NEEDS_CONNECTION)
            self._monitor = lambda line: push(b"".join(encoder.stream(SimpleString(line))))
            self._monitors.add(self._monitor)

    def stop_monitoring(self) -> None:
        """Show it no more."""
        if self._monitor is not None:
            self._monitors.remove(self._monitor)
            self._monitor = None


def _take(source: Iterator[bytes], pieces: list[bytes], size: int) -> int:
    """Move pieces over until there is enough output; return how much there is."""
    for piece in source:
        pieces.append(piece)
        size += len(piece)
        if size >= OUTPUT_SIZE:
            break
    return size
