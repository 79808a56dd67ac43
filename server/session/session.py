"""A session: the state of one client, without its connection. Arguments go in, a reply comes out.

    args -> command table -> transaction queue (in MULTI) -> engine -> reply
                                                          -> control command (CLIENT, INFO ...), on the session itself

A session knows no bytes, socket or thread. `server.session.stream` puts a stream of bytes around it. HTTP uses it
without one. One thread at a time uses a session.

What sessions share is in `server.session.context`, the queue of MULTI in `transaction`, EXEC in `exec`, what is sent
without a request in `pushes`, and what is recorded of each call in `server.clients.call_recorder`.
"""

from __future__ import annotations

import logging
from functools import partial
from time import perf_counter_ns
from types import NoneType
from typing import cast

from common.codec import Args, ProtocolError, RequestBatch
from common.errors import (
    CLIENT_KILLED,
    NO_MULTI_HERE,
    NOT_AUTHENTICATED,
    SCRIPT_BUSY,
    WRONG_PASSWORD,
    CommandError,
    exec_refused,
    not_while_subscribed,
)
from common.replies import DEFERRED, QUEUED, ErrorReply, Reply, SimpleString
from server.clients.registry import ClientInfo
from server.clients.stats import CommandStats
from server.engines.base import WOULD_BLOCK, QueuedCommand
from server.registry import ArityError, Command, Flag, RejectedCommand
from server.session.context import ServerContext
from server.session.output import OutputFormat, ReplyMode
from server.session.pushes import Pushes
from server.session.transaction import Transaction, WatchedKeys
from server.stderr_log import RepeatedMessage

_NO_COMMANDS: dict[bytes, Command] = {}
_USUAL_REPLIES = frozenset({bytes, int, NoneType, SimpleString})

logger = logging.getLogger(__name__)

_closed = RepeatedMessage(logger, logging.INFO, "the connection of client %d from %s is closed: %s")


