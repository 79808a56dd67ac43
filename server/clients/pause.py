"""CLIENT PAUSE: requests wait until a time, or until CLIENT UNPAUSE."""

from __future__ import annotations

import threading
import time

from server.clients.inspection import Inspection
from server.clients.registry import ClientInfo


class ClientPause:
    """A pause of all clients, or of those that write. Thread-safe.

    A request that must wait waits in a thread that serves no other client: see `Session.execute_deferred`.
    """

    def __init__(self, inspection: Inspection) -> None:
        self._inspection = inspection
        self._changed = threading.Condition()
        self._end = 0.0  # `time.monotonic` of the end
        self._writes_only = False
        self.waiting = 0
        """Requests that wait at present."""

    def begin(self, seconds: float, *, writes_only: bool) -> None:
        """Pause. A pause that is in effect becomes neither shorter nor weaker, as in Redis."""
        with self._changed:
            is_new = self._has_ended()
            end = time.monotonic() + seconds
            self._writes_only = writes_only and (is_new or self._writes_only)
            self._end = end if is_new else max(self._end, end)
            self._inspection.set("pause", used=True)

    def end(self) -> None:
        """Let all requests continue."""
        with self._changed:
            self._end = 0.0
            self._inspection.set("pause", used=False)
            self._changed.notify_all()

    def concerns(self, *, write: bool) -> bool:
        """Return whether a request, which may write or not, must wait."""
        with self._changed:
            if self._has_ended():
                self._inspection.set("pause", used=False)
                return False
            return write or not self._writes_only

    def wake(self) -> None:
        """Let requests whose clients were killed go on."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, client: ClientInfo, *, write: bool) -> None:
        """Wait until a request may be executed, or until its client was killed (`wake`)."""
        with self._changed:
            self.waiting += 1
            try:
                while not (client.is_killed or self._has_ended()) and (write or not self._writes_only):
                    self._changed.wait(min(self._end - time.monotonic(), threading.TIMEOUT_MAX))
            finally:
                self.waiting -= 1

    def _has_ended(self) -> bool:
        return time.monotonic() >= self._end
