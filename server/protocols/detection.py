"""Detect the protocol of each request on a TCP connection by its first byte.

    "*"          RESP                          `common.resp`
    0x00 ...     a length-prefixed JSON frame  `server.protocols.json_frames`
    others       a line of text                `common.text`

To add a protocol, write its decoder and encoder (`common.codec`) and register the bytes that begin a request here.
"""

from __future__ import annotations

from common.codec import DecodedRequests, Decoder, ProtocolError
from common.limits import Limits
from common.resp import ReplyEncoder, RequestDecoder
from common.text import TextDecoder
from server.protocols.json_frames import LENGTH_PREFIX_BYTES, FrameDecoder


class ProtocolDetector:
    """Decode the requests of one connection, which may change the protocol between requests.

    ``resp`` encodes the replies to RESP requests. The session changes its version after HELLO. ``limits`` bound what is
    stored of a partial request.
    """

    def __init__(self, resp: ReplyEncoder, limits: Limits) -> None:
        # One decoder for all bytes that begin a length: it stores the partial frame.
        frames = FrameDecoder(limits)
        self._by_first_byte: dict[int, Decoder] = {
            ord("*"): RequestDecoder(resp, limits),
            **dict.fromkeys(LENGTH_PREFIX_BYTES, frames),
        }
        self._text: Decoder = TextDecoder(limits, others=bytes(self._by_first_byte))
        self._current: Decoder = self._text

    def decode(self, data: bytes) -> list[DecodedRequests]:
        """Return the requests that ``data`` completes, in order, grouped by encoder.

        After a `ProtocolError` that closes the connection, which is then the last request, do not call this again.
        """
        # The decoder of the last request continues, because it may store a partial one. It returns data that begins
        # with another protocol's first byte, and only if it stores nothing, so no byte is read by two decoders.
        batches, rest = self._current.decode(data)
        while rest and not _closes_connection(batches):
            self._current = self._by_first_byte.get(rest[0], self._text)
            more, rest = self._current.decode(rest)
            batches += more
        return batches


def _closes_connection(batches: list[DecodedRequests]) -> bool:
    if not batches:
        return False
    # Only the last request can be one: no decoder reads on after such an error (`common.codec.Decoder`).
    last = batches[-1][1][-1]
    return isinstance(last, ProtocolError) and last.close_connection
