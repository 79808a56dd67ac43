"""MULTI, EXEC and WATCH on a backing Redis.

A session's queue stays in the session until EXEC. Then MULTI is sent, and after its reply the commands and EXEC in one
write on the same connection. The backing server runs all of them or none.

A session that watches keys holds a connection of its own from its first WATCH until EXEC or the end of the watch.
Between its requests the pool may reclaim that connection for another session that wants to watch keys. If the
connection is lost in this or another way, the keys may have changed unnoticed, so the watch counts as dirty.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from common.errors import CommandError, exec_aborted_by
from common.replies import ErrorReply, Reply
from server.engines.base import QueuedCommand
from server.engines.redis.backend import Backend
from server.engines.redis.connection import BackendConnection, Requests, with_asking
from server.engines.redis.node import Node
from server.engines.redis.pool import ConnectionPool
from server.engines.redis.replies import (
    find_redirect,
    is_upstream_failure,
    raise_for_error,
    to_command_error,
    unexpected_reply,
)


class BackendWatch:
    """The keys that one session watches, and the connection on which the backing server watches them.

    Used by the thread of its session only. The pool of the connection may reclaim it between two calls.
    """

    __slots__ = ("_connection", "_pool", "asking", "keys")

    def __init__(self) -> None:
        self.keys: set[bytes] = set()
        self.asking = False
        """Whether the server that watches was importing the keys' slot."""

        self._connection: BackendConnection | None = None
        self._pool: ConnectionPool | None = None

    @contextmanager
    def open(self, pool: ConnectionPool) -> Iterator[BackendConnection]:
        """Use a connection of a pool. Afterwards it is released, unless it is held."""
        connection = pool.acquire()
        self._pool = pool
        with self._released_unless_held(connection, pool):
            yield connection

    @contextmanager
    def use(self) -> Iterator[BackendConnection | None]:
        """Use the connection that is held, or None if it was lost, so that the watch is dirty.

        Afterwards it is released, unless it is held again.
        """
        connection, self._connection = self._connection, None
        if connection is None or self._pool is None or not self._pool.take_back(connection):
            yield None
            return
        with self._released_unless_held(connection, self._pool):
            if connection.is_usable():
                yield connection
            else:  # never connected again: the watch has ended with the connection, so changes may have been missed
                connection.disconnect()
                yield None

    def hold(self, connection: BackendConnection) -> None:
        """Keep a connection on which keys are watched, until the next `use`. The pool may reclaim it before that."""
        assert self._pool is not None
        self._connection = connection
        self._pool.make_reclaimable(connection)

    @contextmanager
    def _released_unless_held(self, connection: BackendConnection, pool: ConnectionPool) -> Iterator[None]:
        try:
            yield
        finally:
            if self._connection is None:
                pool.release(connection)


class Transactions:
    """Run the transactions of all sessions. Has no state of its own, so any thread may call it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def run(self, queue: Sequence[QueuedCommand], watch: BackendWatch) -> list[Reply] | None:
        """Run the commands as one step and return their replies, errors included, or None if the watch is dirty.

        Raises `CommandError` if all of them were refused, or if it is unknown whether they ran. Ends the watch.
        """
        commands = [args for _, args in queue]
        keys = [key for command, args in queue for key in command.keys.of(args)]
        try:
            return self._run_watched(watch, keys, commands) if watch.keys else self._run(keys, commands)
        finally:
            self.end(watch)  # whatever happened: EXEC ends every watch, as in Redis

    def _run(self, keys: Sequence[bytes], commands: Requests) -> list[Reply] | None:
        """Run a transaction on the server that has its keys."""

        def attempt(node: Node, asking: bool) -> list[Reply]:
            return node.run_transaction(commands, asking=asking)

        return result_of_exec(self._backend.route(keys, attempt))

    def _run_watched(self, watch: BackendWatch, keys: Sequence[bytes], commands: Requests) -> list[Reply] | None:
        """Run a transaction on the connection that watches, if it is still open."""
        # The watched keys too: the server that watches has to be the one that runs the transaction.
        self._backend.check_keys([*watch.keys, *keys])
        with watch.use() as connection:
            if connection is None:
                return None
            # Ends the watch, also if the server refuses the transaction, so other sessions can use the connection.
            replies = connection.run_transaction(commands, asking=watch.asking)
        # After a redirection, the server that watched has not seen all changes of the keys.
        return result_of_exec(replies) if find_redirect(replies) is None else None

    def watch(self, watch: BackendWatch, keys: Sequence[bytes]) -> None:
        """Mark the watch dirty if one of these keys changes from now on. Raises `CommandError`.

        After an error, keys that were watched before are still watched, if their connection was not lost.
        """
        if watch.keys:
            self._watch_more(watch, keys)
        else:
            self._watch_first(watch, keys)
        watch.keys.update(keys)

    def _watch_first(self, watch: BackendWatch, keys: Sequence[bytes]) -> None:
        def attempt(node: Node, asking: bool) -> list[Reply]:
            with watch.open(node.watches) as connection:
                reply = connection.send_all(with_asking([[b"WATCH", *keys]], asking))[-1]
                # A session without watched keys must not hold one of the few connections.
                if not isinstance(reply, ErrorReply):
                    watch.asking = asking
                    watch.hold(connection)
            return [reply]

        raise_for_error(self._backend.route(keys, attempt)[0])

    def _watch_more(self, watch: BackendWatch, keys: Sequence[bytes]) -> None:
        self._backend.check_keys([*watch.keys, *keys])
        with watch.use() as connection:
            if connection is None:
                return
            reply = connection.send_all(with_asking([[b"WATCH", *keys]], watch.asking))[-1]
            if find_redirect([reply]) is not None:  # the keys that are watched already have moved too, or are moving
                connection.disconnect()  # which makes the watch dirty
                return
            watch.hold(connection)
        raise_for_error(reply)

    def end(self, watch: BackendWatch) -> None:
        """End the watch by closing its connection, so that this never waits for the server."""
        with watch.use() as connection:
            if connection is not None:
                # Which ends the watch. UNWATCH would wait, and HTTP ends sessions on its event loop.
                connection.disconnect()
        watch.keys.clear()


def result_of_exec(replies: Sequence[Reply]) -> list[Reply] | None:
    """Return the reply to EXEC, the last of these. The first is that to MULTI.

    Raises `CommandError` if the transaction was refused as a whole, with the error of the command that caused it.
    """
    *queued, result = replies
    if isinstance(result, ErrorReply):
        # EXEC's own error says only that there were others before.
        cause = next((each for each in queued if isinstance(each, ErrorReply)), None)
        if cause is None:
            raise to_command_error(result)
        problem = to_command_error(cause)
        # A server that serves no client is reported as such, so that it is counted and the slot table is loaded again.
        raise problem if is_upstream_failure(problem) else CommandError(exec_aborted_by(cause))
    if result is not None and (not isinstance(result, list) or len(result) != len(queued) - 1):  # without MULTI's
        raise unexpected_reply(result)
    return result
