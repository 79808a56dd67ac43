"""What the sessions of one server share."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from common.limits import DEFAULT_LIMITS, Limits
from server.clients.call_recorder import CallRecorder
from server.clients.inspection import Inspection
from server.clients.key_events import KeyEvents
from server.clients.monitor import MonitorHub
from server.clients.pause import ClientPause
from server.clients.pubsub import PubSub
from server.clients.push import PushLimit
from server.clients.rate import CallRate
from server.clients.registry import ClientRegistry
from server.clients.slowlog import Slowlog
from server.clients.stats import StatsRegistry
from server.clients.tracking import Tracking
from server.engines.base import Engine
from server.registry import CommandTable
from server.scripts.service import Scripts
from server.scripts.service import are_available as scripts_are_available
from server.session.auth import Authenticator
from server.settings import DEFAULT_FSYNC, DEFAULT_REWRITE_MIN_SIZE, Settings
from server.stderr_log import set_log_level

WITHOUT_SERVER = Settings(host="", ports=())
"""The settings of a session without a server, such as the client's terminal mode."""


@dataclass(slots=True)
class ServerContext:
    """The state of one server, with any number of listeners, or of a process that has sessions and no server."""

    engine: Engine[Any]
    commands: CommandTable
    limits: Limits = DEFAULT_LIMITS
    """Bounds on the input of new connections."""

    settings: Settings = WITHOUT_SERVER
    """The settings as they are now, with the ports that were bound. `change_settings` replaces them."""

    shut_down: Callable[[], None] | None = None
    """Asks the server to stop. None if there is no server to stop."""

    clients: ClientRegistry = field(default_factory=ClientRegistry)
    call_rate: CallRate = field(default_factory=CallRate)
    inspection: Inspection = field(default_factory=Inspection)
    monitors: MonitorHub = field(init=False)
    pause: ClientPause = field(init=False)
    pubsub: PubSub = field(default_factory=PubSub)
    key_events: KeyEvents = field(init=False)
    tracking: Tracking = field(init=False)
    scripts: Scripts = field(init=False)
    push_limit: PushLimit = field(default_factory=PushLimit)
    """How much may wait for a client that does not read what it is pushed."""

    slowlog: Slowlog = field(default_factory=Slowlog)
    recorder: CallRecorder = field(init=False)
    auth: Authenticator = field(default_factory=Authenticator)
    started: float = field(default_factory=time.monotonic)
    """`time.monotonic` at the start."""

    run_id: str = field(default_factory=lambda: os.urandom(20).hex())
    """Distinguishes this run of the server from earlier ones, for programs that watch it."""

    _changing: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.monitors = MonitorHub(self.inspection)
        self.recorder = CallRecorder(self.slowlog, self.monitors)
        self.pause = ClientPause(self.inspection)
        self.key_events = KeyEvents(self.pubsub, self.inspection)
        self.tracking = Tracking(self.engine, self.clients, self.inspection)
        self.scripts = Scripts(self.inspection)
        if scripts_are_available():  # otherwise no request has to wait for long
            self.engine.limit_waits(self.scripts.refuse_if_busy)

    @property
    def stats(self) -> StatsRegistry:
        """What all clients together have counted."""
        return self.clients.stats

    @property
    def commit(self) -> Callable[[], None] | None:
        """The commit barrier of a durable log, for streams; None without a log."""
        persistence = self.engine.persistence
        return None if persistence is None else persistence.commit

    def publish_changes(self) -> None:
        """Send what the commands so far have changed to the clients that want to know it.

        Call it after each command while `inspection.needed` is true, without the keyspace lock.
        """
        self.key_events.publish_pending()
        self.tracking.publish_pending()

    def change_settings(self, values: Mapping[str, Any]) -> None:
        """Change settings, by the names of their fields, and apply them. Safe to call from any thread.

        A limit on input applies to new connections, everything else at once. Raises `CommandError`, and then changes
        nothing, if a slow script runs and a setting cannot be applied meanwhile.
        """
        with self._changing:  # else two CONFIG SET at once could lose one of the changes
            settings = dataclasses.replace(self.settings, **values)
            if "notify_keyspace_events" in values:  # first, because it may be refused
                self.key_events.configure(settings.notify_keyspace_events, self.engine)
            self.settings = settings
            if "max_bulk" in values:
                max_request = settings.input_limits().max_request
                self.limits = dataclasses.replace(self.limits, max_bulk=settings.max_bulk, max_request=max_request)
                self.engine.apply_limits(self.limits)
            if "max_memory" in values or "eviction" in values:
                self.engine.limit_memory(settings.max_memory, settings.eviction)
            if "fsync" in values and self.engine.persistence is not None:
                self.engine.persistence.set_level(settings.fsync or DEFAULT_FSYNC)
            if "rewrite_min_size" in values and self.engine.persistence is not None:
                self.engine.persistence.set_rewrite_min_size(settings.rewrite_min_size or DEFAULT_REWRITE_MIN_SIZE)
            if "password" in values:
                self.auth.set_password(settings.password)
            if "max_clients" in values:
                self.clients.limit = settings.max_clients
                self.clients.http_share.limit = settings.http_places()
            if "idle_timeout" in values:
                self.clients.apply_timeouts()
            if "log_level" in values:
                set_log_level(settings.log_level)
            self._apply_to_pushes(values, settings)
            self._apply_to_durations(values, settings)

    def _apply_to_pushes(self, values: Mapping[str, Any], settings: Settings) -> None:
        """Apply what concerns data that is sent without a request."""
        if "output_limits" in values:
            self.push_limit.limit = settings.output_limits.pubsub
        if "tracking_table_max_keys" in values:
            self.tracking.limit_keys(settings.tracking_table_max_keys)

    def _apply_to_durations(self, values: Mapping[str, Any], settings: Settings) -> None:
        """Apply what concerns commands that take long."""
        if "busy_reply_threshold" in values:
            self.scripts.threshold = settings.busy_reply_threshold / 1000
        if "slowlog_slower_than" in values:
            slower_than = settings.slowlog_slower_than
            self.slowlog.threshold = inf if slower_than < 0 else slower_than * 1000
        if "slowlog_max_len" in values:
            self.slowlog.max_length = settings.slowlog_max_len
