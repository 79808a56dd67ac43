"""SCAN's memory: what lets an iteration that takes many commands return every key that is there throughout.

An iteration goes through a copy of the keys as they were when it began. Keys that go meanwhile are left out as they
come up; keys that come meanwhile need not be returned, and are not. The copy holds references, eight bytes a key.

Only so many copies are kept; the one that was used least recently goes first. An iteration whose copy has gone starts
over with a new one: it may return a key twice, as SCAN may, but it misses none.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

MOST_COPIES = 16
POSITION_BITS = 40
HIGHEST_NUMBER = 2**20
"""A cursor is the copy's number and, in its lower bits, the place of the next key in it; it fits into 64 bits."""


class _HasKeys(Protocol):
    def all_keys(self) -> list[bytes]: ...


class Scans:
    """The iterations under way. Guarded as the store is."""

    def __init__(self) -> None:
        self._copies: OrderedDict[int, list[bytes]] = OrderedDict()
        self._last_number = 0

    def go_on(self, cursor: int, count: int, store: _HasKeys) -> tuple[int, list[bytes]]:
        """Return the next cursor, 0 at the end, and the next ``count`` keys of the iteration."""
        number, position = cursor >> POSITION_BITS, cursor & ((1 << POSITION_BITS) - 1)
        copy = self._copies.get(number)
        if copy is None:
            copy, position = store.all_keys(), 0
            self._last_number = self._last_number % HIGHEST_NUMBER + 1
            number = self._last_number
            self._copies[number] = copy
            if len(self._copies) > MOST_COPIES:
                self._copies.popitem(last=False)
        else:
            self._copies.move_to_end(number)
        end = position + count
        if end >= len(copy):
            del self._copies[number]
            return 0, copy[position:]
        return (number << POSITION_BITS) + end, copy[position:end]

    def clear(self) -> None:
        """Forget every iteration."""
        self._copies.clear()
