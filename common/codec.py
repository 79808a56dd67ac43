"""What a dialect's decoder hands on: requests, and those that could not be read.

A decoder has three outcomes: a request (its words), "more bytes, please" (nothing handed on), or a ``BadRequest``,
which stands in the stream where the request would have stood, so that its error is answered in its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from common.replies import ErrorReply, Reply


@dataclass(frozen=True, slots=True)
class ProtocolError:
    """A request that could not be read. After a ``fatal`` one nothing later in the stream can be trusted."""

    error: ErrorReply
    close_connection: bool = False


Args: TypeAlias = list[bytes]
Request: TypeAlias = Args | ProtocolError


def protocol_error(reason: bytes, *, close_connection: bool) -> ProtocolError:
    """Make the refusal of bytes that break a dialect's rules, worded as Redis words it."""
    return ProtocolError(ErrorReply(b"ERR Protocol error: " + reason), close_connection)


class Encoder(Protocol):
    """The half of a dialect that writes replies.

    ``scalars`` maps a reply's type to the function that encodes it whole. Any other reply goes through ``stream``,
    piece by piece, so that a reply far larger than a write never stands in memory twice.
    """

    scalars: Mapping[type, Callable[[Any], bytes]]

    def stream(self, reply: Reply) -> Iterator[bytes]: ...


DecodedRequests: TypeAlias = tuple[Encoder, list[Request]]


class Decoder(Protocol):
    """The half of a dialect that reads requests, one instance a connection; it keeps an unfinished request itself."""

    def decode(self, data: bytes, at: int, batches: list[DecodedRequests]) -> tuple[bytes, int]:
        """Append the requests that ``data`` holds from ``at`` on; return where to go on reading.

        Returns the end of the data when all of it was used or kept, or the place at which a request of another dialect
        begins. After a fatal ``BadRequest`` what it returns has no meaning.
        """
        ...
