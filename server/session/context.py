"""What all sessions of one running server share: the engine, the commands, who is connected, the settings."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from common.limits import DEFAULT_LIMITS, Limits
from server.clients.registry import Clients, MonitorHub
from server.engines.embedded import Engine
from server.registry import CommandTable


@dataclass(slots=True)
class ServerContext:
    """One server, however many ports it listens on; or the one session of a process that has no server."""

    engine: Engine[Any]
    commands: CommandTable
    limits: Limits = DEFAULT_LIMITS
    """The bounds on the input of connections to come."""

    host: str = ""
    ports: list[int] = field(default_factory=list)
    shut_down: Callable[[], None] | None = None
    """Ask the process to stop in good order; None where there is no server to stop."""

    clients: Clients = field(default_factory=Clients)
    monitors: MonitorHub = field(default_factory=MonitorHub)
    started: float = field(default_factory=time.monotonic)
