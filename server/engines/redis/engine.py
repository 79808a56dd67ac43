"""The engine that forwards to a backing Redis, and stores no key itself.

    session -> RedisEngine -> Backend: one server or a cluster -> Node -> pooled connection

A command is forwarded as it was sent, a transaction as a whole, so what is atomic there is atomic here. A cache is not
part of this engine but a layer in front of it (`server.engines.redis.cached_reads`).
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from time import perf_counter_ns
from typing import TypeAlias

from common.codec import Args
from common.errors import DATABASE_OUT_OF_RANGE, CommandError, needs_embedded_store, not_in_transaction
from common.limits import Limits
from common.replies import ErrorKind, ErrorReply, Lines, Reply
from server.engines.base import (
    WOULD_BLOCK,
    CallContext,
    DatabaseCounts,
    InfoSection,
    KeyCounts,
    Persistence,
    QueuedCommand,
    TransactionPart,
    WouldBlock,
)
from server.engines.redis.backend import Backend
from server.engines.redis.compact import compact
from server.engines.redis.node import Node
from server.engines.redis.replies import is_upstream_failure, raise_for_error, unexpected_reply
from server.engines.redis.time_limit import time_limit
from server.engines.redis.transactions import BackendWatch, Transactions
from server.keyspace.databases import DatabasesObserver
from server.registry import Command

KEY_COUNTS_TIMEOUT = 1.0
"""Maximum seconds that INFO and the metrics wait for the backing server's own figures.

