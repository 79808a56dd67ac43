"""A backing Redis that is one server."""

from __future__ import annotations

from collections.abc import Sequence

from common.codec import Args
from common.replies import Reply
from server.engines.redis.connection import BackendConnection, Node, new_pool, watch_pool
from server.engines.redis.url import Address
from server.registry import Command


class SingleServer:
    """One server behind one pool; see `server.engines.redis.backend.Backend`."""

    def __init__(self, address: Address, connections: int) -> None:
        pool = new_pool(address.settings, connections)
        self._node = Node(pool, watch_pool(pool))

    def ask(self, command: Command, args: Args) -> Reply:
        """Run a command as it is."""
        return self._node.ask(args, writes=command.writes)

    def node_of(self, keys: Sequence[bytes]) -> Node:
        """Return the server that has these keys: the only one."""
        return self._node

    def nodes(self) -> list[Node]:
        """Return every server that has keys of its own."""
        return [self._node]

    def can_be_queued(self, command: Command) -> bool:
        """Tell whether the command may stand in a transaction."""
        return True

    def note_failure(self) -> None:
        """Do nothing: where the server is does not change."""

    def note_moved(self, keys: Sequence[bytes]) -> None:
        """Do nothing: a single server has every slot."""

    def new_connection(self) -> BackendConnection:
        """Make a connection that is in no pool, and not open yet."""
        return self._node.new_connection()

    def close(self) -> None:
        """Close every connection."""
        self._node.close()
