"""SCAN: an iteration over many calls that returns every key that exists from its start to its end.

Keys are in the order of their creation, with new ones at the end, so an iteration is a position in that order. Only a
deletion moves the keys after it, each by one position to the front. A cursor therefore contains a position and the
number of deletions at the time. After D more deletions, what the iteration has not returned yet begins at most D
positions further to the front.

To find a position without counting up to it, the keys are copied (references, 8 bytes per key), and the snapshot is
stored for the next call. Cursors made after the same number of deletions share one, because the longer one is the
shorter one with new keys at its end. The number of stored references is bounded. The least recently used snapshot is
evicted first, and an iteration whose snapshot was evicted continues in a new one: it may return some keys twice, as
SCAN may, and misses none.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

MAX_SNAPSHOT_KEYS = 16 * 1024 * 1024
"""References in all snapshots together: 128 MiB. The newest snapshot is stored however large it is."""

POSITION_BITS = 31
DELETIONS_BITS = 32
"""The parts of a cursor, which fits into 63 bits."""


class Keyspace(Protocol):
    """The part of a store that is needed here."""

    deletion_count: int

    def all_keys(self) -> list[bytes]: ...


class ScanSnapshots:
    """The iterations in progress. Guarded as the store is."""

    def __init__(self) -> None:
        self._snapshots: OrderedDict[int, list[bytes]] = OrderedDict()  # by deletion count, least recently used first
        self._stored = 0  # references in all snapshots

    def page(self, cursor: int, count: int, keyspace: Keyspace) -> tuple[int, list[bytes]]:
        """Return the next cursor, 0 at the end, and the next ``count`` keys of the iteration."""
        deletions, position = divmod(cursor, 1 << POSITION_BITS)
        snapshot = self._snapshots.get(deletions) if cursor else None
        if snapshot is None:
            snapshot = keyspace.all_keys()
            deletions_now = keyspace.deletion_count % (1 << DELETIONS_BITS)
            position = max(0, position - (deletions_now - deletions) % (1 << DELETIONS_BITS))
            deletions = deletions_now
        end = position + count
        if end >= len(snapshot):
            self._evict(deletions)
            return 0, snapshot[position:]
        self._store(deletions, snapshot)
        return (deletions << POSITION_BITS) + end, snapshot[position:end]

    def _store(self, deletions: int, snapshot: list[bytes]) -> None:
        self._evict(deletions)
        self._snapshots[deletions] = snapshot
        self._stored += len(snapshot)
        while self._stored > MAX_SNAPSHOT_KEYS and len(self._snapshots) > 1:
            self._evict(next(iter(self._snapshots)))

    def _evict(self, deletions: int) -> None:
        self._stored -= len(self._snapshots.pop(deletions, ()))

    def clear(self) -> None:
        """Evict every snapshot."""
        self._snapshots.clear()
        self._stored = 0

    def __len__(self) -> int:
        """Return how many snapshots are stored."""
        return len(self._snapshots)
