"""SCAN: an iteration over many calls that returns every key that exists from its start to its end.

Keys are in the order of their creation, with new ones at the end, so an iteration is a position in that order. Only a
deletion moves the keys after it, each by one position to the front. A cursor therefore contains a position and the
number of deletions at the time. After D more deletions, what the iteration has not returned yet begins at most D
positions further to the front.

To find a position without counting up to it, the keys are copied (references, 8 bytes per key), and the snapshot is
stored for the next call. Cursors made after the same number of deletions share one, because the longer one is the
shorter one with new keys at its end.

An iteration whose snapshot was evicted continues in a new one: it may return some keys twice, as SCAN may, and misses
none. So an iteration that was abandoned costs little. The number of stored references is bounded, and the least
recently used snapshot is evicted first. A snapshot that is not used is evicted after a time limit. Keys that were
deleted since stay in memory as long as a snapshot refers to them, so all snapshots are evicted when those keys exceed a
size. The snapshots observe the store for that, while there are any.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from common.limits import MIB
from server.keyspace.contents import ClearedContents
from server.keyspace.observers import Entry, Removal

MAX_SNAPSHOT_KEYS = 16 * 1024 * 1024
"""References in all snapshots together: 128 MiB. The newest snapshot is stored however large it is."""

SNAPSHOT_OVERHEAD = 64
"""References charged per snapshot besides its keys, so that many small ones count too."""

MAX_DELETED_BYTES = 16 * MIB
"""Deleted keys that snapshots may keep in memory."""

KEY_OVERHEAD = 64
"""Bytes charged per deleted key besides its length."""

SNAPSHOT_TIMEOUT = 60
"""Seconds after which a snapshot that is not used is evicted."""

POSITION_BITS = 31
DELETIONS_BITS = 32
"""The parts of a cursor, which fits into 63 bits."""


class Keyspace(Protocol):
    """The part of a store that is needed here."""

    deletion_count: int

    def all_keys(self) -> list[bytes]: ...

    def now(self) -> int: ...


class _Snapshot(NamedTuple):
    keys: list[bytes]
    used_at: int  # ms since the epoch


class ScanSnapshots:
    """The iterations in progress, an observer of the store. Guarded as the store is."""

    def __init__(self) -> None:
        self._snapshots: OrderedDict[int, _Snapshot] = OrderedDict()  # by deletion count, least recently used first
        self._stored = 0  # references in all snapshots, with the overhead
        self._deleted_bytes = 0  # deleted since the oldest snapshot was made, or before

    def page(self, cursor: int, count: int, keyspace: Keyspace) -> tuple[int, list[bytes]]:
        """Return the next cursor, 0 at the end, and the next ``count`` keys of the iteration."""
        deletions, position = divmod(cursor, 1 << POSITION_BITS)
        stored = self._snapshots.get(deletions) if cursor else None
        if stored is not None:
            keys = stored.keys
        else:
            keys = keyspace.all_keys()
            deletions_now = keyspace.deletion_count % (1 << DELETIONS_BITS)
            position = max(0, position - (deletions_now - deletions) % (1 << DELETIONS_BITS))
            deletions = deletions_now
        end = position + count
        if end >= len(keys):
            self._evict(deletions)
            return 0, keys[position:]
        self._store(deletions, _Snapshot(keys, keyspace.now()))
        return (deletions << POSITION_BITS) + end, keys[position:end]

    def _store(self, deletions: int, snapshot: _Snapshot) -> None:
        if not self._snapshots:
            self._deleted_bytes = 0
        self._evict(deletions)
        self._snapshots[deletions] = snapshot
        self._stored += len(snapshot.keys) + SNAPSHOT_OVERHEAD
        while self._stored > MAX_SNAPSHOT_KEYS and len(self._snapshots) > 1:
            self._evict(next(iter(self._snapshots)))

    def _evict(self, deletions: int) -> None:
        snapshot = self._snapshots.pop(deletions, None)
        if snapshot is not None:
            self._stored -= len(snapshot.keys) + SNAPSHOT_OVERHEAD

    def evict_unused(self, now: int) -> None:
        """Evict the snapshots that were not used for `SNAPSHOT_TIMEOUT`."""
        while self._snapshots:
            deletions, snapshot = next(iter(self._snapshots.items()))
            if now - snapshot.used_at < SNAPSHOT_TIMEOUT * 1000:
                return
            self._evict(deletions)

    def clear(self) -> None:
        """Evict every snapshot."""
        self._snapshots.clear()
        self._stored = 0

    # ---------------------------------------------------------------- observing the store

    def on_set(self, key: bytes, value: bytes, expires_at: int | None, before: Entry | None) -> None:
        """Do nothing: a new key is at the end, and a snapshot may lack it."""

    def on_set_many(self, keys: Sequence[bytes], values: Sequence[bytes], before: Sequence[bytes | None]) -> None:
        """Do nothing, as for one key."""

    def on_write_range(self, key: bytes, offset: int, part: bytes, before: bytes | None) -> None:
        """Do nothing."""

    def on_expiry_change(self, key: bytes, expires_at: int | None, before: int | None) -> None:
        """Do nothing."""

    def on_remove(self, key: bytes, cause: Removal, before: Entry) -> None:
        """Evict every snapshot if the keys that were deleted since have become too large."""
        self._deleted_bytes += len(key) + KEY_OVERHEAD
        if self._deleted_bytes > MAX_DELETED_BYTES:
            self.clear()

    def on_clear(self, cleared: ClearedContents) -> None:
        """Do nothing: the store makes new snapshots."""

    def __len__(self) -> int:
        """Return how many snapshots are stored."""
        return len(self._snapshots)
