"""The interface between the engine and its backing Redis, which is a single server or a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from common.codec import Args
from common.replies import ErrorReply, Reply
from server.engines.redis.node import Node
from server.registry import Command


class Backend(Protocol):
    """One server or a cluster. Every wait ends with the request's deadline; errors are raised as `CommandError`."""

    def execute(self, command: Command, args: Args) -> Reply:
        """Run one command and return its reply. Raises `CommandError`, also if the reply is an error.

        It is as atomic as on the server. Over several nodes of a cluster it is not.
        """
        ...

    def node_for_keys(self, keys: Sequence[bytes]) -> Node:
        """Return the server that can run a transaction on these keys. Raises `CommandError` if there is none."""
        ...

    def nodes(self) -> list[Node]:
        """Return every server that has keys of its own, so no replica. Raises `CommandError` if they are unknown."""
        ...

    def allowed_in_multi(self, command: Command) -> bool:
        """Return whether a transaction may contain the command."""
        ...

    def on_node_failure(self) -> None:
        """React to a server that was down or too slow. Raises nothing and does not wait."""
        ...

    def on_moved(self, moved: ErrorReply, sender: Node) -> None:
        """React to a MOVED error: later calls of `node_for_keys` return the node that it names."""
        ...

    def close(self) -> None:
        """Close every connection. Requests that wait for a reply fail at once."""
        ...
