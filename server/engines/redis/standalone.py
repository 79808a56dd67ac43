"""A backing Redis that is a single server."""

from __future__ import annotations

from collections.abc import Sequence

from common.codec import Args
from common.replies import Reply
from server.engines.redis.backend import Attempt
from server.engines.redis.connection import BackendConnection, ConnectionSettings
from server.engines.redis.node import Node
from server.registry import Command


class StandaloneServer:
    """One server; see `server.engines.redis.backend.Backend`."""

    def __init__(self, settings: ConnectionSettings, max_connections: int) -> None:
        self._node = Node(settings, max_connections)

    def execute(self, command: Command, args: Args) -> Reply:
        """Run a command. Raises `CommandError`, also if the reply is an error."""
        return self._node.execute(args, writes=command.writes)

    def check_keys(self, keys: Sequence[bytes]) -> None:
        """Do nothing: the server has all keys."""

    def route(self, keys: Sequence[bytes], attempt: Attempt) -> list[Reply]:
        """Return what ``attempt`` returns for the only server."""
        return attempt(self._node, False)

    def nodes(self) -> list[Node]:
        """Return the only server."""
        return [self._node]

    def allowed_in_multi(self, command: Command) -> bool:
        """Return True: one server has all keys."""
        return True

    def on_node_failure(self) -> None:
        """Do nothing: the address of the server does not change."""

    def new_connection(self) -> BackendConnection:
        """Return a new connection that belongs to no pool, not open yet."""
        return self._node.new_connection()

    def close(self) -> None:
        """Close every connection."""
        self._node.close()