class Session:
    """Executes the commands of one client. Call `close` when the client has disconnected, for whatever reason.

    ``authenticated`` is for a client whose password was checked by its protocol (HTTP). Without it a client must send
    AUTH first, if the server has a password when the session begins.

    ``stats`` is where the usual requests are counted: the shard of the thread that calls `execute` and `execute_batch`.
    Without it, and for all others, it is the shard of the client.
    """

    # The state of a connection in few cache lines: with 200 connections they are not in the fastest cache any more.
    __slots__ = (
        "_call",
        "_commands",
        "_database",
        "_deferred",
        "_engine",
        "_inspection",
        "_pause",
        "_recorder",
        "_slowlog",
        "_usual_stats",
        "alters_output",
        "authenticated",
        "client",
        "closing",
        "context",
        "defers_long_requests",
        "is_restricted",
        "pushes",
        "reply_mode",
        "stream",
        "transaction",
        "unauthenticated_since",
        "watched",
    )

    def __init__(
        self,
        context: ServerContext,
        client: ClientInfo,
        *,
        authenticated: bool = False,
        stats: CommandStats | None = None,
    ) -> None:
        self.context = context
        self.client = client
        self.transaction: Transaction | None = None
        self.closing = False
        """The connection must be closed after the reply. Nothing received after it is executed."""
        self.authenticated = True
        """Whether all commands may be executed. See `must_authenticate`."""
        self.unauthenticated_since = 0
        """`perf_counter_ns` when the client began to be one that has not authenticated."""
        self.reply_mode = ReplyMode.ON
        """Which replies are sent. Set it by `set_reply_mode`."""
        self.pushes: Pushes | None = None
        """What is sent between replies, if the client asked for any (MONITOR, SUBSCRIBE, CLIENT TRACKING)."""
        self.is_restricted = False
        """Whether the client is subscribed and sent RESP2, so that only a few commands are allowed, as in Redis."""
        self.alters_output = False
        """Whether more or less is sent than one reply per request: the reply mode is not ON, or there are pushes."""
        self.defers_long_requests = False
        """Whether `execute` leaves requests that may take long to `execute_deferred`, as `try_execute` always does."""
        self.stream: OutputFormat | None = None
        """The stream of bytes around this session, if there is one."""
        self._call = client.call
        client.call.session = self
        self._engine = context.engine
        self._database = context.engine.database(0)
        client.database = 0  # an earlier session of the connection may have selected another one (HTTP)
        self._inspection = context.inspection
        self._pause = context.pause
        self._recorder = context.recorder
        self._slowlog = context.slowlog
        self._usual_stats = (stats or client.stats).by_command
        self.watched = WatchedKeys(context.engine, client)
        self._deferred: QueuedCommand | None = None
        self._set_authenticated(authenticated or not context.auth.required)

    # ---------------------------------------------------------------- execution

    def execute(self, args: Args) -> Reply:
        """Execute one request and return its reply. Never raises: every error is a reply.

        With `defers_long_requests` the reply to a request that may take long is `DEFERRED`. While CLIENT PAUSE is in
        effect, the reply to a request that must wait is, always.
        """
        command = self._commands.get(args[0])
        if (
            command is None
            or not command.min_args <= len(args) <= command.max_quick_args
            or self._inspection.needed
            or self.transaction is not None
        ):
            return self._execute_unusual(command, args, self.defers_long_requests)
        call = self._call
        call.command = command
        try:
            reply = self._database.execute(command, args, call)
        except Exception as problem:
            reply = self._recorder.record_failure(self.client, command, problem)
        nanoseconds = perf_counter_ns() - call.started
        stat = self._usual_stats[command]  # `CallRecorder.record`, without the cost of a call
        stat.buckets[nanoseconds.bit_length()] += 1
        stat.nanoseconds += nanoseconds
        if reply is None:
            stat.nulls += 1
        if nanoseconds > self._slowlog.threshold:
            self._recorder.list_slow(self.client, command, args, nanoseconds)
        return reply

    def execute_waiting(self, args: Args) -> Reply:
        """Execute one request, and wait for whatever it has to wait for. Return its reply."""
        reply = self.execute(args)
        return self.execute_deferred() if reply is DEFERRED else reply

    def execute_batch(self, batch: RequestBatch) -> list[Reply] | None:
        """Execute alike requests with nothing in between, and return their replies.

        Each counts with the average duration. Returns None, having executed nothing, if they must be executed one by
        one, because more than the keyspace is concerned: a transaction, MONITOR, another kind of command.
        """
        command = self._commands.get(batch.name)
        if (
            command is None
            or not command.min_args <= 1 + len(batch.columns) <= command.max_batch_args
            or self._inspection.one_by_one
            or self.transaction is not None
        ):
            return None
        try:
            outcomes = self._database.execute_batch(command, batch.columns, self._call)
        except CommandError:  # a slow script has the lock, so each request is refused
            return None
        if outcomes is None:
            return None
        if self._inspection.needed:
            self.context.publish_changes()
        count = batch.count
        nanoseconds = (perf_counter_ns() - self._call.started) // count
        self._call.command = command
        stat = self._usual_stats[command]
        stat.buckets[nanoseconds.bit_length()] += count
        stat.nanoseconds += nanoseconds * count
        if nanoseconds > self._slowlog.threshold:
            for args in batch:
                self._recorder.list_slow(self.client, command, args, nanoseconds)
        kinds = set(map(type, outcomes))
        if NoneType in kinds:
            stat.nulls += outcomes.count(None)
        # A look at each type, in C, takes a third of the time of a look at each outcome.
        if kinds <= _USUAL_REPLIES or not any(issubclass(kind, Exception) for kind in kinds):
            return cast("list[Reply]", outcomes)
        failed = partial(self._recorder.record_failure, self.client, command)
        replies = [failed(each) if isinstance(each, Exception) else each for each in outcomes]
        outcomes.clear()  # see `server.session.exec`
        return replies

    def try_execute(self, args: Args) -> Reply:
        """Execute one request if that neither waits for I/O nor takes long. Otherwise return `DEFERRED`.

        A deferred request is accepted and has had no effect. The next call must be `execute_deferred`.
        """
        return self._execute_unusual(self._commands.get(args[0]), args, may_defer=True)

    def execute_deferred(self) -> Reply:
        """Execute the request whose reply was `DEFERRED`. Another thread may call this."""
        assert self._deferred is not None, "a request was deferred"
        (command, args), self._deferred = self._deferred, None
        self._pause.wait(self.client, write=self._writes(command))
        if self.client.is_killed:
            self.closing = True
            return self._refuse(RejectedCommand(command, CLIENT_KILLED))
        return self._execute_accepted(command, args, may_defer=False)

    def _execute_unusual(self, command: Command | None, args: Args, may_defer: bool) -> Reply:
        """Execute any request: refused, monitored, queued, long, or for the session itself, too."""
        if command is None or not command.min_args <= len(args) <= command.max_args:
            try:
                command = self._resolve(args)
            except CommandError as problem:
                error = self._refuse(problem)
                if isinstance(problem, ArityError) and _ends_transaction(problem.command):
                    return self._abort_transaction(problem.command, args, error)
                return error
        if self._inspection.needed and self.context.scripts.is_busy and Flag.ALLOW_BUSY not in command.flags:
            error = self._refuse(RejectedCommand(command, SCRIPT_BUSY))
            return self._abort_transaction(command, args, error) if _ends_transaction(command) else error
        if self._inspection.needed and self._pause.concerns(write=self._writes(command)):
            self._deferred = command, args  # also in a thread that may wait, so that the replies before it are sent
            return DEFERRED
        return self._execute_accepted(command, args, may_defer)

    def _writes(self, command: Command) -> bool:
        """Return whether a command may change the keyspace, by itself or by the transaction that it executes."""
        transaction = self.transaction
        return command.writes or (_ends_transaction(command) and transaction is not None and transaction.writes)

    def _execute_accepted(self, command: Command, args: Args, may_defer: bool) -> Reply:
        """Execute or queue a request that need not wait for the end of a pause."""
        transaction = self.transaction
        if transaction is not None and command.is_queued:
            return self._queue(transaction, command, args)
        self._call.command = command
        is_long = transaction is not None and transaction.may_take_long
        if may_defer and (is_long or self._database.would_block(command, args) or self._is_long_control(command, args)):
            reply = self._database.try_execute(command, args, self._call) if command.targets_keyspace else WOULD_BLOCK
            if reply is WOULD_BLOCK:
                self._deferred = command, args
                return DEFERRED
            self._recorder.record(self.client, command, args, reply, perf_counter_ns() - self._call.started)
            return reply
        return self._run(command, args)

    def _resolve(self, args: Args) -> Command:
        """Return the command that a request runs. Raises `CommandError` if it may not."""
        command = self.context.commands.resolve(args)
        # After the checks of the name and the arity, as in Redis (`processCommand`).
        if not self.authenticated and Flag.NO_AUTH not in command.flags and self.must_authenticate():
            raise RejectedCommand(command, NOT_AUTHENTICATED)
        if self.is_restricted and Flag.WHILE_SUBSCRIBED not in command.flags:
            raise RejectedCommand(command, not_while_subscribed(command.name))
        return command

    def refuse(self, problem: ProtocolError) -> ErrorReply:
        """Return the reply to a request that could not be read."""
        text = problem.error.text.decode(errors="replace")
        if problem.close_connection:
            self.closing = True
            _closed.log(self.client.id, self.client.address, text)
        else:
            logger.debug("client %d: %s", self.client.id, text)
        return self._refuse(CommandError(problem.error))

    def close(self) -> None:
        """Discard the transaction, end the watch, the monitoring and the subscriptions. May be called twice."""
        self.closing = True
        self.discard_transaction()
        self.watched.clear()
        self.close_pushes()
        self._call.session = None  # a reference cycle would keep the session until the garbage collector runs

    def _run(self, command: Command, args: Args) -> Reply:
        """Run a command that was accepted, and count it."""
        call = self._call
        try:
            if command.targets_keyspace:
                database = self._database
                execute = database.execute if command.is_single_step else database.execute_in_stages
                reply = execute(self.observed(command) if self._inspection.needed else command, args, call)
            else:
                call.started = perf_counter_ns()
                reply = self.run_control(command, args)
        except Exception as problem:
            reply = self._recorder.record_failure(self.client, command, problem)
        self._recorder.record(self.client, command, args, reply, perf_counter_ns() - call.started)
        if self._inspection.needed:
            self.context.publish_changes()
            self._end_caching(command)
        return reply

    def observed(self, command: Command) -> Command:
        """Return a command that does the same, and calls the features that observe it while it changes the keyspace.

        Of one that runs other commands, only those are observed.
        """
        if command.needs_session:
            return command
        named = self.context.key_events.naming(command)
        tracker = self.client.tracker
        return named if tracker is None else self.context.tracking.observing(tracker, named)

    def run_control(self, command: Command, args: Args) -> Reply:
        """Run a control command on this session, or in the engine that forwards it. Raises what it raises."""
        if command.name in self._engine.forwards:
            return self._database.execute(command, args, self._call)
        return command.run(self, *args[1:])

    def _is_long_control(self, command: Command, args: Args) -> bool:
        """Return whether a control command could delay other connections."""
        return command.may_take_long is not None and command.may_take_long(self, *args[1:])

    def _refuse(self, problem: CommandError) -> ErrorReply:
        """Refuse a request before it is executed or queued. An open transaction becomes dirty."""
        self.client.touch()
        self._recorder.record_refusal(self.client, problem)
        if self.transaction is not None:
            self.transaction.dirty = True
        self._end_caching(None)
        return problem.reply

    # ---------------------------------------------------------------- transactions

    def begin_transaction(self) -> None:
        """Queue the commands that follow."""
        self.transaction = Transaction()
        self.client.multi_commands = 0
        self.client.multi_bytes = 0

    def discard_transaction(self) -> None:
        """Discard the queued commands, if any."""
        self.transaction = None
        self.client.multi_commands = -1
        self.client.multi_bytes = 0

    def _abort_transaction(self, command: Command, args: Args, error: ErrorReply) -> ErrorReply:
        """Discard the transaction of an EXEC that was refused. As in Redis, MONITOR shows it."""
        self.discard_transaction()
        self.watched.clear()
        self._recorder.show(self.client, command, args)
        return exec_refused(error)

    def _queue(self, transaction: Transaction, command: Command, args: Args) -> Reply:
        if command.is_refused_in_multi:
            return self._refuse(CommandError(NO_MULTI_HERE))
        try:
            self._engine.check_memory()
            may_take_long = self._database.may_block(command, args) or self._is_long_control(command, args)
            transaction.add(command, args, self.context.limits, may_take_long=may_take_long)
        except CommandError as problem:
            return self._refuse(problem)
        self.client.touch()
        self.client.multi_commands = len(transaction.queue)
        self.client.multi_bytes = transaction.size
        return QUEUED

    # ---------------------------------------------------------------- authentication

    def authenticate(self, user: bytes, password: bytes) -> None:
        """Let the client execute all commands. Raises `CommandError` for a wrong password, which changes nothing."""
        if not self.context.auth.accepts(user, password, self.client.address):
            raise CommandError(WRONG_PASSWORD)
        self._set_authenticated(True)

    def must_authenticate(self) -> bool:
        """Return whether the client may send only commands with the flag `NO_AUTH`."""
        # Asked again, because CONFIG SET may have removed the password since the session began.
        if not self.authenticated and not self.context.auth.required:
            self._set_authenticated(True)
        return not self.authenticated

    def _set_authenticated(self, authenticated: bool) -> None:
        if self.authenticated and not authenticated:  # RESET gives a client that has not authenticated no more time
            self.unauthenticated_since = perf_counter_ns()
        self.authenticated = authenticated
        self._update_commands()
        if self.stream is not None:
            self.stream.set_authenticated(authenticated)

    def _update_commands(self) -> None:
        """Show no command to a client that may not send all of them: one that has not authenticated, or is restricted.

        Then every request goes through `_resolve`, which checks the flags. So `execute` and `execute_batch` need no
        check of their own.
        """
        is_free = self.authenticated and not self.is_restricted
        self._commands = self.context.commands.by_common_case if is_free else _NO_COMMANDS

    # ---------------------------------------------------------------- state of the connection

    def select(self, index: int) -> None:
        """Execute the commands that follow on a database. Raises `CommandError` if there is none of this number."""
        self._database = self._engine.database(index)
        self.client.database = index

    def set_protocol_version(self, version: int) -> None:
        """Reply to RESP requests in version 2 or 3 from now on."""
        self.context.tracking.set_protocol_version(self.client, version)
        if self.stream is not None:
            self.stream.set_protocol_version(version)
        self._update_restriction()

    def reset(self) -> None:
        """Return to the state of a new connection, as RESET does."""
        self.discard_transaction()
        self.watched.clear()
        self.close_pushes()
        self.set_reply_mode(ReplyMode.ON)
        self.set_protocol_version(2)
        self.select(0)
        self.client.name = b""
        self._set_authenticated(not self.context.auth.required)
        if self.client.transport is not None:
            self.client.transport.apply_timeouts()
        self.client.call.no_touch = False

    def set_reply_mode(self, mode: ReplyMode) -> None:
        """Set which replies are sent from now on."""
        self.reply_mode = mode
        self.alters_output = mode is not ReplyMode.ON or self.pushes is not None

    # ---------------------------------------------------------------- pushes: MONITOR, publish/subscribe, tracking

    def open_pushes(self, error: ErrorReply) -> Pushes:
        """Return what pushes to this client, which is made when it is first asked for, because most clients never do.

        Raises `CommandError` with this error if its connection cannot be pushed to.
        """
        if self.pushes is None:
            stream, transport = self.stream, self.client.transport
            queue = None if stream is None or transport is None else transport.enable_push()
            if stream is None or queue is None:
                raise CommandError(error)
            self.pushes = Pushes(queue, stream, self.client, self.context, self._update_restriction)
            self.alters_output = True
        return self.pushes

    def close_pushes(self) -> None:
        """End the monitoring, all subscriptions and the tracking. What has not been sent yet is discarded."""
        if self.client.push_receiver is not None:
            self.client.push_receiver.queue.take()
        if self.pushes is not None:
            self.pushes.close()
            self.pushes = None
            self.alters_output = self.reply_mode is not ReplyMode.ON
            self._update_restriction()

    def _update_restriction(self) -> None:
        """Restrict the client if messages look like replies to it."""
        self.is_restricted = self.pushes is not None and self.pushes.look_like_replies
        self._update_commands()

    def _end_caching(self, command: Command | None) -> None:
        """End the effect of CLIENT CACHING after a request. In a transaction it lasts until EXEC."""
        tracker = self.client.tracker
        if tracker is not None and self.transaction is None:
            tracker.end_caching(command)


def _ends_transaction(command: Command) -> bool:
    """Return whether a command is EXEC."""
    return Flag.ENDS_TRANSACTION in command.flags
