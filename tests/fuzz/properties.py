"""What several targets assert: limits on requests, independence of how a stream is cut, bounded memory."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable, Sequence
from typing import TypeAlias
from zlib import crc32

from common.codec import DecodedRequests, Encoder, ProtocolError, Request
from common.errors import line_too_long
from common.limits import Limits
from tests.harness.sessions import cut

LIMITS = Limits(max_line=64, max_bulk=100, max_frame=200, max_args=8, max_request=300)
"""Small, so that short inputs reach them."""

LINE_TOO_LONG = ProtocolError(line_too_long(LIMITS.max_line))

MAX_OVERHEAD = 2048
"""Bytes by which the memory in use may grow besides the input that is stored."""

CHUNK_SIZE = 1024
WARM_UP = 4 * CHUNK_SIZE
"""Bytes of input before the memory is measured. Until then caches and the interpreter's free lists grow."""

STREAM_SIZE = 16 * CHUNK_SIZE
"""Bytes of input between the two measurements."""

MEMORY_SAMPLE = 64
"""Memory is measured for one input in this many, because that takes as long as all other properties of the others."""

Found: TypeAlias = list[tuple[Encoder | None, Request]]
"""Requests with the encoders of their replies. None for an error, whose encoder may depend on how the input is cut."""


def splits(data: bytes) -> list[list[bytes]]:
    """Return the input as a whole, byte by byte, and in pieces of sizes that depend on its checksum."""
    chance = random.Random(crc32(data))
    sizes = [chance.choice((1, 2, 3, 5, 8, 40)) for _ in range(chance.randint(1, 6))]
    return [[data], cut(data, [1]), cut(data, sizes)]


def flat(batches: Sequence[DecodedRequests]) -> Found:
    """Return the requests of batches, none of which may be empty."""
    assert all(requests for _, requests in batches)
    return [
        (None if isinstance(request, ProtocolError) else encoder, request)
        for encoder, requests in batches
        for request in requests
    ]


def closes_connection(found: Found) -> bool:
    """Return whether the last request is an error that closes the connection. No other request may be one."""
    closing = [isinstance(request, ProtocolError) and request.close_connection for _, request in found]
    assert True not in closing[:-1]
    return closing[-1:] == [True]


def settled(found: Found) -> Found:
    """Return the requests without errors of too long lines directly before an error that closes the connection.

    If a line is both too long and binary, its first error is sent only if its beginning arrives in a piece of its own.
    """
    if not closes_connection(found):
        return found
    *requests, last = found
    while requests and requests[-1][1] == LINE_TOO_LONG:
        requests.pop()
    return [*requests, last]


Decode: TypeAlias = Callable[[bytes], tuple[list[DecodedRequests], bytes]]


def decode_all(decode: Decode, pieces: Sequence[bytes]) -> tuple[Found, bytes]:
    """Decode pieces until an error closes the connection or another protocol begins. Return requests and the rest."""
    found: Found = []
    for place, piece in enumerate(pieces):
        batches, rest = decode(piece)
        found += flat(batches)
        if closes_connection(found):
            assert rest == b""
            return found, b""
        if rest:
            return found, rest + b"".join(pieces[place + 1 :])
    return found, b""


def check_limits(found: Found, limits: Limits = LIMITS) -> None:
    """Assert that requests are not empty, and have no more arguments than allowed."""
    for _, request in found:
        if isinstance(request, list):
            assert 0 < len(request) <= limits.max_args
            assert all(type(arg) is bytes for arg in request)


def check_memory(feed: Callable[[bytes], bool], data: bytes, limit: int, size: int = STREAM_SIZE) -> None:
    """Assert that a long stream, which repeats the input, does not make the memory in use grow by more than ``limit``.

    ``feed`` returns whether more data may be passed in. ``size`` is that of the stream. Inputs are sampled.
    """
    if not data or crc32(data) % MEMORY_SAMPLE:  # not at random, so that a failing input fails again
        return
    chunk = data * (CHUNK_SIZE // len(data) + 1)
    tracemalloc.start()
    try:
        used = 0
        for fed in range(0, WARM_UP + size, len(chunk)):
            if fed <= WARM_UP:
                used, _ = tracemalloc.get_traced_memory()
            if not feed(chunk):
                break
        growth = tracemalloc.get_traced_memory()[0] - used
    finally:
        tracemalloc.stop()
    assert growth <= limit + MAX_OVERHEAD, f"the memory in use grew by {growth} bytes"


def check_decoder(new_decode: Callable[[], Decode], data: bytes, stored: int) -> Found:
    """Assert the properties of every decoder of requests. Return the requests in the whole input.

    ``stored`` is the number of bytes that the decoder may store of a partial request.
    """
    (found, rest), *others = [decode_all(new_decode(), pieces) for pieces in splits(data)]
    check_limits(found)
    for other, other_rest in others:
        assert (settled(other), other_rest) == (settled(found), rest)
    decode = new_decode()

    def feed(chunk: bytes) -> bool:
        found, rest = decode_all(decode, [chunk])
        return not rest and not closes_connection(found)

    check_memory(feed, data, stored)
    return found
