"""Cut a connection's bytes into requests, each in the dialect that its first byte names.

To add a dialect: write its decoder and encoder, and give the bytes that begin it here. A first byte that nobody claims
begins a line of text.
"""

from __future__ import annotations

from common.codec import DecodedRequests, Decoder, ProtocolError
from common.limits import Limits
from common.resp import ReplyEncoder, RequestDecoder
from common.text import TextDecoder
from server.protocols.json_frames import FIRST_BYTES, FrameDecoder


class ProtocolDetector:
    """Read every dialect that may stand on one connection, request by request."""

    def __init__(self, resp: ReplyEncoder, limits: Limits) -> None:
        frames = FrameDecoder(limits)
        self._by_first_byte: dict[int, Decoder] = {
            ord("*"): RequestDecoder(resp, limits),
            **dict.fromkeys(FIRST_BYTES, frames),
        }
        self._text: Decoder = TextDecoder(limits, others=bytes(self._by_first_byte))
        self._current: Decoder = self._text

    def feed(self, data: bytes) -> list[DecodedRequests]:
        """Take what has arrived; return the requests that are complete with it, in order, by dialect.

        After a fatal ``BadRequest``, which is then the last, nothing more may be fed.
        """
        batches: list[DecodedRequests] = []
        at = 0
        while True:
            data, at = self._current.decode(data, at, batches)
            if at >= len(data) or _is_broken(batches):
                return batches
            self._current = self._by_first_byte.get(data[at], self._text)


def _is_broken(batches: list[DecodedRequests]) -> bool:
    if not batches:
        return False
    last = batches[-1][1][-1]
    return isinstance(last, ProtocolError) and last.close_connection
