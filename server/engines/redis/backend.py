"""What the engine asks of a backing Redis, be it one server or a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from common.codec import Args
from common.replies import Reply
from server.engines.redis.connection import Node
from server.registry import Command


class Backend(Protocol):
    """One server or a cluster. What asks it waits as long as the request has left, and raises `CommandError`."""

    def ask(self, command: Command, args: Args) -> Reply:
        """Run one command and return its reply, which is no refusal."""
        ...

    def node_of(self, keys: Sequence[bytes]) -> Node:
        """Return the server that can run a transaction on these keys."""
        ...

    def nodes(self) -> list[Node]:
        """Return every server that has keys of its own."""
        ...

    def can_be_queued(self, command: Command) -> bool:
        """Tell whether the command may stand in a transaction."""
        ...

    def note_failure(self) -> None:
        """Hear that a server from ``node_of`` was not there. Raises nothing."""
        ...

    def note_moved(self, keys: Sequence[bytes]) -> None:
        """Hear that these keys are not on the server from ``node_of``, and find out where they are."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...
