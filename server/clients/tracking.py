"""CLIENT TRACKING: tell clients that cache values which keys have changed, as Redis 7.0 does (`tracking.c`).

    a read  -> Tracking.after_step -> TrackingTable                         under the keyspace lock
    a change -> Store -> Tracking (an observer of the store) -> pending     under the keyspace lock
    session -> Tracking.publish_pending -> the queue of each client         after it is released

The store is observed, and requests are looked at (`Inspection`), only while a client tracks. Then every session
publishes what is pending before it replies. So a client that has got the reply to a change knows that the
invalidations are in the queues of their clients, before the replies to requests that are executed later.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from common.errors import TOO_MANY_PREFIXES, CommandError, prefix_too_long
from common.limits import KIB
from common.replies import Push
from common.resp_replies import ReplyEncoder
from server.clients.inspection import Inspection
from server.clients.observed import observed
from server.clients.prefixes import PrefixTable, check_collisions
from server.clients.push import Subscriber, push_to_all
from server.clients.registry import ClientInfo, ClientRegistry
from server.clients.tracker import Tracker, TrackingOptions
from server.clients.tracking_table import EVICTIONS_PER_READ, TrackingTable
from server.engines.base import Engine
from server.keyspace.contents import ClearedContents
from server.keyspace.observers import Entry, Removal
from server.keyspace.store import Store
from server.registry import Command

MAX_PREFIXES = 10_000
"""Different prefixes of BCAST in all."""

MAX_PREFIX_LENGTH = KIB
"""Bytes. A changed key is looked up once for each length that prefixes have."""

CHANNEL = b"__redis__:invalidate"
"""The channel of the messages to a RESP2 client to which invalidations are redirected."""

INVALIDATE = b"invalidate"
REDIRECT_BROKEN = b"tracking-redir-broken"
"""The kinds of the pushes."""

RESP3 = ReplyEncoder(3)

Keys = tuple[bytes, ...] | None
"""The keys of an invalidation; None if they are all keys."""


class Change(NamedTuple):
    """An invalidation that is to be sent."""

    key: bytes | None
    """None: all keys were removed."""

    clients: Collection[int]
    """The ids of the clients that had read the key."""

    executing: Tracker | None
    """The client whose command is executed, if it tracks."""

    is_broadcast: bool
    """Whether it is a change of the key, which is broadcast, and not its eviction from the table."""

    writer: Tracker | None = None
    """The same client if its command changes the key itself. It does not if the key expires or is evicted."""


class TrackingFigures(NamedTuple):
    """What INFO shows."""

    clients: int
    keys: int
    items: int
    prefixes: int


class Tracking:
    """The tracking clients of a server, and what they track. Thread-safe.

    It is an observer of the store. Everything that concerns the table is guarded by the keyspace lock.
    """

    def __init__(self, engine: Engine[Any], clients: ClientRegistry, inspection: Inspection) -> None:
        self._engine = engine
        self._clients = clients
        self._inspection = inspection
        self._table = TrackingTable()
        self._executing: Tracker | None = None  # whose command has the keyspace lock
        self._pending: deque[Change] = deque()
        self._lock = threading.Lock()  # guards the rest; held while invalidations are put into queues
        self._trackers: dict[int, Tracker] = {}
        self._prefixes: PrefixTable[Tracker] = PrefixTable()

    @property
    def figures(self) -> TrackingFigures:
        """The number of tracking clients, and of what they track."""
        return TrackingFigures(len(self._trackers), len(self._table), self._table.items, len(self._prefixes))

    def limit_keys(self, max_keys: int) -> None:
        """Set the number of keys in the table, 0 for any. Reads evict what is too much, step by step."""
        self._table.max_keys = max_keys

    # ---------------------------------------------------------------- for sessions

    def start(self, tracker: Tracker, options: TrackingOptions, prefixes: Sequence[bytes]) -> None:
        """Begin to track for a client, or change its options, and add prefixes, which only BCAST has.

        BCAST without prefixes adds the empty one, with which every key begins. Raises `CommandError`, and then changes
        nothing, if prefixes overlap, are too long or too many.
        """
        if any(len(prefix) > MAX_PREFIX_LENGTH for prefix in prefixes):
            raise CommandError(prefix_too_long(MAX_PREFIX_LENGTH))
        if len(prefixes) > MAX_PREFIXES:  # before they are sorted, which takes long
            raise CommandError(TOO_MANY_PREFIXES)
        check_collisions(prefixes, tracker.prefixes)
        if options.broadcast and not prefixes:
            prefixes = (b"",)
        with self._lock:
            if len(self._prefixes) + sum(prefix not in self._prefixes for prefix in prefixes) > MAX_PREFIXES:
                raise CommandError(TOO_MANY_PREFIXES)
            if not self._trackers:
                self._engine.observe_keys(self, self.publish_pending)
            tracker.options = options
            tracker.is_broken = False
            for prefix in prefixes:
                self._prefixes.add(prefix, tracker)
                tracker.prefixes.add(prefix)
            self._trackers[tracker.client_id] = tracker
            self._inspection.set("tracking", used=True, one_by_one=False)

    def stop(self, tracker: Tracker) -> None:
        """End the tracking for a client. The table keeps its reads until the keys change, as in Redis."""
        cleared: list[object] = []  # freed outside the keyspace lock
        with self._lock:
            for prefix in tracker.prefixes:
                self._prefixes.remove(prefix, tracker)
            del self._trackers[tracker.client_id]
            if not self._trackers:
                self._inspection.set("tracking", used=False)
                self._engine.stop_observing_keys(self, lambda: cleared.append(self._clear()))

    def _clear(self) -> object:
        """Remove what is tracked, after the last tracking client. Return what it took. Has the keyspace lock."""
        self._pending.clear()
        return self._table.clear()

    def set_protocol_version(self, client: ClientInfo, version: int) -> None:
        """Set the version of RESP in which a client is sent what others redirect to it.

        With RESP2 it must subscribe to be sent any. Pushes of RESP3 that wait are discarded, because the client could
        not distinguish them from replies.
        """
        with self._lock:
            client.protocol_version = version
            receiver = client.push_receiver
            if version == 2 and receiver is not None and receiver.encoder is RESP3:
                client.push_receiver = None
                receiver.queue.take()

    def observing(self, tracker: Tracker, command: Command) -> Command:
        """Return a command that does the same for a tracking client, and notes what it reads."""
        if not command.targets_keyspace:
            return command
        found = tracker.observed.get(command)
        if found is None:
            found = tracker.observed[command] = observed(command, _Steps(self, tracker))
        return found

    def publish_pending(self) -> None:
        """Send the invalidations so far. The caller does not hold the keyspace lock."""
        if not self._trackers:
            return
        with self._lock:  # also if nothing is pending: another thread may still send what this one has caused
            own: list[tuple[Tracker, Keys]] = []
            broadcast: dict[bytes, dict[bytes, Tracker | None]] = {}
            before = None
            while self._pending:
                change = self._pending.popleft()
                if change == before and change.key is None:
                    continue  # FLUSHALL clears several databases
                before = change
                self._publish(change, own)
                if change.is_broadcast and change.key is not None:
                    for prefix in self._prefixes.matching(change.key):
                        broadcast.setdefault(prefix, {})[change.key] = change.writer
            # After those for other clients, and broadcasts last, as in Redis.
            for tracker, keys in own:
                self._push((tracker,), keys)
            for prefix, changes in sorted(broadcast.items()):
                self._broadcast(prefix, changes)

    # ---------------------------------------------------------------- sending

    def _publish(self, change: Change, own: list[tuple[Tracker, Keys]]) -> None:
        """Send an invalidation to other clients, and add what is for the client that is executing to ``own``."""
        if change.key is None:
            keys, trackers = None, list(self._trackers.values())
        else:
            keys, trackers = (change.key,), list(self._readers(change))
        if change.executing in trackers:
            trackers.remove(change.executing)
            own.append((change.executing, keys))
        self._push(trackers, keys)

    def _readers(self, change: Change) -> Iterator[Tracker]:
        """Yield the clients that have read a key, and still track what they read."""
        for client_id in change.clients:
            tracker = self._trackers.get(client_id)
            if tracker is None or tracker.options.broadcast:
                continue
            if not (tracker.options.no_loop and tracker is change.executing):
                yield tracker

    def _broadcast(self, prefix: bytes, changes: Mapping[bytes, Tracker | None]) -> None:
        """Send changed keys to the clients that have a prefix, those with NOLOOP only what others have changed."""
        writers = set(changes.values())
        everything: list[Tracker] = []
        for tracker in self._prefixes.items(prefix):
            if not (tracker.options.no_loop and tracker in writers):
                everything.append(tracker)
            elif foreign := tuple(sorted(key for key, writer in changes.items() if writer is not tracker)):
                self._push((tracker,), foreign)
        self._push(everything, tuple(sorted(changes)))

    def _push(self, trackers: Iterable[Tracker], keys: Keys) -> None:
        """Send one invalidation to clients, or to those to which they redirect."""
        marked: list[Subscriber] = []
        with_channel: list[Subscriber] = []
        for tracker in trackers:
            receiver = tracker.subscriber
            if tracker.options.redirect:
                redirected = self._find_receiver(tracker)
                if redirected is None:
                    continue
                receiver = redirected
            if receiver.encoder.marks_pushes:
                marked.append(receiver)
            elif tracker.options.redirect:
                with_channel.append(receiver)
            # Else a client with RESP2 could not distinguish it from a reply. Redis sends it nothing, too.
        push_to_all(marked, Push((INVALIDATE, keys)))
        push_to_all(with_channel, Push((b"message", CHANNEL, keys)))

    def _find_receiver(self, tracker: Tracker) -> Subscriber | None:
        """Return what can be pushed to the client to which another one redirects; None if nothing can."""
        client = self._clients.find(tracker.options.redirect)
        if client is None:
            tracker.is_broken = True
            if tracker.subscriber.encoder.marks_pushes:
                push_to_all((tracker.subscriber,), Push((REDIRECT_BROKEN, tracker.options.redirect)))
            return None
        receiver = _receiver(client)
        is_ready = receiver is not None and (receiver.encoder.marks_pushes or any(client.subscriptions))
        return receiver if is_ready else None

    # ---------------------------------------------------------------- under the keyspace lock: what is read

    def begin_step(self, tracker: Tracker) -> None:
        """Note that a command of this client is executed."""
        self._executing = tracker

    def end_step(self, tracker: Tracker, keys: Sequence[bytes]) -> None:
        """Note that it has been executed, and has read these keys."""
        if keys:
            self._table.add(keys, tracker.client_id)
            for key, clients in self._table.evict(len(keys) + EVICTIONS_PER_READ):
                self._pending.append(Change(key, clients, None, is_broadcast=False))
        self._executing = None

    # ---------------------------------------------------------------- under the keyspace lock: what changes

    def observer_of(self, store: Store) -> Tracking:
        """Observe a database. A key is invalidated whatever its database, as in Redis."""
        return self

    def on_swap(self, first: int, second: int) -> None:
        """Invalidate nothing, as in Redis."""

    def on_set(self, key: bytes, value: bytes, expires_at: int | None, before: Entry | None) -> None:
        """Invalidate the key."""
        self._invalidate(key, self._executing)

    def on_set_many(self, keys: Sequence[bytes], values: Sequence[bytes], before: Sequence[bytes | None]) -> None:
        """Invalidate the keys."""
        for key in keys:
            self._invalidate(key, self._executing)

    def on_write_range(self, key: bytes, offset: int, part: bytes, before: bytes | None) -> None:
        """Invalidate the key."""
        self._invalidate(key, self._executing)

    def on_expiry_change(self, key: bytes, expires_at: int | None, before: int | None) -> None:
        """Invalidate the key, as in Redis."""
        self._invalidate(key, self._executing)

    def on_remove(self, key: bytes, cause: Removal, before: Entry) -> None:
        """Invalidate the key. The client whose command meets an expired key does not change it itself."""
        self._invalidate(key, self._executing if cause is Removal.DELETED else None)

    def on_clear(self, cleared: ClearedContents) -> None:
        """Invalidate all keys. It concerns every tracking client, whatever it has read, as in Redis."""
        cleared.free_too(self._table.clear())
        self._pending.append(Change(None, (), self._executing, is_broadcast=True))

    def _invalidate(self, key: bytes, writer: Tracker | None) -> None:
        clients = self._table.pop(key)
        if clients or len(self._prefixes):
            self._pending.append(Change(key, clients, self._executing, is_broadcast=True, writer=writer))


def can_receive(client: ClientInfo) -> bool:
    """Return whether invalidations can be redirected to a client, at least after it has subscribed in RESP2."""
    return client.protocol_version == 2 or _receiver(client) is not None


def _receiver(client: ClientInfo) -> Subscriber | None:
    """Return what can be pushed to a client. One that has RESP3 need not ask for it, as in Redis."""
    receiver, transport = client.push_receiver, client.transport
    if receiver is not None and receiver.encoder is RESP3 and client.protocol_version == 2:
        return None  # it has changed its version at this moment
    if receiver is None and client.protocol_version == 3 and transport is not None:
        queue = transport.redirect_queue()
        if queue is not None:
            receiver = client.push_receiver = Subscriber(queue, RESP3)
    return receiver


class _Steps:
    """Observes the commands of one tracking client. See `server.clients.observed`."""

    def __init__(self, tracking: Tracking, tracker: Tracker) -> None:
        self._tracking = tracking
        self._tracker = tracker

    def before_step(self, command: Command, args: Sequence[bytes], store: Any) -> None:
        """Note which client's command is executed."""
        self._tracking.begin_step(self._tracker)

    def after_step(self, command: Command, args: Sequence[bytes]) -> None:
        """Note what a command has read, if it never writes."""
        reads = command.reads and self._tracker.remembers_reads
        self._tracking.end_step(self._tracker, command.keys.of([command.name, *args]) if reads else ())
