"""Data that a server sends without a request, such as MONITOR's lines: a bounded queue per connection.

Other threads put data in. Only the connection's own session takes it out, between two replies, so everything that a
connection sends leaves in one order: nothing overtakes a reply, and nothing follows the reply to RESET.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

MAX_PUSHED_ITEMS = 10_000
MAX_PUSHED_BYTES = 16 * 1024 * 1024
"""How much may wait for a peer that does not read. A connection that exceeds one of them is closed."""


class PushQueue:
    """What waits to be sent to one connection. Thread-safe.

    ``wake`` is called, outside the lock, when the queue is no longer empty. ``overflow`` is called once when a bound is
    exceeded. Neither may block.
    """

    def __init__(self, wake: Callable[[], None], overflow: Callable[[], None]) -> None:
        self._wake = wake
        self._overflow = overflow
        self._lock = threading.Lock()
        self._items: deque[bytes] = deque()
        self._size = 0
        self._closed = False

    def put(self, data: bytes) -> None:
        """Add data without blocking. A closed queue ignores it."""
        with self._lock:
            if self._closed:
                return
            was_empty = not self._items
            self._items.append(data)
            self._size += len(data)
            overflowed = len(self._items) > MAX_PUSHED_ITEMS or self._size > MAX_PUSHED_BYTES
            if overflowed:
                self._close()
        if overflowed:
            self._overflow()
        elif was_empty:
            self._wake()

    def take(self) -> list[bytes]:
        """Remove and return everything, in order."""
        with self._lock:
            items = list(self._items)
            self._items.clear()
            self._size = 0
            return items

    def close(self) -> None:
        """Discard what waits, and ignore what is put from now on."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        self._closed = True
        self._items.clear()
        self._size = 0

    def __len__(self) -> int:
        return len(self._items)
