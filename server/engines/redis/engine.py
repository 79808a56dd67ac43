"""The engine whose store is a backing Redis: it forwards what works on the store, and keeps no key itself.

    session -> RedisEngine -> cache (GET alone) -> Backend: one server or a cluster -> Node -> pooled connection

One step here is one step there: a command is forwarded as it is, a transaction as a whole. The lock of this file guards
what is counted and no data of users; it is never held while anything waits.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from time import perf_counter_ns
from typing import TypeAlias

from common.codec import Args
from common.errors import BackendTimedOut, BackendUnavailable, CommandError, not_in_transaction
from common.replies import ErrorReply, Lines, Reply
from server.clients.registry import Client
from server.clients.stats import Figures, Record, Records, Statistics, copy_of
from server.engines.embedded import KeyCounts, QueuedCommand, Run
from server.engines.redis.backend import Backend
from server.engines.redis.cache import ReadThroughCache
from server.engines.redis.connection import Node, checked
from server.engines.redis.dump import compact
from server.engines.redis.time_limit import within
from server.engines.redis.tracking import Tracking
from server.engines.redis.transactions import BackendWatch, Transactions
from server.registry import Command

COUNTING_LIMIT = 1.0
"""Seconds that INFO waits at most for the backing server's own figures."""

Way: TypeAlias = Callable[[Command, Args, Client], Reply]
"""How a command is run that is not just forwarded."""

logger = logging.getLogger(__name__)


