"""JSON from clients: a frame's body, and a stored value that a frame's GET reads."""

from __future__ import annotations

import json
import math
from typing import Any

from common.codec import ProtocolError
from server.protocols.json_frames import GET_REPLY, HEADER, FrameDecoder
from server.protocols.strict_json import MAX_DEPTH, UnreadableJSON, dump_json, parse_json
from tests.fuzz.properties import flat
from tests.harness.sessions import encode

TOKENS = [
    *(b'{"command":', b'"GET"', b'"SET"', b'"key":"k"', b'"value":', b'"args":[', b"]", b"[", b"{", b"}", b","),
    *(b"null", b"true", b"1e400", b"-0.0", b"NaN", b"Infinity", b'"\\ud800"', b"\\u0000", b"9" * 30, b"\xed\xa0\x80"),
]


def check(data: bytes) -> None:
    """Use the input as the body of a request, as JSON, and as a stored value."""
    if data:
        batches, rest = FrameDecoder().decode(HEADER.pack(len(data)) + data)
        ((_, request),) = flat(batches)  # one reply per frame, so that the connection stays in step
        assert rest == b""
        assert not (isinstance(request, ProtocolError) and request.close_connection)
    reply = encode(GET_REPLY, data)
    assert HEADER.unpack_from(reply)[0] == len(reply) - HEADER.size
    assert json.loads(reply[HEADER.size :])["status_code"] == 200
    try:
        value = parse_json(data)
    except UnreadableJSON:
        return
    check_value(value, MAX_DEPTH)
    assert repr(parse_json(dump_json(value))) == repr(value)


def check_value(value: Any, max_depth: int) -> None:
    """Assert that a value has no number that JSON cannot express, and is not nested deeper than allowed."""
    if isinstance(value, float):
        assert math.isfinite(value)
    elif isinstance(value, list | dict):
        assert max_depth > 0
        for item in value.values() if isinstance(value, dict) else value:
            check_value(item, max_depth - 1)
