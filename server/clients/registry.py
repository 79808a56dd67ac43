"""Who is connected: what CLIENT LIST shows, what CLIENT KILL ends, and whom MONITOR feeds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from common.codec import Args
from common.text import quote_always
from server.registry import Command

DEFAULT_MAX_CLIENTS = 10_000
LARGEST_MAX_CLIENTS = 2**32 - 1
"""Both as in Redis."""

Push: TypeAlias = Callable[[bytes], None]
"""Send data when the connection takes it. May be called from any thread, and never waits."""


class Peer(Protocol):
    """The connection, as far as a session and others can use it outside the session's turn."""

    def open_channel(self) -> Push | None:
        """Return what sends data outside the session's turn, behind the reply to the command that runs now.

        None where the connection can't do that.
        Only the session calls this, in its turn. A peer that does not take what is pushed is cut off in the end.
        """
        ...

    def kill(self) -> None:
        """End the connection. May be called from any thread."""
        ...


@dataclass(slots=True, eq=False)
class Client:
    """One connection as others see it. Its session alone writes to it."""

    number: int
    address: str = ""
    local_address: str = ""
    peer: Peer | None = None
    name: bytes = b""
    library_name: bytes = b""
    library_version: bytes = b""
    resp: int = 2
    command: Command | None = None  # the last that it sent
    queued: int = -1
    watching: int = 0
    connected: int = field(default_factory=time.perf_counter_ns)
    active: int = field(default_factory=time.perf_counter_ns)  # when it last sent a command


class TooManyClients(Exception):
    """No more connections may come in, by whatever door, until one goes."""


class Clients:
    """All connections of one server. Safe to use from any thread; its lock is held for moments and guards no store."""

    def __init__(self, limit: int = DEFAULT_MAX_CLIENTS) -> None:
        self.limit = limit
        """How many connections there may be at once, by all doors together. It may change; nobody is sent away then."""
        self._lock = threading.Lock()
        self._clients: dict[int, Client] = {}
        self._last_number = 0
        self.received = 0
        """How many connections there have been."""
        self.rejected = 0
        """How many more would have been too many."""

    def __len__(self) -> int:
        return len(self._clients)

    def add(self, address: str = "", local_address: str = "", peer: Peer | None = None) -> Client:
        """Enter a connection; its number is one that no other had. Raises `TooManyClients` at the limit."""
        with self._lock:
            if len(self._clients) >= self.limit:
                self.rejected += 1
                raise TooManyClients
            self._last_number += 1
            self.received += 1
            client = Client(self._last_number, address, local_address, peer)
            self._clients[client.number] = client
            return client

    def remove(self, client: Client) -> None:
        """Forget a connection."""
        with self._lock:
            self._clients.pop(client.number, None)

    def all(self) -> list[Client]:
        """Return the connections, oldest first."""
        with self._lock:
            return list(self._clients.values())


class MonitorHub:
    """The sessions that see every command as it comes. Looking whether there is any costs next to nothing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.feeds: tuple[Push, ...] = ()

    def add(self, feed: Push) -> None:
        """Let a session see what comes from now on."""
        with self._lock:
            self.feeds = (*self.feeds, feed)

    def show(self, args: Args, client: Client) -> None:
        """Show a command to all of them, in the form of Redis's MONITOR."""
        moment = time.time_ns() // 1000
        shown = b" ".join(map(quote_always, args))
        line = b"%d.%06d [0 %b] %b" % (moment // 10**6, moment % 10**6, client.address.encode(), shown)
        for feed in self.feeds:
            feed(line)

    def remove(self, feed: Push) -> None:
        """Let a session see no more."""
        with self._lock:
            self.feeds = tuple(each for each in self.feeds if each != feed)
