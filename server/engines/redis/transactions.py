"""MULTI, EXEC and WATCH on a backing Redis.

A session's queue stays in the session until EXEC. Then MULTI, the commands and EXEC go out in one write on one
connection, and the backing server runs all or nothing. A session that watches keys has a connection of its own from its
first WATCH until EXEC or the watch's end; where that connection breaks, the keys may have changed unseen, and the watch
counts as broken.
"""

from __future__ import annotations

from collections.abc import Sequence

from common.codec import Args
from common.errors import BackendUnavailable, CommandError, exec_aborted_by
from common.replies import ErrorReply, Reply
from server.engines.embedded import QueuedCommand
from server.engines.redis.backend import Backend
from server.engines.redis.connection import BackendConnection, Node, checked, explained, refusal

MOST_REDIRECTS = 5
"""How often a request is sent to where its keys have moved in a cluster. What was refused for that has not run."""


class BackendWatch:
    """What one session watches, and the connection on which the backing server knows of it."""

    __slots__ = ("connection", "keys", "node")

    def __init__(self) -> None:
        self.keys: set[bytes] = set()
        self.node: Node | None = None
        self.connection: BackendConnection | None = None


class Transactions:
    """Run the transactions of all sessions."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def run(self, calls: Sequence[QueuedCommand], watch: BackendWatch) -> list[Reply] | None:
        """Run the commands as one step and return their replies, refusals too; None if the watch is broken.

        Raises `CommandError` where all of them were refused, or nobody knows whether they ran. Ends the watch.
        """
        requests = [[b"MULTI"], *(args for _, args in calls), [b"EXEC"]]
        keys = [*watch.keys, *(key for command, args in calls for key in command.keys.of(args))]
        try:
            return self._run_watched(watch, keys, requests) if watch.connection else self._run(keys, requests)
        except BackendUnavailable:
            self._backend.note_failure()
            raise
        finally:
            self.end(watch)

    def _run(self, keys: Sequence[bytes], requests: Sequence[Args]) -> list[Reply] | None:
        """Run a transaction on the server that has its keys, wherever they have moved."""
        replies: list[Reply] = []
        for _ in range(MOST_REDIRECTS):
            replies = self._backend.node_of(keys).exchange(requests, writes=True)
            if not have_moved(replies):
                break
            self._backend.note_moved(keys)
        return outcome_of(replies)

    def _run_watched(self, watch: BackendWatch, keys: Sequence[bytes], requests: Sequence[Args]) -> list[Reply] | None:
        """Run a transaction on the connection that watches, if that is still there."""
        self._backend.node_of(keys)  # which refuses keys that no one server can watch and change in one step
        assert watch.connection is not None
        if not watch.connection.is_usable():
            return None
        with explained(writes=True):
            replies = watch.connection.exchange(requests)
        self._give_back(watch)
        if have_moved(replies):  # and who watched them there was not told of what came after
            self._backend.note_moved(keys)
            return None
        return outcome_of(replies)

    def watch(self, watch: BackendWatch, keys: Sequence[bytes]) -> None:
        """Let the watch break when one of these keys changes from now on. Raises `CommandError`."""
        try:
            self._watch(watch, [*watch.keys, *keys])
        except CommandError as problem:
            if isinstance(problem, BackendUnavailable):
                self._backend.note_failure()
            if not watch.keys:
                self.end(watch)
            raise
        watch.keys.update(keys)

    def _watch(self, watch: BackendWatch, keys: Sequence[bytes]) -> None:
        reply: Reply = None
        for _ in range(MOST_REDIRECTS):
            node = self._backend.node_of(keys)
            with explained(writes=False):
                if watch.connection is None:
                    watch.connection, watch.node = node.watches.get_connection(), node
                reply = watch.connection.exchange([[b"WATCH", *keys]])[0]
            if not have_moved([reply]):
                break
            self._backend.note_moved(keys)
            if watch.keys:  # what was watched has moved, which breaks the watch
                watch.connection.disconnect()
                return
            self.end(watch)
        checked(reply)

    def end(self, watch: BackendWatch) -> None:
        """End the watch by closing its connection, which waits for nobody."""
        if watch.connection is not None:
            watch.connection.disconnect()
            self._give_back(watch)
        watch.keys.clear()

    def _give_back(self, watch: BackendWatch) -> None:
        assert watch.node is not None
        watch.node.watches.release(watch.connection)
        watch.connection = watch.node = None


def have_moved(replies: Sequence[Reply]) -> bool:
    """Tell whether a server of a cluster says that the keys are on another one."""
    return any(isinstance(reply, ErrorReply) and reply.text.startswith(b"MOVED ") for reply in replies)


def outcome_of(replies: Sequence[Reply]) -> list[Reply] | None:
    """Return what EXEC has answered, the last of these. Raises `CommandError` for a refusal of the whole, with why."""
    *queued, outcome = replies
    if isinstance(outcome, ErrorReply):
        why = next((each for each in queued if isinstance(each, ErrorReply)), None)
        problem = refusal(outcome if why is None else why)
        if why is not None and not isinstance(problem, BackendUnavailable):
            problem = CommandError(exec_aborted_by(why))
        raise problem
    assert outcome is None or isinstance(outcome, list)
    return outcome
