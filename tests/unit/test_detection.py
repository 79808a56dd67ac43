"""Protocol detection: requests in order, each with its encoder; none after a protocol error that closes the stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from common.codec import DecodedRequests, Decoder, ProtocolError, Request, RequestBatch
from common.errors import INVALID_MULTIBULK_LENGTH, NO_HTTP_HERE, UNBALANCED_QUOTES
from common.limits import DEFAULT_LIMITS
from common.resp_client import encode_request
from common.resp_replies import ReplyEncoder
from common.resp_requests import MAX_BATCH, MIN_BATCH, MIN_SINGLES, RequestDecoder
from common.text import ENDING_IN_CRLF, ENDING_IN_LF
from server.protocols.detection import ProtocolDetector
from server.protocols.json_frames import FrameDecoder
from server.protocols.text_lines import TextDecoder
from tests.harness.sessions import flat


@pytest.fixture
def encoder() -> ReplyEncoder:
    return ReplyEncoder()


@pytest.fixture
def detector(encoder: ReplyEncoder) -> ProtocolDetector:
    return ProtocolDetector(encoder, DEFAULT_LIMITS)


SINGLE = encode_request([b"GET", b"a"])


def test_no_data_makes_no_request(detector: ProtocolDetector) -> None:
    assert detector.decode(b"") == []


def test_consecutive_requests_of_one_encoder_are_one_batch(detector: ProtocolDetector, encoder: ReplyEncoder) -> None:
    data = b"A 1\nB\nC\r\n" + encode_request([b"D"]) + encode_request([b"E", b""]) + b"'\nF\n"
    assert detector.decode(data) == [
        (ENDING_IN_LF, [[b"A", b"1"], [b"B"]]),
        (ENDING_IN_CRLF, [[b"C"]]),
        (encoder, [[b"D"], [b"E", b""]]),
        (ENDING_IN_LF, [ProtocolError(UNBALANCED_QUOTES), [b"F"]]),
    ]


def test_a_partial_request_is_stored_for_the_next_call(detector: ProtocolDetector, encoder: ReplyEncoder) -> None:
    assert detector.decode(b"A\n*1\r\n$1") == [(ENDING_IN_LF, [[b"A"]])]
    assert detector.decode(b"\r\nB\r\nC") == [(encoder, [[b"B"]])]
    assert detector.decode(b"\n") == [(ENDING_IN_LF, [[b"C"]])]


@pytest.mark.parametrize(
    ("decoder", "data", "requests", "rest"),
    [
        (RequestDecoder(ReplyEncoder()), encode_request([b"A"]) + b"B\n", [[b"A"]], b"B\n"),
        (RequestDecoder(ReplyEncoder()), b"*1\r\n$1\r\nA\r\n\0\0\0\2{}", [[b"A"]], b"\0\0\0\2{}"),
        (RequestDecoder(ReplyEncoder()), b"*0\r\nB\n", [], b"B\n"),
        (RequestDecoder(ReplyEncoder()), b"*1\r\n$1\r\n", [], b""),
        (RequestDecoder(ReplyEncoder()), b"*x\r\nB\n", [ProtocolError(INVALID_MULTIBULK_LENGTH, True)], b""),
        (TextDecoder(others=b"*\0"), b"A\n*1\r\n$1\r\nB\r\n", [[b"A"]], b"*1\r\n$1\r\nB\r\n"),
        (TextDecoder(others=b"*\0"), b"A\n\0\0\0\2{}", [[b"A"]], b"\0\0\0\2{}"),
        (TextDecoder(others=b"*\0"), b"A *1\nB", [[b"A", b"*1"]], b""),
        (TextDecoder(), b"A\n*1\n", [[b"A"], [b"*1"]], b""),
        (TextDecoder(others=b"*"), b"GET / HTTP/1.1\n*1\r\n", [ProtocolError(NO_HTTP_HERE, True)], b""),
        (FrameDecoder(), b'\0\0\0\x21{"command": "GET", "key": "abcd"}PING\n', 1, b"PING\n"),
        (FrameDecoder(), b"\0\0", [], b""),
    ],
)
def test_a_decoder_returns_the_rest_if_another_protocol_begins_in_it(
    decoder: Decoder, data: bytes, requests: list[Request] | int, rest: bytes
) -> None:
    batches, found = decoder.decode(data)
    assert found == rest
    decoded = [request for _, batch in batches for request in batch]
    if isinstance(requests, int):
        assert len(decoded) == requests
    else:
        assert decoded == requests


def test_a_partial_request_is_stored_and_nothing_is_left_over() -> None:
    decoder = RequestDecoder(ReplyEncoder())
    assert decoder.decode(b"*1\r\n$3\r\nab") == ([], b"")
    ((_, requests),), rest = decoder.decode(b"c\r\nPING\n")
    assert (requests, rest) == ([[b"abc"]], b"PING\n")


@pytest.mark.parametrize(
    "data",
    [SINGLE[:-1], SINGLE + b"*1", SINGLE * 2, SINGLE + b"PING\n", b"*1\r\n$2\r\na\r\n\r\n", b"PING\n", b""],
    ids=["partial", "and a part", "two", "and text", "CRLF in it", "text", "nothing"],
)
def test_only_a_read_that_is_exactly_one_resp_request_is_taken_by_itself(data: bytes) -> None:
    encoder = ReplyEncoder()
    decoder = RequestDecoder(encoder)
    assert decoder.take_whole(SINGLE) == [b"GET", b"a"]
    assert decoder.take_whole(data) is None
    assert decoder.decode(data) == RequestDecoder(encoder).decode(data)


def test_after_a_batch_a_read_that_is_exactly_one_like_it_is_taken_by_itself() -> None:
    encoder = ReplyEncoder()
    decoder = RequestDecoder(encoder)
    decoder.decode(SINGLE * MAX_BATCH)
    for count in (MIN_BATCH, MAX_BATCH):
        batch = decoder.take_whole(SINGLE * count)
        assert isinstance(batch, RequestBatch)
        assert list(batch) == [[b"GET", b"a"]] * count


@pytest.mark.parametrize(
    "data",
    [
        SINGLE * (MAX_BATCH + 1),
        SINGLE * (MIN_BATCH - 1),
        SINGLE * MIN_BATCH + SINGLE[:-1],
        SINGLE * MIN_BATCH + b"PING\n",
        SINGLE.replace(b"a", b"\r") * MIN_BATCH,
        SINGLE.replace(b"GET", b"TTL") * MIN_BATCH,
        SINGLE * MIN_BATCH + SINGLE.replace(b"$1", b"$2"),
    ],
    ids=["too many", "too few", "and a part", "and text", "CR in it", "another name", "another length"],
)
def test_after_a_batch_any_read_is_decoded_as_before_one(data: bytes) -> None:
    encoder = ReplyEncoder()
    decoder, other = RequestDecoder(encoder), RequestDecoder(encoder)
    decoder.decode(SINGLE * MAX_BATCH)
    request = decoder.take_whole(data)
    found, rest = decoder.decode(data) if request is None else ([(encoder, [request])], b"")
    expected, expected_rest = other.decode(data)
    assert (flat(found), rest) == (flat(expected), expected_rest)


PAIR = encode_request([b"SET", b"a", b"1"])


def test_after_many_alike_requests_an_argument_may_contain_what_is_between_two() -> None:
    encoder = ReplyEncoder()
    decoder = RequestDecoder(encoder)
    for _ in range(2 * MIN_SINGLES):
        decoder.take_whole(encode_request([b"SET", b"123456789", b"1"]))
    for args in ([b"SET", b"\r\n$1\r\n789", b"1"], [b"SET", b"12\r\n$1\r\n9", b"1"]):
        data = encode_request(args)
        request = decoder.take_whole(data)
        assert flat(decoder.decode(data)[0] if request is None else [(encoder, [request])]) == [(encoder, args)]


@pytest.mark.parametrize("single", [SINGLE, PAIR], ids=["an argument", "two arguments"])
@pytest.mark.parametrize(
    "change",
    [
        lambda data: data,
        lambda data: data.replace(b"a", b"b"),
        lambda data: data.replace(b"ET", b"EX"),
        lambda data: data.replace(b"$1\r\na", b"$2\r\nab"),
        lambda data: data.replace(b"a", b"\r"),
        lambda data: data.replace(b"$1\r\na", b"$7\r\n\r\n$1\r\n0"),
        lambda data: data[:-1],
        lambda data: data[:-2] + b"\n\n",
        lambda data: data[:-2] + b"\r\r",
        lambda data: b"+" + data[1:],
        lambda data: data.replace(b"$1", b"$2"),
        lambda data: data.replace(b"$1", b"$0"),
        lambda data: data + data,
        lambda data: data * MIN_BATCH,
        lambda data: b"",
    ],
)
def test_after_many_alike_requests_any_read_is_decoded_as_before_them(
    single: bytes, change: Callable[[bytes], bytes]
) -> None:
    encoder = ReplyEncoder()
    decoder, other = RequestDecoder(encoder), RequestDecoder(encoder)
    for _ in range(2 * MIN_SINGLES):
        assert decoder.take_whole(single) == flat(other.decode(single)[0])[0][1]
    for data in (change(single), single):
        request = decoder.take_whole(data)
        found, rest = decoder.decode(data) if request is None else ([(encoder, [request])], b"")
        expected, expected_rest = other.decode(data)
        assert (flat(found), rest) == (flat(expected), expected_rest)


def test_the_current_decoder_is_that_of_resp_only_after_a_resp_request(detector: ProtocolDetector) -> None:
    assert detector.current_resp is None
    detector.decode(SINGLE)
    assert detector.current_resp is not None
    for other in (b"PING\n", b"\0\0\0\2{}"):
        detector.decode(SINGLE + other)
        assert detector.current_resp is None


NO_HTTP = ProtocolError(NO_HTTP_HERE, close_connection=True)
BAD_COUNT = ProtocolError(INVALID_MULTIBULK_LENGTH, close_connection=True)


@pytest.mark.parametrize(
    "following", [b"", b"SET a 1\n", b"\r\n\r\n", encode_request([b"PING"]), b"*x\r\n", b"Host: x\n"]
)
@pytest.mark.parametrize(
    ("broken", "problem"), [(b"GET / HTTP/1.1\n", NO_HTTP), (b"*x\r\n", BAD_COUNT)], ids=["text", "RESP"]
)
def test_a_protocol_error_that_closes_the_connection_is_the_last_request(
    detector: ProtocolDetector, broken: bytes, problem: ProtocolError, following: bytes
) -> None:
    batches: list[DecodedRequests] = detector.decode(b"A\n" + broken + following)
    requests = [request for _, requests in batches for request in requests]
    assert requests == [[b"A"], problem]


class CountedBytes(bytes):
    """Bytes that count how much of them is split."""

    total = 0

    def split(self, *args: Any) -> list[bytes]:
        CountedBytes.total += len(self)
        return super().split(*args)

    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        return CountedBytes(part) if isinstance(part, bytes) else part


@pytest.mark.parametrize("unit", [b"\n*0\r\n", b"P\n*1\r\n$1\r\nP\r\n", b"*1\r\n$1\r\nP\r\n\0\0\0\2{}"])
def test_changes_of_the_protocol_within_a_read_take_linear_time(detector: ProtocolDetector, unit: bytes) -> None:
    data = CountedBytes(unit * 500)
    for _ in range(2):
        CountedBytes.total = 0
        detector.decode(data)
        assert CountedBytes.total <= len(data)
