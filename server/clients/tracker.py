"""What a client has asked for by CLIENT TRACKING."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from server.clients.push import Subscriber
from server.registry import Command


class TrackingOptions(NamedTuple):
    """The options of CLIENT TRACKING ON."""

    redirect: int = 0
    """The id of the client that is sent the invalidations; 0: the tracking client itself."""

    broadcast: bool = False
    """The client is sent all keys with its prefixes, whatever it has read (BCAST)."""

    opt_in: bool = False
    """Only the keys of a request after CLIENT CACHING YES are tracked."""

    opt_out: bool = False
    """The keys of a request after CLIENT CACHING NO are not tracked."""

    no_loop: bool = False
    """The client is not sent the keys that it changes itself."""


class Tracker:
    """The tracking of one client. Its own thread writes to it, and `server.clients.tracking` under its lock."""

    __slots__ = ("caching", "client_id", "is_broken", "observed", "options", "prefixes", "subscriber")

    def __init__(self, client_id: int, subscriber: Subscriber, options: TrackingOptions) -> None:
        self.client_id = client_id
        self.subscriber = subscriber
        self.options = options
        self.prefixes: set[bytes] = set()
        """Those of BCAST."""
        self.caching = False
        """Whether CLIENT CACHING was the last request (Redis: CLIENT_TRACKING_CACHING)."""
        self.observed: dict[Command, Command] = {}
        """The commands that `server.clients.tracking` has made for it, by the commands that they execute."""
        self.is_broken = False
        """Whether the client to which invalidations are redirected has disconnected."""

    @property
    def remembers_reads(self) -> bool:
        """Whether the keys that the client reads now are tracked (Redis: `trackingRememberKeys`)."""
        options = self.options
        return not options.broadcast and (self.caching if options.opt_in else not (options.opt_out and self.caching))

    def end_caching(self, command: Command | None) -> None:
        """End the effect of CLIENT CACHING, unless ``command`` is a CLIENT command (Redis: `resetClient`)."""
        self.caching = self.caching and command is not None and command.name.startswith(b"CLIENT|")

    def flags(self) -> Iterator[bytes]:
        """Yield what CLIENT TRACKINGINFO calls the options."""
        options = self.options
        yield b"on"
        if options.broadcast:
            yield b"bcast"
        if options.opt_in:
            yield b"optin"
            if self.caching:
                yield b"caching-yes"
        if options.opt_out:
            yield b"optout"
            if self.caching:
                yield b"caching-no"
        if options.no_loop:
            yield b"noloop"
        if self.is_broken:
            yield b"broken_redirect"
