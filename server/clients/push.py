"""Data that a server sends without a request (MONITOR, publish/subscribe): a bounded queue per connection.

Other threads put data in. Only the connection's own thread takes it out, between two replies, so everything that a
connection sends leaves in one order: nothing overtakes a reply, and nothing follows the reply to RESET.

    publisher -> push_to_all -> Subscriber -> PushQueue -> the thread that serves the connection -> socket
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from common.codec import Encoder
from common.replies import Push, SimpleString
from server.settings.output_limits import DEFAULT_OUTPUT_LIMITS, OutputLimit

ITEM_OVERHEAD = 64
"""Bytes charged per item besides its length, so that many small items count too."""


@dataclass(slots=True)
class PushLimit:
    """How much may wait for a peer that does not read. All queues of a server share one, which CONFIG SET changes."""

    limit: OutputLimit = DEFAULT_OUTPUT_LIMITS.pubsub


class PushQueue:
    """What waits to be sent to one connection. Thread-safe.

    ``wake`` is called, outside the lock, when the queue is no longer empty. ``overflow`` is called once when the limit
    is exceeded, as Redis decides it (``client-output-buffer-limit``). Neither may block.
    """

    def __init__(self, wake: Callable[[], None], overflow: Callable[[], None], limit: PushLimit) -> None:
        self._wake = wake
        self._overflow = overflow
        self._limit = limit
        self._lock = threading.Lock()
        self._items: deque[bytes] = deque()
        self._size = 0
        self._above_soft_since: float | None = None
        self._closed = False

    @property
    def size(self) -> int:
        """The bytes that wait, with `ITEM_OVERHEAD` for each item."""
        return self._size

    def put(self, data: bytes) -> None:
        """Add data without blocking. A closed queue ignores it."""
        with self._lock:
            if self._closed:
                return
            was_empty = self._append(data)
            overflowed = self._exceeds(self._limit.limit)
            if overflowed:
                self._close()
        if overflowed:
            self._overflow()
        elif was_empty:
            self._wake()

    def put_reply(self, data: bytes) -> None:
        """Add data that replies to a request of the connection itself. The request bounds it, so the limit does not."""
        with self._lock:
            if self._closed:
                return
            was_empty = self._append(data)
        if was_empty:
            self._wake()

    def take(self, size: int | None = None) -> list[bytes]:
        """Remove and return items in order: all of them, or those that make at least ``size`` bytes."""
        with self._lock:
            items: list[bytes] = []
            if size is None:
                items += self._items
                self._items.clear()
                self._size = 0
            else:
                while self._items and size > 0:
                    items.append(item := self._items.popleft())
                    self._size -= len(item) + ITEM_OVERHEAD
                    size -= len(item)
            if self._size <= self._limit.limit.soft:
                self._above_soft_since = None
            return items

    def close(self) -> None:
        """Discard what waits, and ignore what is put from now on."""
        with self._lock:
            self._close()

    def _append(self, data: bytes) -> bool:
        """Add data. Return whether the queue was empty."""
        was_empty = not self._items
        self._items.append(data)
        self._size += len(data) + ITEM_OVERHEAD
        return was_empty

    def _exceeds(self, limit: OutputLimit) -> bool:
        """Return whether the hard limit is exceeded, or the soft one for too long (`checkClientOutputBufferLimits`)."""
        if limit.hard and self._size > limit.hard:
            return True
        if not limit.soft or self._size <= limit.soft:
            self._above_soft_since = None
            return False
        now = time.monotonic()
        if self._above_soft_since is None:
            self._above_soft_since = now
        return now - self._above_soft_since > limit.soft_seconds

    def _close(self) -> None:
        self._closed = True
        self._items.clear()
        self._size = 0

    def __len__(self) -> int:
        return len(self._items)


class Subscriber:
    """A connection that is pushed to: its queue, and the encoder of the protocol in which it has asked for pushes."""

    __slots__ = ("encoder", "queue")

    def __init__(self, queue: PushQueue, encoder: Encoder) -> None:
        self.queue = queue
        self.encoder = encoder

    def confirm(self, push: Push) -> None:
        """Push what replies to a request of this connection itself."""
        encoded = self.encoder.scalars[Push](push)
        assert encoded is not None, "pushes are encoded at once"
        self.queue.put_reply(encoded)


def push_to_all(subscribers: Iterable[Subscriber], message: Push | SimpleString) -> None:
    """Push a message to subscribers. It is encoded once for each protocol among them. Never blocks."""
    kind = type(message)
    encoded: dict[Callable[[Push], bytes | None], bytes] = {}
    for each in subscribers:
        encode = each.encoder.scalars[kind]
        data = encoded.get(encode)
        if data is None:
            data = encoded[encode] = encode(message) or b""
        each.queue.put(data)
