"""What all sessions of one running server share: the engine, the commands, the clients, the settings."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from common.limits import DEFAULT_LIMITS, Limits
from server.clients.registry import Clients, MonitorHub
from server.engines.embedded import Engine
from server.process import set_log_level
from server.registry import CommandTable
from server.settings import Settings

WITHOUT_SERVER = Settings(host="", ports=())
"""The settings of a session that no server owns, such as the client's terminal mode."""


@dataclass(slots=True)
class ServerContext:
    """One server, however many ports it listens on; or the one session of a process that has no server."""

    engine: Engine[Any]
    commands: CommandTable
    limits: Limits = DEFAULT_LIMITS
    """The bounds on the input of new connections."""

    settings: Settings = WITHOUT_SERVER
    shut_down: Callable[[], None] | None = None
    """Ask the server to stop; None if there is no server to stop."""

    clients: Clients = field(default_factory=Clients)
    monitors: MonitorHub = field(default_factory=MonitorHub)
    started: float = field(default_factory=time.monotonic)
    _changing: threading.Lock = field(default_factory=threading.Lock)

    def change_settings(self, values: Mapping[str, Any]) -> None:
        """Change settings by the names of their fields, all at once. Safe to call from any thread.

        Limits on input apply to new connections, the others at once.
        """
        with self._changing:
            self.settings = settings = dataclasses.replace(self.settings, **values)
            if "max_bulk" in values:
                max_request = settings.input_limits().max_request
                self.limits = dataclasses.replace(self.limits, max_bulk=settings.max_bulk, max_request=max_request)
            if "log_level" in values:
                set_log_level(settings.log_level)
            self.clients.limit = settings.max_clients
            slower_than, length = settings.slowlog_slower_than, settings.slowlog_max_len
            self.engine.statistics.slower_than = inf if slower_than < 0 else slower_than * 1000
            self.engine.statistics.slow_log(lambda log: log.resize(length))
