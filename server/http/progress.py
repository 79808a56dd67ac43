"""How long an HTTP connection waits for its client.

The listener looks at all connections regularly. So a request costs two counters, and neither a timer nor a look at the
clock.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

from server.settings import HTTPTimeouts


class Awaited(Enum):
    """What a client has to do next."""

    HEAD = auto()
    BODY = auto()
    NEXT_REQUEST = auto()
    READING = auto()
    """It has to read a part of a response."""


class Position(NamedTuple):
    """What a connection waits for, and a number that changes with every progress of the client."""

    awaited: Awaited
    progress: int


class ProgressCheck:
    """Finds out how long a connection has been at the same position."""

    def __init__(self) -> None:
        self._position: Position | None = None
        self._since = 0.0

    def is_overdue(self, position: Position | None, now: float, timeouts: HTTPTimeouts) -> bool:
        """Return whether the client takes too long. ``position`` is None if nothing is awaited from it.

        ``now`` is the time of the event loop. Time counts from the first call with a position.
        """
        if position is None or position != self._position:
            self._position = position
            self._since = now
            return False
        match position.awaited:
            case Awaited.HEAD:
                limit = timeouts.head
            case Awaited.BODY | Awaited.READING:
                limit = timeouts.body
            case Awaited.NEXT_REQUEST:
                limit = timeouts.idle
        return now - self._since >= limit
