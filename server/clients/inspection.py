"""Whether each request needs a look before or after it is executed."""

from __future__ import annotations

import threading


class Inspection:
    """The features that concern every request while they are used: MONITOR, CLIENT PAUSE, tracking, notifications.

    A session reads ``needed`` for every request. So there is one attribute to read, however many features there are.
    """

    def __init__(self) -> None:
        self.needed = False
        """Whether a feature is used, so that requests take the slower path."""
        self.one_by_one = False
        """Whether one of them looks at each request, so that no batch is executed as a whole."""
        self._lock = threading.Lock()
        self._features: dict[str, bool] = {}  # whether they look at each request

    def set(self, feature: str, *, used: bool, one_by_one: bool = True) -> None:
        """Note that a feature is used from now on, or is not. Thread-safe.

        One that is not ``one_by_one`` is concerned by what requests change, and not by each request of a batch.
        """
        with self._lock:
            if used:
                self._features[feature] = one_by_one
            else:
                self._features.pop(feature, None)
            self.needed = bool(self._features)
            self.one_by_one = any(self._features.values())
