"""However a stream is cut into pieces, what comes out of it is the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.codec import Args, DecodedRequests, Encoder, Request
from common.limits import DEFAULT_LIMITS
from common.replies import Lines, Reply
from common.resp_client import ReplyDecoder, encode_request
from common.resp_replies import ReplyEncoder
from common.resp_requests import MIN_BATCH, MIN_SINGLES, RequestDecoder
from common.text import ENDING_IN_CRLF, ENDING_IN_LF, format_command
from server.protocols.detection import ProtocolDetector
from server.protocols.text_lines import TextDecoder
from tests.harness.sessions import cut, encode, flat
from tests.property.strategies import replies, requests, sizes

RESP = ReplyEncoder()


def as_line(args: Args, ending: bytes) -> bytes:
    """Print a request as a line of text. A blank in front, because ``*`` would begin a RESP request."""
    return b" " + format_command(args) + ending


# ---------------------------------------------------------------- requests


@given(st.lists(requests), sizes)
def test_requests_in_resp_are_read_alike_however_they_are_cut(drawn: list[Args], pieces: list[int]) -> None:
    decoder = RequestDecoder(RESP)
    batches: list[DecodedRequests] = []
    for piece in cut(b"".join(map(encode_request, drawn)), pieces):
        more, rest = decoder.decode(piece)
        assert rest == b""
        batches += more
    assert flat(batches) == [(RESP, args) for args in drawn]


@given(st.lists(st.tuples(requests, st.sampled_from([b"\n", b"\r\n"]))), sizes)
def test_requests_in_text_are_read_alike_however_they_are_cut(
    drawn: list[tuple[Args, bytes]], pieces: list[int]
) -> None:
    decoder = TextDecoder()
    batches: list[DecodedRequests] = []
    for piece in cut(b"".join(as_line(args, ending) for args, ending in drawn), pieces):
        more, rest = decoder.decode(piece)
        assert rest == b""
        batches += more
    by_ending = {b"\n": ENDING_IN_LF, b"\r\n": ENDING_IN_CRLF}
    assert flat(batches) == [(by_ending[ending], args) for args, ending in drawn]


@given(st.lists(st.tuples(requests, st.sampled_from(["RESP", "LF", "CRLF"]))), sizes)
def test_requests_in_both_protocols_are_read_alike_however_they_are_cut(
    drawn: list[tuple[Args, str]], pieces: list[int]
) -> None:
    detector = ProtocolDetector(RESP, DEFAULT_LIMITS)
    encoders: dict[str, Encoder] = {"RESP": RESP, "LF": ENDING_IN_LF, "CRLF": ENDING_IN_CRLF}
    endings = {"LF": b"\n", "CRLF": b"\r\n"}
    stream = b"".join(encode_request(args) if kind == "RESP" else as_line(args, endings[kind]) for args, kind in drawn)
    expected = [(encoders[kind], args) for args, kind in drawn]
    assert [each for piece in cut(stream, pieces) for each in flat(detector.decode(piece))] == expected
    assert [each for piece in cut(stream, pieces) for each in read(detector, piece)] == expected


def read(detector: ProtocolDetector, data: bytes) -> list[tuple[Encoder, Args]]:
    """Decode as a `RequestStream` does: a single request or batch by itself."""
    resp = detector.current_resp
    request = None if resp is None else resp.take_whole(data)
    return flat(detector.decode(data) if request is None else [(RESP, [request])])


ALIKE: list[Args] = [
    [b"GET", b"a"],
    [b"GET", b"\r"],
    [b"TTL", b"a"],
    [b"GET", b"\r\n"],
    [b"SET", b"a", b"1"],
    [b"SET", b"\r\n$1\r\n", b"1"],
    [b"SET", b"1", b"\r\n$1\r\n"],
    [b"SET", b"123456", b"1"],
    [b"PING"],
]


@given(
    st.lists(st.tuples(st.sampled_from(ALIKE), st.integers(1, 2 * MIN_SINGLES), st.sampled_from([1, MIN_BATCH]))), sizes
)
def test_alike_requests_are_read_alike_one_by_one_in_batches_and_however_they_are_cut(
    drawn: list[tuple[Args, int, int]], pieces: list[int]
) -> None:
    reads = [encode_request(args) * count for args, repetitions, count in drawn for _ in range(repetitions)]
    expected = [(RESP, args) for args, repetitions, count in drawn for _ in range(repetitions * count)]
    detector = ProtocolDetector(RESP, DEFAULT_LIMITS)
    assert [each for data in reads for each in read(detector, data)] == expected
    assert [each for piece in cut(b"".join(reads), pieces) for each in read(detector, piece)] == expected


@given(
    st.lists(st.sampled_from([b"*1\r\n", b"*", b"$1\r\n", b"$", b"1", b"-", b"a", b"\r\n", b"\n", b'"', b" "])), sizes
)
def test_any_bytes_are_read_alike_however_they_are_cut(drawn: list[bytes], pieces: list[int]) -> None:
    def read(pieces: list[int]) -> list[tuple[Encoder, Request]]:
        detector = ProtocolDetector(RESP, DEFAULT_LIMITS)
        found: list[tuple[Encoder, Request]] = []
        for piece in cut(b"".join(drawn), pieces):
            found += flat(detector.decode(piece))
            if found and getattr(found[-1][1], "close_connection", False):
                break
        return found

    assert read(pieces) == read([]) == read([1])


# ---------------------------------------------------------------- replies


def in_version_3(reply: Reply) -> Reply:
    """Return what RESP3 keeps of a reply: all of it, but that a last empty line is the end of the line before it."""
    if isinstance(reply, Lines):
        *lines, last = reply.lines or [b""]
        return reply if last or reply.terminated else Lines(lines, terminated=bool(lines))
    if isinstance(reply, list):
        return list(map(in_version_3, reply))
    if isinstance(reply, dict):
        return {key: in_version_3(value) for key, value in reply.items()}
    return reply


def in_version_2(reply: Reply) -> Reply:
    """Return what RESP2 keeps of a reply: it has no truth values, no floating-point numbers, no maps and no blocks."""
    if isinstance(reply, bool):
        return int(reply)
    if isinstance(reply, float):
        return b"%.17g" % reply
    if isinstance(reply, Lines):
        return b"".join(each + b"\n" for each in reply.lines) if reply.terminated else b"\n".join(reply.lines)
    if isinstance(reply, list):
        return list(map(in_version_2, reply))
    if isinstance(reply, dict):
        return [in_version_2(each) for pair in reply.items() for each in pair]
    return reply


@given(st.lists(replies, max_size=3), sizes)
def test_any_replies_survive_resp3_however_they_are_cut(drawn: list[Reply], pieces: list[int]) -> None:
    decoder = ReplyDecoder()
    stream = b"".join(encode(ReplyEncoder(3), reply) for reply in drawn)
    found = [reply for piece in cut(stream, pieces) for reply in decoder.feed(piece)]
    # Compared as they are written, since 1 == 1.0 == True.
    assert repr(found) == repr(list(map(in_version_3, drawn)))


@given(st.lists(replies, max_size=3), sizes)
def test_any_replies_survive_resp2_as_far_as_it_goes(drawn: list[Reply], pieces: list[int]) -> None:
    decoder = ReplyDecoder()
    stream = b"".join(encode(ReplyEncoder(2), reply) for reply in drawn)
    found = [reply for piece in cut(stream, pieces) for reply in decoder.feed(piece)]
    assert repr(found) == repr(list(map(in_version_2, drawn)))
