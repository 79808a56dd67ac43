"""Keyspace notifications: publish what commands do to keys, as Redis 7.0 does (``notify-keyspace-events``).

    command -> Store -> KeyEvents (an observer of the store) -> pending events       under the keyspace lock
    session -> KeyEvents.publish_pending -> PubSub                                   after it is released

Events are named after commands. A command's entry in the command table has the name for a changed value
(`Command.event`), and a removal or a changed expiry has a name of its own. The store does not know which command it
serves. So while notifications are on, sessions pass the engine commands that say it first (`KeyEvents.naming`). While
they are off, nothing of this exists: the store has no such observer, and sessions take their shortest way.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from common.codec import Args
from server.clients.inspection import Inspection
from server.clients.observed import observed
from server.clients.pubsub import MAX_CHANNEL_LENGTH, PubSub
from server.engines.base import Engine
from server.keyspace.contents import ClearedContents
from server.keyspace.observers import Entry, Removal
from server.keyspace.store import Store
from server.registry import Command

STRING_EVENTS = frozenset({b"append", b"incrby", b"incrbyfloat", b"set", b"setbit", b"setrange"})
"""Events of the class ``$``. The other events of commands are generic ones, of the class ``g``."""

READING_WRITES = frozenset({b"GETDEL", b"GETEX", b"GETSET"})
"""Commands that change a key and look it up like one that reads, so that a missing key is a keymiss."""

BY_CAUSE = {Removal.EXPIRED: ("x", b"expired"), Removal.EVICTED: ("e", b"evicted")}
"""The class and the event of a key that no command has removed."""

KEYSPACE_CHANNEL = b"__keyspace@%d__:"
KEYEVENT_CHANNEL = b"__keyevent@%d__:"

SOURCE_EVENTS = {b"rename_to": b"rename_from", b"move_to": b"move_from"}
"""The events of the key that a command moves away from its place, by the event of the place that it moves to."""


class KeyEvents:
    """Collects the events of the keyspace and publishes them in their order. Thread-safe."""

    def __init__(self, pubsub: PubSub, inspection: Inspection) -> None:
        self._pubsub = pubsub
        self._inspection = inspection
        self.is_on = False
        """Whether any events are published."""
        self._classes: frozenset[str] = frozenset()
        self._publishing = threading.Lock()  # so that two threads do not change the order
        self._pending: deque[tuple[bytes, bytes, int]] = deque()  # event, key and database
        self._naming: dict[Command, Command] = {}
        self.command: Command | None = None
        """The command that is executed under the keyspace lock; None while the keyspace is changed by no command."""
        self.keeps_expiry = False
        """Whether it is a SET with KEEPTTL."""

    def configure(self, classes: str, engine: Engine[Any]) -> None:
        """Publish the events of these classes from now on.

        Raises `CommandError`, and then changes nothing, while a slow script runs.
        """
        chosen = frozenset(classes)
        is_on = bool(chosen & set("KE") and chosen - set("KE"))
        was_on = self.is_on
        if is_on and not was_on:
            engine.observe_keys(self, self.publish_pending)
        self._classes, self.is_on = chosen, is_on
        if was_on and not is_on:
            engine.stop_observing_keys(self, self._pending.clear)
        self._inspection.set("key events", used=is_on)

    # ---------------------------------------------------------------- for sessions

    def naming(self, command: Command) -> Command:
        """Return a command that does the same, and names its events, if notifications are on."""
        if not self.is_on or not command.targets_keyspace:
            return command
        naming = self._naming.get(command)
        if naming is None:
            naming = self._naming[command] = observed(command, self)
        return naming

    def publish_pending(self) -> None:
        """Publish the events so far. The caller does not hold the keyspace lock."""
        while self._pending:
            with self._publishing:
                try:
                    event, key, database = self._pending.popleft()
                except IndexError:  # another thread was faster
                    return
                if "K" in self._classes and len(key) < MAX_CHANNEL_LENGTH:
                    self._pubsub.publish(KEYSPACE_CHANNEL % database + key, event)
                if "E" in self._classes:
                    self._pubsub.publish(KEYEVENT_CHANNEL % database + event, key)

    # ---------------------------------------------------------------- the observer of steps

    def before_step(self, command: Command, args: Sequence[bytes], store: Any) -> None:
        """Name the events that follow. Called under the keyspace lock."""
        self.command = command
        self.keeps_expiry = command.name == b"SET" and any(arg.upper() == b"KEEPTTL" for arg in args[2:])
        if "m" in self._classes:
            for key in _looked_up(command, [command.name, *args]):
                if key not in store:
                    self.add("m", b"keymiss", key, store.index)

    def after_step(self, command: Command, args: Sequence[bytes]) -> None:
        """Name no events any more. Called under the keyspace lock."""
        self.command = None

    # ---------------------------------------------------------------- observing the databases

    def observer_of(self, store: Store) -> DatabaseEvents:
        """Collect the events of a database."""
        return DatabaseEvents(self, store.index)

    def on_swap(self, first: int, second: int) -> None:
        """Add nothing, as in Redis."""

    def add(self, event_class: str, event: bytes, key: bytes, database: int) -> None:
        """Add an event, if its class is published. Called under the keyspace lock."""
        if event_class in self._classes and self._pubsub.has_subscribers:
            self._pending.append((event, key, database))


class DatabaseEvents:
    """Observes a store, and adds the events of its database."""

    def __init__(self, events: KeyEvents, database: int) -> None:
        self._events = events
        self._database = database

    def on_set(self, key: bytes, value: bytes, expires_at: int | None, before: Entry | None) -> None:
        """Add the command's own event. SET and its variants with a time to live have a second one."""
        self._add_change(key, is_new=before is None)
        command = self._events.command
        if expires_at is not None and command is not None and command.event == b"set" and not self._events.keeps_expiry:
            self._add("g", b"expire", key)

    def on_set_many(self, keys: Sequence[bytes], values: Sequence[bytes], before: Sequence[bytes | None]) -> None:
        """Add the event of each key."""
        for key, value_before in zip(keys, before, strict=True):
            self._add_change(key, is_new=value_before is None)

    def on_write_range(self, key: bytes, offset: int, part: bytes, before: bytes | None) -> None:
        """Add the command's own event."""
        self._add_change(key, is_new=before is None)

    def on_expiry_change(self, key: bytes, expires_at: int | None, before: int | None) -> None:
        """Add expire or persist."""
        if self._events.command is not None:
            self._add("g", b"persist" if expires_at is None else b"expire", key)

    def on_remove(self, key: bytes, cause: Removal, before: Entry) -> None:
        """Add the event of the cause."""
        if cause is not Removal.DELETED:
            self._add(*BY_CAUSE[cause], key)
        elif (command := self._events.command) is not None:
            if command.event in SOURCE_EVENTS:
                self._add("g", SOURCE_EVENTS[command.event], key)
            elif command.name == b"SET":  # with a time in the past: Redis removes the key when it is accessed
                self._add("x", b"expired", key)
            else:
                self._add("g", b"del", key)

    def on_clear(self, cleared: ClearedContents) -> None:
        """Add nothing, as in Redis."""

    def _add_change(self, key: bytes, *, is_new: bool) -> None:
        command = self._events.command
        if command is not None:
            if is_new:
                self._add("n", b"new", key)
            event = command.event
            self._add("$" if event in STRING_EVENTS else "g", event, key)

    def _add(self, event_class: str, event: bytes, key: bytes) -> None:
        self._events.add(event_class, event, key, self._database)


def _looked_up(command: Command, args: Args) -> Args:
    """Return the keys whose absence is a keymiss, as in Redis (`lookupKeyReadWithFlags`)."""
    if command.name == b"COPY":
        return args[1:2]
    if command.name == b"SET":
        return args[1:2] if any(arg.upper() == b"GET" for arg in args[3:]) else []
    if b"|" not in command.name and (command.reads or command.name in READING_WRITES):
        return command.keys.of(args)
    return []
