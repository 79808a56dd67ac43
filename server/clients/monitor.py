"""MONITOR: send every request that the server accepts to the connections that have sent MONITOR."""

from __future__ import annotations

import time
from collections.abc import Iterator

from common.codec import Args
from common.limits import KIB
from common.replies import SimpleString
from common.text import abbreviated, more_arguments, quote_always
from server.clients.hub import Hub
from server.clients.inspection import Inspection
from server.clients.push import Subscriber
from server.clients.registry import ClientInfo

MAX_SHOWN = 64 * KIB
"""Bytes of a request's arguments that a line shows, before they are quoted. Each counts 3 more for quotes and a blank.

The client that sent the request pays for the line, before it is known whether a subscriber can take it.
"""

REQUESTS = b"requests"
"""The only topic of the hub."""


class MonitorHub:
    """The connections that monitor. Without a subscriber no request is looked at (`Inspection`)."""

    def __init__(self, inspection: Inspection) -> None:
        self._inspection = inspection
        self._hub = Hub()

    @property
    def has_subscribers(self) -> bool:
        """Whether a connection monitors."""
        return bool(self._hub.topics)

    @property
    def subscribers(self) -> tuple[Subscriber, ...]:
        """The connections that monitor."""
        with self._hub.lock:
            return tuple(self._hub.topics.get(REQUESTS, ()))

    def subscribe(self, subscriber: Subscriber) -> None:
        """Send the commands from now on to a connection."""
        with self._hub.lock:
            self._hub.add(REQUESTS, subscriber)
            self._inspection.set("monitor", used=True)

    def publish(self, args: Args, client: ClientInfo, *, by_script: bool = False) -> None:
        """Send a command, already redacted, to all subscribers in the form of Redis's MONITOR.

        In place of the address of the client that has sent it, ``lua`` is shown for one that its script has called.
        Arguments beyond `MAX_SHOWN` bytes are abbreviated as in SLOWLOG.
        """
        now = time.time_ns() // 1000
        shown = b" ".join(map(quote_always, _abbreviated(args)))
        origin = b"lua" if by_script else _shown_address(client)
        line = b"%d.%06d [%d %b] %b" % (now // 10**6, now % 10**6, client.database, origin, shown)
        with self._hub.lock:
            self._hub.push(REQUESTS, SimpleString(line))

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Stop sending commands to a connection."""
        with self._hub.lock:
            self._hub.remove(REQUESTS, subscriber)
            self._inspection.set("monitor", used=self.has_subscribers)


def _shown_address(client: ClientInfo) -> bytes:
    """Return the address of a client as Redis's MONITOR shows it (``replicationFeedMonitors``)."""
    return f"unix:{client.address.removesuffix(':0')}".encode() if client.has_unix_socket else client.address.encode()


def _abbreviated(args: Args) -> Iterator[bytes]:
    room = MAX_SHOWN
    for place, arg in enumerate(args):
        if room <= 0:
            yield more_arguments(len(args) - place)
            return
        yield abbreviated(arg, room)
        room -= len(arg) + 3
