"""A stream that changes its protocol: `server.protocols.detection.ProtocolDetector`."""

from __future__ import annotations

from common.resp_replies import ReplyEncoder
from common.resp_requests import MAX_HEADER_SIZE
from server.protocols.detection import ProtocolDetector
from tests.fuzz.properties import LIMITS, Decode, check_decoder

TOKENS = [
    *(b"PING\n", b"PING\r\n", b"*1\r\n$4\r\nPING\r\n", b'\0\0\0\x12{"command":"PING"}', b"*0\r\n", b"\n", b"*", b"\0"),
    *(b"GET / HTTP/1.1\r\n", b"Host: x\r\n", b"\x16\x03\x01", b"\xff", b"\x80", b'"', b"$1\r\n"),
]

ENCODER = ReplyEncoder()


def new_decode() -> Decode:
    detector = ProtocolDetector(ENCODER, LIMITS)
    return lambda data: (detector.decode(data), b"")


def check(data: bytes) -> None:
    """Decode a stream of requests in any protocol."""
    check_decoder(new_decode, data, LIMITS.max_line + LIMITS.max_frame + LIMITS.max_request + MAX_HEADER_SIZE)
