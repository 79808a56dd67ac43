"""MULTI, EXEC and WATCH on a backing Redis.

A session's queue stays in the session until EXEC. Then MULTI, the commands and EXEC go out in one write on one
connection, and the backing server runs all or nothing. A session that watches keys has a connection of its own from its
first WATCH until EXEC or the watch's end; where that connection breaks, the keys may have changed unseen, and the watch
counts as broken.
"""

from __future__ import annotations

from collections.abc import Sequence

from common.replies import Error, Reply
from common.requests import Words
from server.backend.backend import Backend
from server.backend.connection import BackendConnection, Node, checked, explained, refusal
from server.engine import Call
from server.errors import BackendUnavailable, CommandError, exec_aborted_by

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

    def run(self, calls: Sequence[Call], watch: BackendWatch) -> list[Reply] | None:
        """Run the commands as one step and return their replies, refusals too; None if the watch is broken.

        Raises `CommandError` where all of them were refused, or nobody knows whether they ran. Ends the watch.
        """
        requests = [[b"MULTI"], *(words for _, words in calls), [b"EXEC"]]
        keys = [*watch.keys, *(key for command, words in calls for key in command.keys.of(words))]
        try:
            if watch.connection is None:
                return outcome_of(self._exchange(keys, requests))
            self._backend.node_of(keys)  # which refuses keys that no one server can watch and change in one step
            if not watch.connection.is_usable():
                return None
            with explained(writes=True):
                replies = watch.connection.exchange(requests)
            self._give_back(watch)
            return None if self._have_moved(replies) else outcome_of(replies)
        finally:
            self.end(watch)

    def watch(self, watch: BackendWatch, keys: Sequence[bytes]) -> None:
        """Let the watch break when one of these keys changes from now on. Raises `CommandError`."""
        for _ in range(MOST_REDIRECTS):
            node = self._backend.node_of([*watch.keys, *keys])
            try:
                reply = self._watch_on(node, watch, keys)
            except BackendUnavailable:
                self._backend.note_failure()
                raise
            if watch.keys or not self._have_moved([reply]):
                break
            self.end(watch)
        try:
            checked(reply)
        except CommandError:
            if not watch.keys:
                self.end(watch)
            raise
        watch.keys.update(keys)

    def _watch_on(self, node: Node, watch: BackendWatch, keys: Sequence[bytes]) -> Reply:
        try:
            with explained(writes=False):
                if watch.connection is None:
                    watch.connection, watch.node = node.watches.get_connection(), node
                return watch.connection.exchange([[b"WATCH", *keys]])[0]
        except CommandError:
            if not watch.keys:
                self.end(watch)
            raise

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

    def _exchange(self, keys: Sequence[bytes], requests: Sequence[Words]) -> list[Reply]:
        """Send a transaction to the server that has its keys, wherever they have moved."""
        replies: list[Reply] = []
        for _ in range(MOST_REDIRECTS):
            node = self._backend.node_of(keys)
            try:
                replies = node.exchange(requests, writes=True)
            except BackendUnavailable:
                self._backend.note_failure()
                raise
            if not self._have_moved(replies):
                break
        return replies

    def _have_moved(self, replies: Sequence[Reply]) -> bool:
        """Tell whether the keys are on another server of the cluster, and let the backend know."""
        for reply in replies:
            if isinstance(reply, Error) and reply.text.startswith(b"MOVED "):
                self._backend.note_moved(reply)
                return True
        return False


def outcome_of(replies: Sequence[Reply]) -> list[Reply] | None:
    """Return what EXEC has answered, the last of these. Raises `CommandError` for a refusal of the whole, with why."""
    *queued, outcome = replies
    if isinstance(outcome, Error):
        why = next((each for each in queued if isinstance(each, Error)), None)
        problem = refusal(outcome if why is None else why)
        if why is not None and not isinstance(problem, BackendUnavailable):
            problem = CommandError(exec_aborted_by(why))
        raise problem
    assert outcome is None or isinstance(outcome, list)
    return outcome
