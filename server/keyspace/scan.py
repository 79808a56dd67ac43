"""SCAN's memory: what lets an iteration that takes many commands return every key that is there throughout.

Keys stand in the order in which they came, new ones at the end, so an iteration is a place in that order. Only a
removal moves the keys behind it, each by one place to the front. A cursor therefore holds a place, and how many
removals there had been when it was counted: behind D more of them, what the iteration has not seen begins at most D
places further front.

To find a place without counting up to it, the keys are copied (references, eight bytes a key), and the copy is kept for
the next call. Cursors that were made after the same number of removals can share one, for the longer is the shorter
with new keys at its end. Only so many are kept, the one that was used least recently goes first, and an iteration whose
copy has gone goes on in a new one: it may return some keys twice, as SCAN may, and misses none.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

MOST_KEPT = 16 * 1024 * 1024
"""How many references all copies may hold together: 128 MiB. The newest copy is kept however long it is."""

POSITION_BITS = 31
REMOVALS_BITS = 32
"""What a cursor is made of; it fits into 63 bits."""


class Keys(Protocol):
    """A store, as far as it is needed here."""

    removals: int

    def all_keys(self) -> list[bytes]: ...


class Scans:
    """The iterations under way. Guarded as the store is."""

    def __init__(self) -> None:
        self._copies: OrderedDict[int, list[bytes]] = OrderedDict()
        self._kept = 0  # references in all copies

    def go_on(self, cursor: int, count: int, store: Keys) -> tuple[int, list[bytes]]:
        """Return the next cursor, 0 at the end, and the next ``count`` keys of the iteration."""
        removals, position = divmod(cursor, 1 << POSITION_BITS)
        copy = self._copies.get(removals) if cursor else None
        if copy is None:
            copy = store.all_keys()
            removals_now = store.removals % (1 << REMOVALS_BITS)
            position = max(0, position - (removals_now - removals) % (1 << REMOVALS_BITS))
            removals = removals_now
        end = position + count
        if end >= len(copy):
            self._forget(removals)
            return 0, copy[position:]
        self._keep(removals, copy)
        return (removals << POSITION_BITS) + end, copy[position:end]

    def _keep(self, removals: int, copy: list[bytes]) -> None:
        self._forget(removals)
        self._copies[removals] = copy
        self._kept += len(copy)
        while self._kept > MOST_KEPT and len(self._copies) > 1:
            self._forget(next(iter(self._copies)))

    def _forget(self, removals: int) -> None:
        self._kept -= len(self._copies.pop(removals, ()))

    def clear(self) -> None:
        """Forget every copy."""
        self._copies.clear()
        self._kept = 0
