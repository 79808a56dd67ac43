"""The bounds on what one peer's requests can make the server hold in memory.

Every length that a peer declares is checked against these before a byte of it is kept, and no buffer is sized by a
declared length: buffers grow with the bytes that really came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one connection's input, all in bytes unless the name says otherwise.

    The defaults are those of Redis (``proto-max-bulk-len``, ``PROTO_INLINE_MAX_SIZE``, ``client-query-buffer-limit``).
    """

    max_line: int = 64 * KIB
    """A line of the text dialect, without its line break."""

    max_bulk: int = 512 * MIB
    """One word of a RESP request."""

    max_frame: int = 16 * MIB - 1
    """The JSON text of a frame. A longer one would have a length that does not begin with a zero."""

    max_args: int = 1024 * 1024
    """How many words one request may have."""

    max_request: int = GIB
    """All words of one request together, and all requests that one transaction has queued."""

    def allow(self, args: Sequence[bytes]) -> bool:
        """Tell whether the words of a request are within the bounds on their sizes."""
        sizes = list(map(len, args))
        return max(sizes) <= self.max_bulk and sum(sizes) <= self.max_request


DEFAULT_LIMITS = Limits()
