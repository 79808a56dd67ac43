"""MULTI, EXEC and WATCH on a backing Redis.

A session's queue stays in the session until EXEC. Then MULTI, the commands and EXEC are sent in one write on one
connection, and the backing server runs all of them or none. A session that watches keys holds a connection of its own
from its first WATCH until EXEC or the end of the watch. If that connection is lost, the keys may have changed
unnoticed, so the watch counts as dirty.
"""

from __future__ import annotations

from collections.abc import Sequence

from common.codec import Args
from common.errors import TOO_MANY_REDIRECTS, CommandError, backend_unavailable, exec_aborted_by
from common.replies import ErrorReply, Reply
from server.engines.base import QueuedCommand
from server.engines.redis.backend import Backend
from server.engines.redis.connection import BackendConnection
from server.engines.redis.node import Node
from server.engines.redis.replies import is_upstream_failure, raise_for_error, to_command_error, unexpected_reply

MAX_REDIRECTS = 5
"""How often a request follows MOVED in a cluster. A request that was redirected has not run."""


class BackendWatch:
    """The keys that one session watches, and the connection on which the backing server watches them.

    ``node`` and ``connection`` are both None or both set. Used by the thread of its session only.
    """

    __slots__ = ("connection", "keys", "node")

    def __init__(self) -> None:
        self.keys: set[bytes] = set()
        self.node: Node | None = None
        self.connection: BackendConnection | None = None


class Transactions:
    """Run the transactions of all sessions. Has no state of its own, so any thread may call it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def run(self, queue: Sequence[QueuedCommand], watch: BackendWatch) -> list[Reply] | None:
        """Run the commands as one step and return their replies, errors included, or None if the watch is dirty.

        Raises `CommandError` if all of them were refused, or if it is unknown whether they ran. Ends the watch.
        """
        requests = [[b"MULTI"], *(args for _, args in queue), [b"EXEC"]]
        # The watched keys too: the node that watches has to be the one that runs the transaction.
        keys = [*watch.keys, *(key for command, args in queue for key in command.keys.of(args))]
        try:
            return self._run_watched(watch, keys, requests) if watch.connection else self._run(keys, requests)
        finally:
            self.end(watch)  # whatever happened: EXEC ends every watch, as in Redis

    def _run(self, keys: Sequence[bytes], requests: Sequence[Args]) -> list[Reply] | None:
        """Run a transaction on the server that has its keys, and follow them if they have moved."""
        for _ in range(MAX_REDIRECTS + 1):
            node = self._backend.node_for_keys(keys)
            replies = node.send_all(requests, writes=True)
            moved = find_moved(replies)
            if moved is None:
                return result_of_exec(replies)
            # The node refused to queue a command, so EXEC was refused too (EXECABORT). Nothing ran, so send all again.
            self._backend.on_moved(moved, node)
        raise backend_unavailable(TOO_MANY_REDIRECTS)

    def _run_watched(self, watch: BackendWatch, keys: Sequence[bytes], requests: Sequence[Args]) -> list[Reply] | None:
        """Run a transaction on the connection that watches, if it is still open."""
        node = self._backend.node_for_keys(keys)  # raises if no single server can watch and change these keys
        assert watch.connection is not None
        # Never connected again here: the watch of the old connection has ended, so changes may have been missed.
        if not watch.connection.is_usable():
            return None
        replies = watch.connection.send_all(requests, writes=True)
        # EXEC ends the watch, also if it refuses the transaction (EXECABORT), so other sessions can use the connection.
        self._release(watch)
        moved = find_moved(replies)
        if moved is not None:  # the node that watched did not see what happened after the move
            self._backend.on_moved(moved, node)
            return None
        return result_of_exec(replies)

    def watch(self, watch: BackendWatch, keys: Sequence[bytes]) -> None:
        """Mark the watch dirty if one of these keys changes from now on. Raises `CommandError`."""
        try:
            self._watch(watch, [*watch.keys, *keys])
        except CommandError:
            # A session without watched keys must not hold one of the few connections. With earlier keys the watch goes
            # on. If its connection was lost, EXEC notices that.
            if not watch.keys:
                self.end(watch)
            raise
        watch.keys.update(keys)

    def _watch(self, watch: BackendWatch, keys: Sequence[bytes]) -> None:
        for _ in range(MAX_REDIRECTS + 1):
            node = self._backend.node_for_keys(keys)  # raises if the keys do not have a common slot
            if watch.connection is None:
                watch.connection, watch.node = node.watches.acquire(), node
            # `keys` has the earlier ones for the check of the slot. To watch them again has no effect in Redis.
            reply = watch.connection.send_all([[b"WATCH", *keys]])[0]
            moved = find_moved([reply])
            if moved is None:
                raise_for_error(reply)
                return
            self._backend.on_moved(moved, node)
            if watch.keys:  # keys that were watched already have moved, which makes the watch dirty
                watch.connection.disconnect()  # which makes EXEC return None
                return
            self.end(watch)  # the next turn takes a connection to the other node
        raise backend_unavailable(TOO_MANY_REDIRECTS)

    def end(self, watch: BackendWatch) -> None:
        """End the watch by closing its connection, so that this never waits for the server."""
        if watch.connection is not None:
            # Redis ends the watch with the connection. UNWATCH would wait, and HTTP ends sessions on its event loop.
            watch.connection.disconnect()
            self._release(watch)
        watch.keys.clear()

    @staticmethod
    def _release(watch: BackendWatch) -> None:
        assert watch.node is not None
        assert watch.connection is not None
        watch.node.watches.release(watch.connection)
        watch.connection = watch.node = None


def find_moved(replies: Sequence[Reply]) -> ErrorReply | None:
    """Return the first MOVED error, with which a cluster's node refuses keys that another node has."""
    return next((reply for reply in replies if isinstance(reply, ErrorReply) and reply.code == b"MOVED"), None)


def result_of_exec(replies: Sequence[Reply]) -> list[Reply] | None:
    """Return the reply to EXEC, the last of these.

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