Less than the limit of a request, because monitoring must go on while that server is down.
"""

BLOCKING_CONTROL_COMMANDS = frozenset({b"EXEC", b"INFO", b"WATCH"})
"""Control commands, which the session runs, that ask the backing server something."""

PUBLISHING = frozenset(
    {
        b"PUBLISH",
        b"SPUBLISH",
        b"PUBSUB|CHANNELS",
        b"PUBSUB|NUMPAT",
        b"PUBSUB|NUMSUB",
        b"PUBSUB|SHARDCHANNELS",
        b"PUBSUB|SHARDNUMSUB",
    }
)
"""Control commands that are forwarded: the backing server has all subscribers."""

SCRIPTING = frozenset({b"SCRIPT|KILL"})
"""A control command that is forwarded: the backing server runs the scripts."""

SUBSCRIBING = frozenset({b"SUBSCRIBE", b"UNSUBSCRIBE", b"PSUBSCRIBE", b"PUNSUBSCRIBE", b"SSUBSCRIBE", b"SUNSUBSCRIBE"})
"""Control commands that are refused: each subscriber would need a connection of its own to the backing server."""

TRACKING = frozenset({b"CLIENT|TRACKING"})
"""The same about keys that the client has read: the backing server would push to the connection that has read them."""

Handler: TypeAlias = Callable[[Command, Args], Reply]
"""Executes a command that is not simply forwarded."""

logger = logging.getLogger(__name__)


class RedisEngine:
    """Executes commands on a backing Redis. Each call returns or raises within ``timeout`` seconds.

    ``description`` is shown in INFO, and contains ``backend_url``. Safe to use from any thread.
    """

    waits_for_io = True
    forwards: Collection[bytes] = PUBLISHING | SUBSCRIBING | TRACKING | SCRIPTING
    persistence: Persistence | None = None  # the backing Redis has its own

    def __init__(self, backend: Backend, timeout: float, description: InfoSection) -> None:
        self._backend = backend
        self._transactions = Transactions(backend)
        self._timeout = timeout
        self._description = description
        self._handlers: dict[bytes, Handler] = {
            b"COMPACT": self._compact,
            b"FIND": _refuse,
            **dict.fromkeys(SUBSCRIBING | TRACKING, _refuse),
        }
        self._unavailable = 0
        self._timed_out = 0
        self._counters = threading.Lock()  # guards the two counters

    def database(self, index: int) -> RedisEngine:
        """Return this engine for database 0, which is that of the URL. Raises `CommandError` for any other one."""
        if index:
            raise CommandError(DATABASE_OUT_OF_RANGE)
        return self

    # ---------------------------------------------------------------- commands

    def execute(self, command: Command, args: Args, call: CallContext) -> Reply:
        """Execute one command. Raises `CommandError`, also if the backing server's reply is an error."""
        call.started = perf_counter_ns()  # so the wait for a connection counts as execution
        try:
            with time_limit(self._timeout):
                return self._handlers.get(command.name, self._backend.execute)(command, args)
        except CommandError as problem:
            self._on_failure(problem)
            raise

    def execute_batch(self, command: Command, columns: Sequence[Sequence[bytes]], call: CallContext) -> None:
        """Return None: each command waits for the backing server."""

    def execute_in_stages(self, command: Command, args: Args, call: CallContext) -> Reply:
        """Do the same: the backing server runs its commands in its own way."""
        return self.execute(command, args, call)

    def try_execute(self, command: Command, args: Args, call: CallContext) -> WouldBlock:
        """Return `WOULD_BLOCK`: every command waits for the backing server."""
        return WOULD_BLOCK

    def may_block(self, command: Command, args: Args) -> bool:
        """Return whether the command asks the backing server."""
        return command.targets_keyspace or command.name in self.forwards or command.name in BLOCKING_CONTROL_COMMANDS

    def would_block(self, command: Command, args: Args) -> bool:
        """Do the same."""
        return self.may_block(command, args)

    def _compact(self, command: Command, args: Args) -> Reply:
        # Lazy: the limit of `execute` covers the first page only, so the limit is passed on for the others.
        return compact(self._backend, self._timeout)

    def _on_failure(self, problem: CommandError) -> None:
        """Count the failure, and report it to the backend, if a server was down, too slow or served no client."""
        # Other errors, such as WRONGTYPE, are ordinary replies.
        if is_upstream_failure(problem):
            with self._counters:
                self._unavailable += 1
                self._timed_out += problem.reply.kind is ErrorKind.UPSTREAM_TIMEOUT
            self._backend.on_node_failure()

    # ---------------------------------------------------------------- transactions

    def execute_all(
        self, parts: Sequence[TransactionPart], watches: Mapping[int, BackendWatch], call: CallContext
    ) -> list[Reply | Exception] | None:
        """Execute the commands as one transaction of the backing server. Returns None if the watch is dirty.

        All of them are for database 0. A command that such a transaction cannot contain is refused: an exception takes
        the place of its reply. Raises `CommandError` if the transaction as a whole is refused, or if it is unknown
        whether it ran.
        """
        started = perf_counter_ns()
        queue = [each for _, part in parts for each in part]
        watch = watches.get(0) or self.new_watch()
        # A command that cannot be sent must not make the server refuse all of them. As with any command that fails in
        # EXEC, the others run.
        sent = [each for each in queue if self._allowed_in_multi(each[0])]
        # With nothing to send, an EXEC still finds out whether the watch is dirty.
        replies = self._run_transaction(sent, watch) if sent or watch.keys else []
        if replies is None:
            return None
        # How long each command took is not known, so each gets the same share.
        call.durations += [(perf_counter_ns() - started) // max(1, len(queue))] * len(queue)
        outcomes = map(_outcome, replies)  # an iterator: each command that was sent takes the next one
        return [
            next(outcomes) if self._allowed_in_multi(command) else CommandError(not_in_transaction(command.name))
            for command, _ in queue
        ]

    def _run_transaction(self, queue: Sequence[QueuedCommand], watch: BackendWatch) -> list[Reply] | None:
        try:
            with time_limit(self._timeout):
                return self._transactions.run(queue, watch)
        except CommandError as problem:
            self._on_failure(problem)
            raise

    def _allowed_in_multi(self, command: Command) -> bool:
        return command.name not in self._handlers and self._backend.allowed_in_multi(command)

    def new_watch(self) -> BackendWatch:
        """Return a watch without keys."""
        return BackendWatch()

    def watch(self, watch: BackendWatch, keys: Sequence[bytes]) -> None:
        """Add keys to a watch, which becomes dirty when one of them changes. Raises `CommandError`."""
        try:
            with time_limit(self._timeout):
                self._transactions.watch(watch, keys)
        except CommandError as problem:
            self._on_failure(problem)
            raise

    def unwatch(self, watch: BackendWatch) -> None:
        """End a watch. Raises nothing and does not wait for the backing server."""
        self._transactions.end(watch)

    def limit_waits(self, refuse: Callable[[], None]) -> None:
        """Do nothing: the backing server refuses requests while a script is slow."""

    # ---------------------------------------------------------------- figures

    def observe_keys(self, observer: DatabasesObserver, after_expiry: Callable[[], None]) -> None:
        """Do nothing: the backing server publishes the events of its keys."""

    def stop_observing_keys(self, observer: DatabasesObserver) -> None:
        """Do nothing: no observer is notified."""

    def key_counts(self) -> KeyCounts | None:
        """Count the backing server's keys, of every type. Returns None if it does not reply in time."""
        try:
            with time_limit(min(self._timeout, KEY_COUNTS_TIMEOUT)):
                counts = list(map(count_keys, self._backend.nodes()))
        except CommandError:  # not counted as a failure, because no client's command failed
            return None
        keys, expiring, expired, evicted = map(sum, zip(*counts, strict=True))
        return KeyCounts({0: DatabaseCounts(keys, expiring)}, expired, evicted)

    def info_sections(self) -> Mapping[str, InfoSection]:
        """Return the INFO section about the backing server."""
        with self._counters:
            failures = {"backend_unavailable": self._unavailable, "backend_timed_out": self._timed_out}
        return {"backend": self._description | failures}

    def reset_stats(self) -> None:
        """Reset the counters of failures."""
        with self._counters:
            self._unavailable = self._timed_out = 0

    # ---------------------------------------------------------------- life cycle

    def apply_limits(self, limits: Limits) -> None:
        """Do nothing: the backing server has limits of its own for its keys and values."""

    def limit_memory(self, limit: int, policy: str) -> None:
        """Do nothing: the backing server has a limit of its own, and the settings refuse one here."""

    def used_memory(self) -> None:
        """Return None: the keys are in the backing server."""

    def check_memory(self) -> None:
        """Do nothing: the backing server refuses the transaction when it gets it."""

    def start(self) -> None:
        """Check that the backing server replies. If it does not, log a warning and go on.

        May wait for ``timeout`` seconds. To go on lets both servers start in any order.
        """
        try:
            with time_limit(self._timeout):
                for node in self._backend.nodes():
                    node.execute([b"PING"])
        except CommandError as problem:
            text = problem.reply.text.decode(errors="replace")
            logger.warning("no reply from the backing server %s: %s", self._description["backend_url"], text)

    def stop(self) -> None:
        """Close every connection to the backing server."""
        self._backend.close()


def _outcome(reply: Reply) -> Reply | Exception:
    """Return the exception for an error, and any other reply as it is."""
    return CommandError(reply) if isinstance(reply, ErrorReply) else reply


def _refuse(command: Command, args: Args) -> Reply:
    raise CommandError(needs_embedded_store(command.name))


def count_keys(node: Node) -> tuple[int, int, int, int]:
    """Return the number of a server's keys, of those with an expiry, of those that have expired, and were evicted.

    Raises `CommandError`.
    """
    replies = node.send_all([[b"DBSIZE"], [b"INFO", b"keyspace"], [b"INFO", b"stats"]])
    keys, keyspace, stats = map(raise_for_error, replies)
    if not isinstance(keys, int):
        raise unexpected_reply(keys)
    # `db0:keys=2,expires=1,avg_ttl=0`. A database without keys has no line.
    database = _parse_info(keyspace).get(f"db{node.database}", "")
    expiring = re.search(r"expires=(\d+)", database)
    removed = (_parse_info(stats).get(name, "0") for name in ("expired_keys", "evicted_keys"))
    expired, evicted = (int(number) if number.isdecimal() else 0 for number in removed)
    return keys, int(expiring[1]) if expiring else 0, expired, evicted


def _parse_info(reply: Reply) -> dict[str, str]:
    """Parse a section of a server's INFO, which is a verbatim string in RESP3 and a bulk string in RESP2."""
    text = b"".join(reply.as_string()) if isinstance(reply, Lines) else reply if isinstance(reply, bytes) else b""
    return dict(line.decode(errors="replace").strip().split(":", 1) for line in text.splitlines() if b":" in line)
