"""Which tracking clients have read which keys: the table of CLIENT TRACKING without BCAST.

A key is in the table from the time a client reads it until it changes. When the table is full, the keys that have been
in it for the longest time are evicted. Their clients are sent an invalidation, so that they do not use what they have
cached any more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence

from common.limits import MIB
from server.settings.table import DEFAULT_TRACKING_TABLE_MAX_KEYS

MAX_TABLE_SIZE = 512 * MIB
"""Bytes that the table takes, approximately, whatever the number of keys. Redis has no such bound."""

KEY_OVERHEAD = 256
"""Bytes charged per key besides its length: an entry of an `OrderedDict`, and the id of a client."""

CLIENT_OVERHEAD = 256
"""Bytes charged per further client of a key, with the set that the first of them needs."""

EVICTIONS_PER_READ = 100
"""Keys that a read evicts at most besides those that it adds, so that a lower limit delays no read for long."""


class TrackingTable:
    """Maps keys to the ids of clients. Guarded as the store is. The ids of disconnected clients stay, as in Redis."""

    def __init__(self) -> None:
        self.max_keys = DEFAULT_TRACKING_TABLE_MAX_KEYS
        """The number of keys from which they are evicted; 0 is no limit."""
        self.items = 0
        """The number of pairs of a key and a client."""
        self._size = 0
        self._clients: OrderedDict[bytes, int | set[int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._clients)

    def add(self, keys: Sequence[bytes], client_id: int) -> None:
        """Note that a client has read keys."""
        for key in keys:
            self._add(key, client_id)

    def evict(self, count: int) -> Iterator[tuple[bytes, Collection[int]]]:
        """Evict at most so many keys while the table is too large. Yield each with its clients."""
        while count > 0 and self._is_too_large:
            count -= 1
            key = next(iter(self._clients))
            yield key, self.pop(key)

    def pop(self, key: bytes) -> Collection[int]:
        """Remove a key, and return its clients."""
        clients = self._clients.pop(key, None)
        if clients is None:
            return ()
        ids = (clients,) if isinstance(clients, int) else clients
        self.items -= len(ids)
        self._size -= _size(key, len(ids))
        return ids

    def clear(self) -> object:
        """Remove all keys. Return what they took, so that the caller can free it outside the lock."""
        cleared = self._clients
        self._clients = OrderedDict()
        self.items = self._size = 0
        return cleared

    @property
    def _is_too_large(self) -> bool:
        return self._size > MAX_TABLE_SIZE or 0 < self.max_keys < len(self._clients)

    def _add(self, key: bytes, client_id: int) -> None:
        clients = self._clients.get(key)
        if clients is None:
            self._clients[key] = client_id
            self._size += _size(key, 1)
        elif isinstance(clients, set):
            if client_id in clients:
                return
            clients.add(client_id)
            self._size += CLIENT_OVERHEAD
        elif clients == client_id:
            return
        else:
            self._clients[key] = {clients, client_id}
            self._size += CLIENT_OVERHEAD
        self.items += 1


def _size(key: bytes, clients: int) -> int:
    return KEY_OVERHEAD + len(key) + CLIENT_OVERHEAD * (clients - 1)
