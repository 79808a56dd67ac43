"""Requests in RESP: `common.resp_requests.RequestDecoder`."""

from __future__ import annotations

import re

from common.resp_client import encode_request
from common.resp_replies import ReplyEncoder
from common.resp_requests import RequestDecoder
from tests.fuzz.properties import LIMITS, check_decoder, decode_all

TOKENS = [b"*", b"$", b"\r\n", b"*1\r\n", b"*2\r\n", b"*8\r\n", b"$0\r\n", b"$1\r\n", b"$3\r\n", b"$100\r\n", b"-1"]

ENCODER = ReplyEncoder()

EMPTY_REQUEST = re.compile(rb"\*(?:0|-[0-9]+)\r\n")


def check(data: bytes) -> None:
    """Decode a stream of requests."""
    found = check_decoder(lambda: RequestDecoder(ENCODER, LIMITS).decode, data, LIMITS.max_request)
    if not EMPTY_REQUEST.search(data):
        requests = [request for _, request in found if isinstance(request, list)]
        assert data.startswith(b"".join(map(encode_request, requests))), "every byte before an error is in a request"
    for _, request in found:
        if isinstance(request, list):
            assert max(map(len, request)) <= LIMITS.max_bulk
            assert sum(map(len, request)) <= LIMITS.max_request
            decode = RequestDecoder(ENCODER, LIMITS).decode
            assert decode_all(decode, [encode_request(request)]) == ([(ENCODER, request)], b"")