class RedisEngine:
    """Run commands on a backing Redis. Each has its reply, or an error, within ``limit`` seconds."""

    waits = True

    def __init__(
        self,
        backend: Backend,
        limit: float,
        description: Figures,
        cache: ReadThroughCache | None = None,
        tracking: Tracking | None = None,
    ) -> None:
        self._backend = backend
        self._transactions = Transactions(backend)
        self._limit = limit
        self._description = description
        self._cache = cache
        self._peek = cache.peek if cache is not None else None
        self._tracking = tracking
        self.statistics = Statistics()
        self._records: Records = defaultdict(Record)
        self._unavailable = 0
        self._timed_out = 0
        self._counting = threading.Lock()
        self._acquire, self._release = self._counting.acquire, self._counting.release
        ways: dict[bytes, Way] = {b"COMPACT": self._compact}
        if cache is not None:
            ways[b"GET"] = self._get
        self._way_of = ways.get

    # ---------------------------------------------------------------- commands

    def execute(self, command: Command, args: Args, client: Client) -> Reply:
        """Run one command as one step. Raises what the command raises."""
        if command.name == b"GET" and (value := self._hit(command, args[1], client)) is not None:
            return value
        started = client.active = perf_counter_ns()
        problem: Exception | None = None
        try:
            return self._way_of(command.name, self._forward)(command, args, client)
        except Exception as raised:
            problem = raised
            raise
        finally:
            took = perf_counter_ns() - started
            self._count(command, took, problem)
            if took > self.statistics.slower_than:
                self.statistics.note_slow(args, took, client)

    def at_hand(self, command: Command, args: Args, client: Client) -> Reply:
        """Return a reply that the cache has, or None where the backing server would have to be asked."""
        return self._hit(command, args[1], client) if command.name == b"GET" else None

    def _hit(self, command: Command, key: bytes, client: Client) -> Reply:
        """Return and count what the cache has and the client may be told, or return None."""
        peek = self._peek
        if peek is None or not self._may_read_cache(client):
            return None
        started = client.active = perf_counter_ns()
        value = peek(key)
        if value is not None:  # counted here: on the shortest way every call costs
            self._acquire()
            try:
                took = perf_counter_ns() - started
                record = self._records[command]
                record.by_duration[took.bit_length()] += 1
                record.nanoseconds += took
            finally:
                self._release()
        return value

    def _ask(self, command: Command, args: Args) -> Reply:
        with within(self._limit):
            return self._backend.ask(command, args)

    def _forward(self, command: Command, args: Args, _: Client) -> Reply:
        try:
            return self._ask(command, args)
        finally:
            if command.writes:
                self._drop([(command, args)])

    def _get(self, command: Command, args: Args, client: Client) -> Reply:
        assert self._cache is not None
        if not self._may_read_cache(client):
            return self._ask(command, args)
        return self._cache.get(args[1], lambda _: self._ask(command, args))

    def _may_read_cache(self, client: Client) -> bool:
        """Tell whether the cache will do. It will not for a client that watches keys: it is to change what it reads."""
        return not client.watching and (self._tracking is None or self._tracking.is_live)

    def _compact(self, command: Command, args: Args, _: Client) -> Reply:
        with within(self._limit):
            return compact(self._backend.nodes(), self._limit)

    def _drop(self, calls: Iterable[QueuedCommand]) -> None:
        """Let the cache forget what these calls may have changed, before anybody hears of their outcome."""
        if self._cache is None:
            return
        for command, args in calls:
            if command.writes and command.keys.first:
                self._cache.drop(command.keys.of(args))
            elif command.writes:  # FLUSHALL, FLUSHDB
                self._cache.clear()

    # ---------------------------------------------------------------- transactions

    def execute_all(
        self, calls: Sequence[QueuedCommand], watch: BackendWatch, client: Client, run: Run
    ) -> list[Reply | Exception] | None:
        """Run the commands as one step, or none of them, and return None, if the watch is broken.

        ``run`` runs those that leave the store alone behind the others, in their turn among themselves. One that a
        transaction of the backing server can't hold is refused in its place.
        Raises `CommandError` where the transaction as a whole is refused, or nobody knows whether it ran.
        """
        sent = [call for call in calls if self._is_sent(call[0])]
        replies = self._run_transaction(sent, watch) if sent or watch.keys else []
        if replies is None:
            return None
        theirs = iter(replies)
        return [self._outcome(call, theirs, run) for call in calls]

    def _run_transaction(self, sent: Sequence[QueuedCommand], watch: BackendWatch) -> list[Reply | CommandError] | None:
        started = perf_counter_ns()
        outcomes: list[Reply | CommandError] = []
        try:
            with within(self._limit):
                replies = self._transactions.run(sent, watch)
            if replies is None:
                return None
            outcomes = [CommandError(each) if isinstance(each, ErrorReply) else each for each in replies]
        except CommandError as problem:
            outcomes = [problem] * len(sent)
            raise
        finally:
            self._drop(sent)
            share = (perf_counter_ns() - started) // max(1, len(sent))
            for (command, _), outcome in zip(sent, outcomes, strict=False):  # none where the watch was broken
                self._count(command, share, outcome if isinstance(outcome, CommandError) else None)
        return outcomes

    def _is_sent(self, command: Command) -> bool:
        return command.on_store and command.name != b"COMPACT" and self._backend.can_be_queued(command)

    def _outcome(self, call: QueuedCommand, theirs: Iterator[Reply | CommandError], run: Run) -> Reply | Exception:
        """Return one command's outcome: the next of the backing server's, if it was sent there."""
        command, args = call
        if self._is_sent(command):
            return next(theirs)
        if command.on_store:
            return CommandError(not_in_transaction(command.name))
        try:
            return run(command, args)
        except Exception as problem:
            return problem

    def new_watch(self) -> BackendWatch:
        """Make a watch that watches nothing yet."""
        return BackendWatch()

    def watch(self, watch: BackendWatch, keys: Sequence[bytes]) -> None:
        """Break the watch when one of these keys changes from now on. Raises `CommandError`."""
        with within(self._limit):
            self._transactions.watch(watch, keys)

    def unwatch(self, watch: BackendWatch) -> None:
        """End the watch. Raises nothing, and waits for no other machine."""
        self._transactions.end(watch)

    # ---------------------------------------------------------------- figures

    def _count(self, command: Command, nanoseconds: int, problem: Exception | None) -> None:
        self._acquire()  # a with statement takes longer, and every hit of the cache comes this way
        try:
            record = self._records[command]
            record.by_duration[nanoseconds.bit_length()] += 1
            record.nanoseconds += nanoseconds
            if problem is not None:
                record.failed += 1
                self._unavailable += isinstance(problem, BackendUnavailable)
                self._timed_out += isinstance(problem, BackendTimedOut)
        finally:
            self._release()

    def records(self) -> Records:
        """Return what was counted of every command, those that sessions run by themselves included.

        Time is what the backing server's answer took, with the waits for a connection and for the network.
        """
        with self._counting:
            records = copy_of(self._records)
        self.statistics.add_to(records)
        return records

    def reset_records(self) -> None:
        """Begin to count anew."""
        with self._counting:
            self._records.clear()
            self._unavailable = self._timed_out = 0
        self.statistics.reset()

    def key_counts(self) -> KeyCounts | None:
        """Count the backing server's keys, of whatever type; return None while it can't be asked."""
        try:
            with within(min(self._limit, COUNTING_LIMIT)):
                counts = list(map(count_keys, self._backend.nodes()))
        except CommandError:
            return None
        return KeyCounts(*map(sum, zip(*counts, strict=True)))

    def figures(self) -> Mapping[str, Figures]:
        """Return what INFO tells of the backend and, if there is one, of the cache."""
        with self._counting:
            failures: Figures = {"backend_unavailable": self._unavailable, "backend_timed_out": self._timed_out}
        figures = {"backend": self._description | failures}
        if self._cache is not None:
            figures["cache"] = {f"cache_{name}": value for name, value in asdict(self._cache.figures()).items()}
        if self._tracking is not None:
            figures["cache"]["cache_tracking_live"] = int(self._tracking.is_live)
        return figures

    # ---------------------------------------------------------------- start and stop

    def start(self) -> None:
        """Ask the backing server for a sign of life; without one, say so in the log and go on."""
        if self._tracking is not None:
            self._tracking.start()
        try:
            with within(self._limit):
                for node in self._backend.nodes():
                    node.ask([b"PING"])
        except CommandError as problem:
            logger.warning("%s: %s", self._description["backend_url"], problem.reply.text.decode(errors="replace"))

    def stop(self) -> None:
        """Close every connection to the backing server."""
        if self._tracking is not None:
            self._tracking.stop()
        self._backend.close()


def count_keys(node: Node) -> tuple[int, int, int]:
    """Return how many keys a server has, how many of them will expire, and how many have. Raises `CommandError`."""
    keys, keyspace, stats = map(checked, node.exchange([[b"DBSIZE"], [b"INFO", b"keyspace"], [b"INFO", b"stats"]]))
    assert isinstance(keys, int)
    database = _info(keyspace).get(f"db{node.database}", "")
    expiring = re.search(r"expires=(\d+)", database)
    return keys, int(expiring[1]) if expiring else 0, int(_info(stats).get("expired_keys", 0))


def _info(reply: Reply) -> dict[str, str]:
    """Read a section of a server's INFO, which is a block in RESP3 and a value in RESP2."""
    lines = reply.lines if isinstance(reply, Lines) else reply.splitlines() if isinstance(reply, bytes) else ()
    return dict(line.decode(errors="replace").strip().split(":", 1) for line in lines if b":" in line)
