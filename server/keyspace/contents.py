"""All contents of a store at once: a copy of them, to be read, and what was cleared, to be freed.

Both are made under the lock and used outside it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, KeysView

from server.keyspace.expiration import ExpirationIndex


class ItemsCopy:
    """The keys, values and expiries at one point in time, oldest key first. It can be read several times.

    Two dicts are copied, because a copy of a dict is several times as fast as a list of tuples.
    """

    def __init__(self, values: dict[bytes, bytes], expiries: dict[bytes, int], now: int) -> None:
        self._values = values
        self._expiries = expiries
        self._now = now

    def __sizeof__(self) -> int:
        """Return the size of the copied references."""
        return super().__sizeof__() + sys.getsizeof(self._values) + sys.getsizeof(self._expiries)

    def __iter__(self) -> Iterator[tuple[bytes, bytes, int | None]]:
        expires_at = self._expiries.get
        for key, value in self._values.items():
            time = expires_at(key)
            if time is None or time > self._now:
                yield key, value, time


class ClearedContents:
    """What a store contained before it was cleared."""

    def __init__(self, values: dict[bytes, bytes], expiration: ExpirationIndex, snapshots: object) -> None:
        self._values = values
        self._expiration: ExpirationIndex | None = expiration
        self._references: list[object] = [snapshots]
        self._is_held = False

    @property
    def keys(self) -> KeysView[bytes]:
        """The keys that were removed."""
        return self._values.keys()

    def free_too(self, references: object) -> None:
        """Free this too: something that an observer has kept for the removed keys, and that refers to them."""
        self._references.append(references)

    def hold(self) -> None:
        """Let `free` do nothing until `release`, so that `Store.restore` can undo the clearing."""
        self._is_held = True

    def release(self) -> None:
        """Free what was held."""
        self._is_held = False
        self.free()

    def take(self) -> tuple[dict[bytes, bytes], ExpirationIndex]:
        """Move held contents out, so that nothing is left to be freed."""
        assert self._expiration is not None, "the contents were held"
        contents = self._values, self._expiration
        self._values, self._expiration = {}, None
        return contents

    def free(self) -> None:
        """Free the memory, key by key: other threads can run meanwhile, as they could not while a dict is freed."""
        if self._is_held:
            return
        self._expiration = None
        self._references.clear()  # references alone: the keys themselves are freed with the values
        values = self._values
        while values:
            values.popitem()
