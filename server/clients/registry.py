"""The connections of one server: what CLIENT LIST shows and what CLIENT KILL closes."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Protocol

from server.clients.pubsub import SubscriptionCounts
from server.clients.push import PushQueue, Subscriber
from server.clients.stats import CommandStats, StatsRegistry
from server.clients.tracker import Tracker
from server.engines.base import CallContext
from server.registry import Command
from server.settings.table import DEFAULT_MAX_CLIENTS
from server.stderr_log import RepeatedMessage

logger = logging.getLogger(__name__)


NO_SUBSCRIPTIONS = SubscriptionCounts()


class Transport(Protocol):
    """A connection as its session and other threads may use it, besides reading requests and writing replies."""

    def enable_push(self) -> PushQueue | None:
        """Return a queue for data that is not a reply, or None if the connection cannot send any.

        Only the session calls this, while it executes a command. Raises `CommandError` if the system refuses what it
        needs.
        """
        ...

    def redirect_queue(self) -> PushQueue | None:
        """Return the queue for invalidations that other clients redirect to this one, which has RESP3.

        None if this client must enable pushes itself first, because its thread could not be woken. May be called from
        any thread, by one at a time.
        """
        ...

    def kill(self) -> None:
        """Close the connection. May be called from any thread."""
        ...

    def apply_timeouts(self) -> None:
        """Take notice of timeouts that were changed. May be called from any thread."""
        ...


@dataclass(slots=True, eq=False)
class Share:
    """The part of all connections that the clients of one kind may have, so that they cannot lock out the others."""

    limit: int
    taken: int = 0


@dataclass(slots=True, eq=False)
class ClientInfo:
    """One connection as CLIENT LIST shows it. Only its session and its connection write to it.

    Nothing is decided by what it shows, except whether the client is idle, and how invalidations reach it.
    ``push_receiver`` is also set by `server.clients.tracking`, when another client redirects invalidations to this one,
    and ``is_killed`` by CLIENT KILL.
    """

    id: int
    address: str = ""
    local_address: str = ""
    transport: Transport | None = None
    share: Share | None = None
    name: bytes = b""
    library_name: bytes = b""
    library_version: bytes = b""
    fd: int = -1  # of its socket
    has_unix_socket: bool = False
    database: int = 0  # the one that is selected
    protocol_version: int = 2
    multi_commands: int = -1  # queued commands, -1 outside a transaction
    multi_bytes: int = 0  # of their arguments
    is_monitoring: bool = False
    watched_keys: int = 0
    subscriptions: SubscriptionCounts = NO_SUBSCRIPTIONS
    tracker: Tracker | None = None  # after CLIENT TRACKING ON
    push_receiver: Subscriber | None = None  # for invalidations that another client redirects to it
    is_killed: bool = False  # its connection is being closed: what waits to be executed is refused
    connected_at: int = field(default_factory=perf_counter_ns)
    call: CallContext = field(default_factory=CallContext)  # its last call began at ``call.started``
    stats: CommandStats = field(default_factory=CommandStats)
    touched_at: int = 0

    def __post_init__(self) -> None:
        self.call.started = self.connected_at

    def touch(self) -> None:
        """Note that the client is active, in a case in which no command begins."""
        self.touched_at = perf_counter_ns()

    @property
    def last_command(self) -> Command | None:
        """The last command that was executed, or is being executed."""
        return self.call.command

    @property
    def active_at(self) -> int:
        """When the client was last active, on the clock of `time.perf_counter_ns`.

        It is active when it sends anything, and when it takes output that had to wait. As in Redis (`lastinteraction`).
        """
        return max(self.call.started, self.touched_at)


class TooManyClients(Exception):
    """Raised if the limit on all connections together is reached, or the limit on those of a `Share`."""


class ClientRegistry:
    """All connections of one server, and what they count. Thread-safe: its lock is held for single dict operations."""

    def __init__(self, limit: int = DEFAULT_MAX_CLIENTS) -> None:
        self.stats = StatsRegistry()
        self.limit = limit
        """Maximum number of simultaneous connections. Lowering it keeps existing ones."""
        self.http_share = Share(limit)
        """The connections of the HTTP listener."""
        self.received = 0
        """Connections accepted since the start or `reset_counts`."""
        self.rejected = 0
        """Connections refused since then because of a limit."""
        self._refused = RepeatedMessage(logger, logging.INFO, "%s was refused: the limit of clients is reached")
        self._slow = RepeatedMessage(
            logger, logging.WARNING, "client %d from %s is closed: it does not read what is pushed to it"
        )
        self._lock = threading.Lock()
        self._clients: dict[int, ClientInfo] = {}
        self._last_id = 0

    def __len__(self) -> int:
        return len(self._clients)

    def add(
        self,
        address: str = "",
        local_address: str = "",
        transport: Transport | None = None,
        share: Share | None = None,
    ) -> ClientInfo:
        """Register a connection under a new id. Raises `TooManyClients` at the limit, or at that of its share."""
        with self._lock:
            client = None
            if len(self._clients) < self.limit and (share is None or share.taken < share.limit):
                client = self._register(address, local_address, transport, share)
            else:
                self.rejected += 1
        if client is None:
            # At the level debug each of them, otherwise one per interval.
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug("%s was refused: the limit of clients is reached", address)
            else:
                self._refused.log(address)
            raise TooManyClients
        logger.debug("client %d connected from %s to %s", client.id, address, local_address)
        return client

    def _register(
        self, address: str, local_address: str, transport: Transport | None, share: Share | None
    ) -> ClientInfo:
        self._last_id += 1
        self.received += 1
        if share is not None:
            share.taken += 1
        client = ClientInfo(self._last_id, address, local_address, transport, share, stats=self.stats.new_shard())
        self._clients[client.id] = client
        return client

    def reset_counts(self) -> None:
        """Count the accepted and the refused connections from zero."""
        with self._lock:
            self.received = self.rejected = 0

    def remove(self, client: ClientInfo) -> None:
        """Deregister a connection, and merge what it counted. Does nothing if it is not registered."""
        with self._lock:
            was_registered = self._clients.pop(client.id, None) is not None
            if was_registered and client.share is not None:
                client.share.taken -= 1
        if was_registered:
            logger.debug("client %d from %s has disconnected", client.id, client.address)
        self.stats.close_shard(client.stats)

    def apply_timeouts(self) -> None:
        """Have every connection take notice of timeouts that were changed."""
        for client in self.all():
            if (transport := client.transport) is not None:  # read once: its own thread clears it
                transport.apply_timeouts()

    def close_slow_reader(self, client: ClientInfo) -> None:
        """Close the connection of a client for which too much waits, and log it. Any thread may call this."""
        self._slow.log(client.id, client.address)
        if (transport := client.transport) is not None:
            transport.kill()

    def find(self, client_id: int) -> ClientInfo | None:
        """Return the connection with this id, or None if there is none."""
        return self._clients.get(client_id)

    def all(self) -> list[ClientInfo]:
        """Return the connections, oldest first."""
        with self._lock:
            return list(self._clients.values())
