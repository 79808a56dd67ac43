"""What a protocol's codec provides: a decoder from bytes to requests, an encoder from replies to bytes.

A decoder has three outcomes: a request (its arguments), "more bytes" (nothing is returned, the partial request is
stored), or a `ProtocolError`, which takes the place of the request in the sequence so that its error is replied to in
order. A `ProtocolReply` among the requests is sent in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, cast

from common.limits import Limits
from common.replies import ErrorReply, Reply


# Not an exception: a decoder returns the valid requests of a read together with the invalid one after them.
@dataclass(frozen=True, slots=True)
class ProtocolError:
    """A request that could not be read. After ``close_connection`` nothing later in the stream can be trusted."""

    error: ErrorReply
    close_connection: bool = False


@dataclass(frozen=True, slots=True)
class ProtocolReply:
    """What the protocol itself sends, in its place among the replies: the refusal of a telnet option.

    It replies to no request: nothing is executed or counted, and CLIENT REPLY does not suppress it.
    """

    reply: Reply


Args: TypeAlias = list[bytes]
"""A request: the command name and its arguments. Never empty: decoders skip empty requests."""


class RequestBatch:
    """Consecutive requests with the same name and the same number of arguments.

    The arguments are in columns: three ``SET key value`` have a column of three keys and a column of three values.
    Iterating yields the requests one by one.
    """

    __slots__ = ("columns", "count", "name")

    def __init__(self, name: bytes, columns: list[list[bytes]]) -> None:
        self.name = name
        self.columns = columns
        self.count = len(columns[0])

    def __iter__(self) -> Iterator[Args]:
        for args in zip(*self.columns, strict=True):
            yield [self.name, *args]


Request: TypeAlias = Args | ProtocolError | ProtocolReply
DecodedRequest: TypeAlias = Request | RequestBatch
"""What a decoder returns. Pipelined requests that are alike are executed and encoded together."""


Scalars: TypeAlias = Mapping[type, Callable[[Any], bytes | None]]
Columns: TypeAlias = Mapping[type, Callable[[Sequence[Any]], bytes | None]]
NO_COLUMNS: Columns = {}


class Encoder(Protocol):
    """The half of a codec that writes replies.

    ``scalars`` maps a reply's type to a function that encodes the reply at once, or returns None if the reply is too
    large for that. Every other reply goes through ``stream``, so that a large reply never exists twice in memory. A
    `Push` is always encoded at once. All encoders of one protocol have the same function for it, so that a message is
    encoded once for all subscribers.

    ``columns`` has functions that encode several replies of a type in less time, for some types. They return None if
    the replies are too large together, and may raise TypeError if they have different types.
    """

    scalars: Scalars
    columns: Columns

    @property
    def marks_pushes(self) -> bool:
        """Whether a client can distinguish a push from a reply."""
        ...

    def stream(self, reply: Reply) -> Iterator[bytes]:
        """Encode any reply in pieces of at most about `common.pieces.PIECE_SIZE` bytes, or one line of `Lines`."""
        ...


def encode_together(scalars: Scalars, columns: Columns, replies: Sequence[Reply]) -> bytes | None:
    """Encode replies, one or more, with what an `Encoder` has. Return None if one of them cannot be encoded at once."""
    encode_column = columns.get(type(replies[0]))
    if encode_column is not None:
        try:
            encoded = encode_column(replies)
        except TypeError:  # the others have another type
            encoded = None
        if encoded is not None:
            return encoded
    try:
        return b"".join(cast("list[bytes]", [scalars[type(reply)](reply) for reply in replies]))
    except (KeyError, TypeError):  # no function for the type, or None instead of bytes
        return None


# The encoder travels with its requests, because the protocol may change between two requests of one read.
DecodedRequests: TypeAlias = tuple[Encoder, list[DecodedRequest]]
"""Consecutive requests, and the encoder for their replies."""


class Decoder(Protocol):
    """The half of a codec that reads requests. One instance per connection, because it stores a partial request."""

    def decode(self, data: bytes) -> tuple[list[DecodedRequests], bytes]:
        """Return the requests that ``data`` completes, and the rest of the data if another protocol begins in it.

        The rest is empty if all data was used or stored. After a `ProtocolError` that closes the connection, which is
        then the last request, the rest is empty and no more data may be passed in.
        """
        ...

    def decode_one(self, data: bytes) -> tuple[list[DecodedRequests], bytes]:
        """Return the first request that ``data`` completes, if any, and the data after it.

        For a client that has not authenticated, because the request may change the bounds on those after it. What the
        protocol itself sends, in reply to telnet's commands before the request, is returned with it.
        """
        ...

    def use(self, limits: Limits) -> None:
        """Obey these bounds from now on. They bound the rest of a partial request too, except for its argument."""
        ...


def closes_connection(batches: list[DecodedRequests]) -> bool:
    """Return whether the last request is a `ProtocolError` that closes the connection."""
    if not batches:
        return False
    # Only the last request can be one: no decoder reads on after such an error (`Decoder`).
    last = batches[-1][1][-1]
    return isinstance(last, ProtocolError) and last.close_connection
