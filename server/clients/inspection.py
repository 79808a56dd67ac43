"""Whether each request needs a look before or after it is executed."""

from __future__ import annotations

import threading


class Inspection:
    """The features that concern every request while they are used: MONITOR, CLIENT PAUSE, tracking, notifications.

    A session reads ``needed`` for every request. So there is one attribute to read, however many features there are.
    """

    def __init__(self) -> None:
        self.needed = False
        """Whether a feature is used, so that requests are executed one by one on the slower path."""
        self._lock = threading.Lock()
        self._features: set[str] = set()

    def set(self, feature: str, *, used: bool) -> None:
        """Note that a feature is used from now on, or is not. Thread-safe."""
        with self._lock:
            if used:
                self._features.add(feature)
            else:
                self._features.discard(feature)
            self.needed = bool(self._features)
