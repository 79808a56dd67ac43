"""JSON frames as a stream: `server.protocols.json_frames.FrameDecoder`."""

from __future__ import annotations

from server.protocols.json_frames import HEADER, FrameDecoder
from tests.fuzz.properties import LIMITS, check_decoder

TOKENS = [
    *(b"\0\0\0\1{", b"\0\0\0\2{}", b'\0\0\0\x10{"command":"RST"}', b"\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\xc8"),
    *(b'{"command":"GET","key":"k"}', b'"args":["a",1]', b'"value":'),
]


def check(data: bytes) -> None:
    """Decode a stream of frames."""
    check_decoder(lambda: FrameDecoder(LIMITS).decode, data, HEADER.size + LIMITS.max_frame)
