"""Bounds on what the requests of one client can make the server store.

Every declared length is checked against these before a byte of it is stored. A declared length never sizes a buffer:
buffers grow with the bytes that have arrived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

MAX_UNAUTHENTICATED_ARGS = 10
MAX_UNAUTHENTICATED_ARG = 16 * KIB
"""The number of arguments, and the bytes of each, in a request before authentication, as in Redis since 6.2.6.

Otherwise a client without the password could make the server store what it likes (CVE-2021-32675). A line of text and a
frame have as many bytes as an argument.
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on the input of one connection, in bytes unless the name says otherwise.

    The defaults are Redis's (``PROTO_INLINE_MAX_SIZE``, ``proto-max-bulk-len``, ``client-query-buffer-limit``).
    """

    max_line: int = 64 * KIB
    """A line of text, without its line break. A longer one is skipped to its end, and the connection stays open."""

    max_bulk: int = 512 * MIB
    """An argument of a RESP request."""

    max_frame: int = 16 * MIB - 1
    """The JSON of a frame. The first byte of a longer one's length would not be zero.

    That byte selects the protocol (`server.protocols.detection`), so this limit can be lowered and not raised.
    """

    max_args: int = 1024 * 1024
    """The number of arguments of a request, and of commands in a transaction.

    Redis 6's limit. Redis 7 accepts up to 2**31 - 1, which would let a client make the server create as many objects.
    """

    max_request: int = GIB
    """The arguments of a request together, and of all commands in a transaction."""

    max_replies: int = GIB
    """The replies of a transaction together. They exist at the same time, because EXEC executes before it replies."""

    max_watched: int = 64 * MIB
    """The keys that a client watches together, with what it costs to watch them."""

    unauthenticated: bool = False
    """The client has not authenticated. Then a request beyond a bound closes the connection in every protocol."""

    def before_authentication(self) -> Limits:
        """Return the bounds for a client that has not authenticated."""
        return replace(
            self,
            max_line=min(self.max_line, MAX_UNAUTHENTICATED_ARG),
            max_bulk=min(self.max_bulk, MAX_UNAUTHENTICATED_ARG),
            max_frame=min(self.max_frame, MAX_UNAUTHENTICATED_ARG),
            max_args=MAX_UNAUTHENTICATED_ARGS,
            unauthenticated=True,
        )

    def allow(self, args: Sequence[bytes]) -> bool:
        """Return whether the sizes of a request's arguments are within the bounds."""
        # Only for requests whose read is larger than a limit, so the cost of a list does not matter.
        sizes = list(map(len, args))
        return max(sizes) <= self.max_bulk and sum(sizes) <= self.max_request


DEFAULT_LIMITS = Limits()

ARGUMENT_OVERHEAD = 64
"""Bytes charged per stored argument besides its length, so that a million empty arguments count too."""


def size_of_args(args: Sequence[bytes]) -> int:
    """Return how many bytes the arguments of a command take, with `ARGUMENT_OVERHEAD` for each."""
    return sum(map(len, args)) + ARGUMENT_OVERHEAD * len(args)
