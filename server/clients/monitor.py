"""MONITOR: send every request that the server accepts to the connections that have sent MONITOR."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

from common.codec import Args
from common.limits import KIB
from common.text import abbreviated, more_arguments, quote_always
from server.clients.inspection import Inspection
from server.clients.registry import ClientInfo

Subscriber: TypeAlias = Callable[[bytes], None]
"""Sends one line to a monitoring connection. Called from any thread, and never blocks."""

MAX_SHOWN = 64 * KIB
"""Bytes of a request's arguments that a line shows, before they are quoted. Each counts 3 more for quotes and a blank.

The client that sent the request pays for the line, before it is known whether a subscriber can take it.
"""


class MonitorHub:
    """The connections that monitor. Without a subscriber no request is looked at (`Inspection`)."""

    def __init__(self, inspection: Inspection) -> None:
        self._inspection = inspection
        self._lock = threading.Lock()
        self.subscribers: tuple[Subscriber, ...] = ()

    def subscribe(self, subscriber: Subscriber) -> None:
        """Send the commands from now on to a connection."""
        with self._lock:
            self.subscribers = (*self.subscribers, subscriber)
            self._inspection.set("monitor", used=True)

    def publish(self, args: Args, client: ClientInfo) -> None:
        """Send a command, already redacted, to all subscribers in the form of Redis's MONITOR.

        Arguments beyond `MAX_SHOWN` bytes are abbreviated as in SLOWLOG.
        """
        now = time.time_ns() // 1000
        shown = b" ".join(map(quote_always, _abbreviated(args)))
        line = b"%d.%06d [0 %b] %b" % (now // 10**6, now % 10**6, client.address.encode(), shown)
        for subscriber in self.subscribers:
            subscriber(line)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Stop sending commands to a connection."""
        with self._lock:
            self.subscribers = tuple(each for each in self.subscribers if each != subscriber)
            self._inspection.set("monitor", used=bool(self.subscribers))


def _abbreviated(args: Args) -> Iterator[bytes]:
    room = MAX_SHOWN
    for place, arg in enumerate(args):
        if room <= 0:
            yield more_arguments(len(args) - place)
            return
        yield abbreviated(arg, room)
        room -= len(arg) + 3
