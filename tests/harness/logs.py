"""Durable logs for tests, on a simulated disk and without threads."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from server.commands import COMMANDS
from server.engines.embedded import EmbeddedEngine
from server.engines.log.engine import DurableEngine, LogSettings
from server.engines.log.log import ALWAYS, DurableLog
from server.engines.log.names import Names
from server.engines.log.rewrite import rewrite
from server.engines.log.service import LogService
from server.keyspace.store import Clock, Store, system_clock
from server.session.context import ServerContext
from tests.harness.sessions import ClientSession, new_session
from tests.harness.simulated_disk import SimulatedDisk

Items = list[tuple[bytes, bytes, "int | None"]]
AllItems = dict[int, Items]
"""The items of each database that has any, by its number."""


def new_disk() -> SimulatedDisk:
    """Make an empty disk without faults."""
    return SimulatedDisk(random.Random(0))


def all_items(store: Store) -> AllItems:
    """Return the keys, values and expiries of all databases, without removing what has expired."""
    items = {each.index: each.entries(each.keys_in_order()) for each in store.databases}
    return {index: each for index, each in items.items() if each}


def items_after_sending(disk: SimulatedDisk) -> AllItems:
    """Send the files to a server without a log, as with netcat, and return the keys that it has then.

    Its clock is at 0, so that no time in the files is over.
    """
    store = Store(lambda: 0)
    session = new_session(EmbeddedEngine(store))
    for name in Names.of(disk.names()).data():
        replies = session.feed(bytes(disk.files[name].data))
        assert b"(error)" not in replies, replies
        assert b"-ERR" not in replies, replies
    return all_items(store)


def fail_once(what: str, number: int = errno.EIO) -> Callable[[str], None]:
    """Return a function that raises for the first call of this kind."""
    left = [what]

    def on_call(each: str) -> None:
        if left and each == left[0]:
            left.clear()
            raise OSError(number, os.strerror(number))

    return on_call


@dataclass
class LoggedServer:
    """An engine with a log, and sessions on it. A second one on the same disk is a restart."""

    disk: SimulatedDisk = field(default_factory=new_disk)
    level: str = ALWAYS
    clock: Clock = system_clock
    repair: bool = False

    def __post_init__(self) -> None:
        self.store = Store(self.clock)
        settings = LogSettings("data", lambda: self.disk, self.level, repair=self.repair)
        self.engine = DurableEngine(self.store, settings)
        self.service: LogService = self.engine.open()
        self.log: DurableLog = self.service.log
        self.context = ServerContext(self.engine, COMMANDS)

    def connect(self) -> ClientSession:
        """Make a session, without a commit barrier."""
        return ClientSession(self.context)

    def run(self, *lines: str) -> list[str]:
        """Send lines of one client, commit after each, and return the replies."""
        session = self.connect()
        replies = []
        for line in lines:
            replies.append(session.feed(f"{line}\n".encode()).decode().removesuffix("\n"))
            self.log.commit()
        return replies

    def run_without_commit(self, line: str) -> str:
        """Send a line, and return the reply that a client would not get yet."""
        return self.connect().feed(f"{line}\n".encode()).decode().removesuffix("\n")

    def rewrite(self) -> None:
        """Rewrite the log."""
        for _ in rewrite(self.log):
            pass

    def items(self) -> Items:
        """Return the keys, values and expiries, oldest key first, without removing what has expired."""
        return self.store.entries(self.store.keys_in_order())

    def all_items(self) -> AllItems:
        """Return the same of all databases."""
        return all_items(self.store)

    def restart(self, **options: object) -> LoggedServer:
        """Kill the server, and start another one on what is written."""
        return LoggedServer(self.disk, self.level, self.clock, **options)  # type: ignore[arg-type]

    def file(self, name: str) -> bytes:
        """Return the content of a file."""
        return bytes(self.disk.files[name].data)
