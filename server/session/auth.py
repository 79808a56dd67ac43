"""The password of a server. All protocols check it here, so one setting protects all of them.

There are no access control lists. The only user is ``default``, as in a Redis that has ``requirepass`` and no ACL.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from common.passwords import to_bytes
from server.stderr_log import RepeatedMessage

DEFAULT_USER = b"default"
"""The only user name."""

logger = logging.getLogger(__name__)


class Authenticator:
    """Checks passwords, and counts and logs those that are wrong. Every method may be called by any thread."""

    def __init__(self) -> None:
        self.denied = 0
        """Attempts with a wrong password or user name since the start or the last `reset_stats`."""
        self._is_right: Callable[[bytes], bool] | None = None  # a function, so that no `repr` shows the password
        self._lock = threading.Lock()  # guards `denied`
        # The address and not the user name, in whose place a client may have sent its password.
        self._denials = RepeatedMessage(logger, logging.WARNING, "%s sent a wrong password or user name")

    @property
    def required(self) -> bool:
        """Whether a new client must authenticate."""
        return self._is_right is not None

    def set_password(self, password: str) -> None:
        """Require this password from now on, or none if it is empty. Clients that have authenticated stay so."""
        if not password:
            self._is_right = None
            return
        from hmac import compare_digest  # noqa: PLC0415  # takes 5 ms, and most servers have no password

        right = to_bytes(password)
        # In constant time: `compare_digest` takes as long as its second argument, so the duration reveals neither the
        # length of the password nor how much of a guess is right.
        self._is_right = lambda guess: compare_digest(right, guess)

    def accepts(self, user: bytes, password: bytes, address: str) -> bool:
        """Return whether a client at this address may use the server. If not, count it, and log the address.

        Without a password every password is right, as for a user of Redis with ``nopass``.
        """
        is_right = self._is_right  # read once: CONFIG SET may replace it meanwhile
        if (is_right is None or is_right(password)) and user == DEFAULT_USER:
            return True
        with self._lock:
            self.denied += 1
        self._denials.log(address)
        return False

    def reset_stats(self) -> None:
        """Count from zero, for CONFIG RESETSTAT."""
        with self._lock:
            self.denied = 0
