"""The reader: requests come out in order, each with its dialect, and nothing comes after a fatal one."""

from __future__ import annotations

import pytest

from common.limits import DEFAULT_LIMITS
from common.requests import BadRequest, Batch, protocol_error
from common.resp import ReplyEncoder
from common.resp_client import encode_request
from common.text import ENDING_IN_CRLF, ENDING_IN_LF, UNBALANCED_QUOTES
from server.reader import RequestReader


@pytest.fixture
def encoder() -> ReplyEncoder:
    return ReplyEncoder()


@pytest.fixture
def reader(encoder: ReplyEncoder) -> RequestReader:
    return RequestReader(encoder, DEFAULT_LIMITS)


def test_nothing_makes_no_request(reader: RequestReader) -> None:
    assert reader.feed(b"") == []


def test_requests_that_are_answered_alike_come_in_one_batch(reader: RequestReader, encoder: ReplyEncoder) -> None:
    data = b"A 1\nB\nC\r\n" + encode_request([b"D"]) + encode_request([b"E", b""]) + b"'\nF\n"
    assert reader.feed(data) == [
        (ENDING_IN_LF, [[b"A", b"1"], [b"B"]]),
        (ENDING_IN_CRLF, [[b"C"]]),
        (encoder, [[b"D"], [b"E", b""]]),
        (ENDING_IN_LF, [UNBALANCED_QUOTES, [b"F"]]),
    ]


def test_an_unfinished_request_is_kept_for_the_next_feed(reader: RequestReader, encoder: ReplyEncoder) -> None:
    assert reader.feed(b"A\n*1\r\n$1") == [(ENDING_IN_LF, [[b"A"]])]
    assert reader.feed(b"\r\nB\r\nC") == [(encoder, [[b"B"]])]
    assert reader.feed(b"\n") == [(ENDING_IN_LF, [[b"C"]])]


NO_HTTP = protocol_error(b"this port does not speak HTTP", fatal=True)
BAD_COUNT = protocol_error(b"invalid multibulk length", fatal=True)


@pytest.mark.parametrize("behind", [b"", b"SET a 1\n", b"\r\n\r\n", encode_request([b"PING"]), b"*x\r\n", b"Host: x\n"])
@pytest.mark.parametrize(
    ("broken", "problem"), [(b"GET / HTTP/1.1\n", NO_HTTP), (b"*x\r\n", BAD_COUNT)], ids=["text", "RESP"]
)
def test_a_fatal_request_is_the_last(reader: RequestReader, broken: bytes, problem: BadRequest, behind: bytes) -> None:
    batches: list[Batch] = reader.feed(b"A\n" + broken + behind)
    requests = [request for _, requests in batches for request in requests]
    assert requests == [[b"A"], problem]
