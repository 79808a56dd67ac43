"""Detect the protocol of each request on a TCP connection by its first byte.

    "*"          RESP                          `common.resp_requests`
    0x00 ...     a length-prefixed JSON frame  `server.protocols.json_frames`
    others       a line of text                `server.protocols.text_lines`

To add a protocol, write its decoder and encoder (`common.codec`) and register the bytes that begin a request here.
"""

from __future__ import annotations

from common.codec import DecodedRequests, Decoder, closes_connection
from common.limits import Limits
from common.resp_replies import ReplyEncoder
from common.resp_requests import RequestDecoder
from server.protocols.json_frames import LENGTH_PREFIX_BYTES, FrameDecoder
from server.protocols.telnet import IAC
from server.protocols.text_lines import TextDecoder

_RESP = ord("*")
_FRAMES = frozenset(LENGTH_PREFIX_BYTES)
_NOT_TEXT = bytes([_RESP, *LENGTH_PREFIX_BYTES]).replace(bytes([IAC]), b"")


class ProtocolDetector:
    """Decode the requests of one connection, which may change the protocol between requests.

    ``resp`` encodes the replies to RESP requests. The session changes its version after HELLO. ``limits`` bound what is
    stored of a partial request. With ``resp_only`` the replies to lines of text are RESP too, as in Redis. The response
    to an HTTP request names ``http_port``, the port of this server that speaks HTTP.
    """

    __slots__ = ("_current", "_encoder", "_frames", "_limits", "_resp", "_text", "current_resp")

    def __init__(
        self, resp: ReplyEncoder, limits: Limits, *, resp_only: bool = False, http_port: int | None = None
    ) -> None:
        self._limits = limits
        self._encoder = resp
        # Made when they are needed: a client uses one of them, and an idle one none.
        self._resp: RequestDecoder | None = None
        self._frames: FrameDecoder | None = None
        self._text: Decoder = TextDecoder(
            limits, others=_NOT_TEXT, encoder=resp if resp_only else None, http_port=http_port
        )
        self._current: Decoder = self._text
        self.current_resp: RequestDecoder | None = None
        """The decoder of the last request, if that was RESP. Its `take_whole` may be called before `decode`."""

    def decode(self, data: bytes) -> list[DecodedRequests]:
        """Return the requests that ``data`` completes, in order, grouped by encoder.

        After a `ProtocolError` that closes the connection, which is then the last request, do not call this again.
        """
        # The decoder of the last request continues, because it may store a partial one. It returns data that begins
        # with another protocol's first byte, and only if it stores nothing, so no byte is read by two decoders.
        batches, rest = self._current.decode(data)
        while rest and not closes_connection(batches):
            self._use_decoder_of(rest[0])
            more, rest = self._current.decode(rest)
            batches += more
        return batches

    def decode_one(self, data: bytes) -> tuple[list[DecodedRequests], bytes]:
        """Return the first request that ``data`` completes, if any, and the data after it.

        After a `ProtocolError` that closes the connection do not call this again.
        """
        batches, rest = self._current.decode_one(data)
        while rest and not batches:
            self._use_decoder_of(rest[0])
            batches, rest = self._current.decode_one(rest)
        return batches, rest

    def use(self, limits: Limits) -> None:
        """Obey these bounds from now on."""
        self._limits = limits
        for decoder in (self._text, self._resp, self._frames):
            if decoder is not None:
                decoder.use(limits)

    def _use_decoder_of(self, first_byte: int) -> None:
        self._current = self._decoder_of(first_byte)
        self.current_resp = self._resp if self._current is self._resp else None

    def _decoder_of(self, first_byte: int) -> Decoder:
        # IAC begins a command of telnet, which the text decoder reads. It returns one that begins a frame's length.
        if first_byte == IAC and self._current is not self._text:
            return self._text
        if first_byte == _RESP:
            if self._resp is None:
                self._resp = RequestDecoder(self._encoder, self._limits)
            return self._resp
        if first_byte not in _FRAMES:
            return self._text
        if self._frames is None:
            self._frames = FrameDecoder(self._limits)
        return self._frames
