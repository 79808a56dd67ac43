"""One backing Redis server: a pool of connections for requests, and another for sessions that watch keys."""

from __future__ import annotations

from common.codec import Args
from common.errors import waiting_for_connection, waiting_for_watch_connection
from common.replies import Reply
from server.engines.redis.connection import BackendConnection, ConnectionSettings, Requests
from server.engines.redis.pool import ConnectionPool
from server.engines.redis.replies import raise_for_error

MAX_WATCHES = 50
"""Sessions that may watch keys of one server at once. Each holds a connection from its first WATCH until EXEC.

They have a pool of their own. In a common one, clients that watch keys and do nothing more would stop all requests.
"""


class Node:
    """A server of its own, or a node of a cluster. Safe to use from any thread."""

    def __init__(self, settings: ConnectionSettings, max_connections: int) -> None:
        self._settings = settings
        self._requests = ConnectionPool(settings, max_connections, waiting_for_connection(max_connections))
        self.watches = ConnectionPool(settings, MAX_WATCHES, waiting_for_watch_connection(MAX_WATCHES))
        self.address = settings.address
        self.database = settings.login.database

    def execute(self, request: Args, *, writes: bool = False) -> Reply:
        """Send one request and return its reply. Raises `CommandError`, also if the reply is an error."""
        return raise_for_error(self.send_all([request], writes=writes)[0])

    def send_all(self, requests: Requests, *, writes: bool = False) -> list[Reply]:
        """Send requests on one connection and return the replies, errors included.

        Raises `CommandError` if a reply is missing. With ``writes`` the error says that the outcome is unknown.
        """
        with self._requests.connection() as connection:
            return connection.send_all(requests, writes=writes)

    def run_transaction(self, commands: Requests, *, asking: bool) -> list[Reply]:
        """Run commands between MULTI and EXEC on one connection; see `BackendConnection.run_transaction`."""
        with self._requests.connection() as connection:
            return connection.run_transaction(commands, asking=asking)

    def new_connection(self) -> BackendConnection:
        """Return a new connection that belongs to no pool, not open yet."""
        return BackendConnection(self._settings)

    def retire(self) -> None:
        """Close every connection as soon as it is not in use."""
        self._requests.retire()
        self.watches.retire()

    def close(self) -> None:
        """Close every connection, those in use included."""
        self._requests.close()
        self.watches.close()
