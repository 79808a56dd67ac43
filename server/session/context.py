"""What the sessions of one server share."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from common.limits import DEFAULT_LIMITS, Limits
from server.clients.monitor import MonitorHub
from server.clients.registry import ClientRegistry
from server.clients.slowlog import Slowlog
from server.clients.stats import StatsRegistry
from server.engines.base import Engine
from server.registry import CommandTable


@dataclass(slots=True)
class ServerContext:
    """The state of one server, with any number of listeners, or of a process that has sessions and no server."""

    engine: Engine[Any]
    commands: CommandTable
    limits: Limits = DEFAULT_LIMITS
    """Bounds on the input of new connections."""

    host: str = ""
    ports: list[int] = field(default_factory=list)
    shut_down: Callable[[], None] | None = None
    """Asks the process to stop. None if there is no server to stop."""

    clients: ClientRegistry = field(default_factory=ClientRegistry)
    monitors: MonitorHub = field(default_factory=MonitorHub)
    slowlog: Slowlog = field(default_factory=Slowlog)
    started: float = field(default_factory=time.monotonic)
    """`time.monotonic` at the start."""

    @property
    def stats(self) -> StatsRegistry:
        """What all clients together have counted."""
        return self.clients.stats
