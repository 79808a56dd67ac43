"""The interface between the engine and its backing Redis, which is a single server or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from common.codec import Args
from common.replies import Reply
from server.engines.redis.node import Node
from server.registry import Command

Attempt: TypeAlias = Callable[[Node, bool], list[Reply]]
"""Sends requests that a server executes or refuses as a whole, and returns their replies.

Its arguments are the server, and whether ASKING has to precede the requests (`connection.with_asking`).
"""


class Backend(Protocol):
    """One server or a cluster. Every wait ends with the request's deadline; errors are raised as `CommandError`."""

    def execute(self, command: Command, args: Args) -> Reply:
        """Run one command and return its reply. Raises `CommandError`, also if the reply is an error.

        It is as atomic as on the server. Over several nodes of a cluster it is not.
        """
        ...

    def check_keys(self, keys: Sequence[bytes]) -> None:
        """Raise `CommandError` if no single server can have all of these keys."""
        ...

    def route(self, keys: Sequence[bytes], attempt: Attempt) -> list[Reply]:
        """Return what ``attempt`` returns for the server that has these keys.

        If that is a redirection, ``attempt`` is called again. Raises `CommandError` if no single server can have all of
        these keys, and what ``attempt`` raises.
        """
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

    def close(self) -> None:
        """Close every connection. Requests that wait for a reply fail at once."""
        ...
