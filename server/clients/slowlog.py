"""SLOWLOG: the most recent commands that took longer than a threshold."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from common.codec import Args
from common.text import abbreviated, more_arguments
from server.settings.table import DEFAULT_SLOWLOG_MAX_LEN, DEFAULT_SLOWLOG_SLOWER_THAN

MAX_ARGS = 32
MAX_ARG_SIZE = 128
"""How much of a command an entry stores, as in Redis."""


@dataclass(frozen=True, slots=True)
class SlowlogEntry:
    """A slow command. ``timestamp`` is in seconds since the epoch, ``microseconds`` is the time that it took."""

    id: int
    timestamp: int
    microseconds: int
    args: Args
    address: bytes
    client_name: bytes


class Slowlog:
    """The slow commands of a server, newest first. Thread-safe."""

    def __init__(self) -> None:
        self.threshold: float = DEFAULT_SLOWLOG_SLOWER_THAN * 1000
        """Nanoseconds that a command may take without being listed. Infinite if the log is off."""
        self._lock = threading.Lock()
        self._entries: deque[SlowlogEntry] = deque(maxlen=DEFAULT_SLOWLOG_MAX_LEN)
        self._next_id = 0

    def push(self, args: Args, nanoseconds: int, address: str, client_name: bytes) -> None:
        """Add a command, with its arguments redacted already, in Redis's abbreviated form."""
        shown = [abbreviated(arg, MAX_ARG_SIZE) for arg in args[: MAX_ARGS if len(args) <= MAX_ARGS else MAX_ARGS - 1]]
        if len(args) > MAX_ARGS:
            shown.append(more_arguments(len(args) - MAX_ARGS + 1))
        timestamp = time.time_ns() // 10**9
        with self._lock:
            entry = SlowlogEntry(self._next_id, timestamp, nanoseconds // 1000, shown, address.encode(), client_name)
            self._entries.appendleft(entry)
            self._next_id += 1

    def entries(self) -> list[SlowlogEntry]:
        """Return the entries, newest first."""
        with self._lock:
            return list(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def max_length(self) -> int:
        """The number of entries that are stored. Setting a smaller one removes the oldest."""
        return self._entries.maxlen or 0

    @max_length.setter
    def max_length(self, length: int) -> None:
        with self._lock:
            self._entries = deque(list(self._entries)[:length], maxlen=length)

    def clear(self) -> None:
        """Remove all entries. Ids continue."""
        with self._lock:
            self._entries.clear()
