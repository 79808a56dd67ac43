"""WATCH: which keys the sessions watch, and whether one of them has changed since.

An observer of the store. It costs nothing while no key is watched, because the store then does not call it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

from server.keyspace.contents import ClearedContents
from server.keyspace.observers import Entry, Removal

NO_KEYS: AbstractSet[bytes] = frozenset()
"""Shared by the watches of all sessions that watch nothing, because an empty set takes 216 bytes."""


class Watch:
    """The watched keys of one session. ``dirty`` becomes true when one of them changes (Redis: CLIENT_DIRTY_CAS)."""

    __slots__ = ("dirty", "keys")

    def __init__(self) -> None:
        self.keys: AbstractSet[bytes] = NO_KEYS
        self.dirty = False


class Watches:
    """Maps watched keys to the watches on them."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, set[Watch]] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def add(self, watch: Watch, key: bytes) -> None:
        """Add a key to a watch."""
        if isinstance(watch.keys, set):
            watch.keys.add(key)
        else:
            watch.keys = {key}
        self._by_key.setdefault(key, set()).add(watch)

    def remove(self, watch: Watch) -> None:
        """Remove a watch from all its keys."""
        for key in watch.keys:
            watches = self._by_key[key]
            watches.discard(watch)
            if not watches:
                del self._by_key[key]
        watch.keys = NO_KEYS

    def touch(self, concerns: Callable[[bytes], bool]) -> None:
        """Make the watches dirty on the keys for which ``concerns`` returns true."""
        for key in self._by_key:
            if concerns(key):
                self._mark_dirty(key)

    def on_set(self, key: bytes, value: bytes, expires_at: int | None, before: Entry | None) -> None:
        """Make the watches on the key dirty."""
        self._mark_dirty(key)

    def on_set_many(self, keys: Sequence[bytes], values: Sequence[bytes], before: Sequence[bytes | None]) -> None:
        """Make the watches on the keys dirty."""
        for key in keys:
            self._mark_dirty(key)

    def on_write_range(self, key: bytes, offset: int, part: bytes, before: bytes | None) -> None:
        """Make the watches on the key dirty."""
        self._mark_dirty(key)

    def on_expiry_change(self, key: bytes, expires_at: int | None, before: int | None) -> None:
        """Make the watches on the key dirty, as in Redis."""
        self._mark_dirty(key)

    def on_remove(self, key: bytes, cause: Removal, before: Entry) -> None:
        """Make the watches on the key dirty."""
        self._mark_dirty(key)

    def on_clear(self, cleared: ClearedContents) -> None:
        """Make the watches on existing keys dirty."""
        self.touch(cleared.keys.__contains__)

    def _mark_dirty(self, key: bytes) -> None:
        for watch in self._by_key.get(key, ()):
            watch.dirty = True

    def check(self) -> None:
        """Verify the invariants. Raises AssertionError."""
        for key, watches in self._by_key.items():
            if not watches or any(key not in watch.keys for watch in watches):
                raise AssertionError(f"the watches on {key!r} and their sessions differ")
