"""RESP requests, good and bad: each whole, byte by byte, in odd pieces, and with something after it."""

from __future__ import annotations

import itertools

import pytest

from common.limits import Limits
from common.resp_client import encode_request
from common.resp_requests import MAX_HEADER_SIZE
from server.engines.embedded import EmbeddedEngine
from tests.harness.cases import case
from tests.harness.sessions import ClientSession, execute, feed, new_session
from tests.harness.stores import new_store, pairs

PING = encode_request([b"PING"])
WAYS: dict[str, tuple[int, ...]] = {
    "in one piece": (),
    "byte by byte": (1,),
    "in odd pieces": (2, 5),
    "in sevens": (7, 1),
}
EVERY_WAY = pytest.mark.parametrize("sizes", WAYS.values(), ids=WAYS)

COUNT = "invalid multibulk length"
LENGTH = "invalid bulk length"
NO_CRLF = "expected CRLF after a bulk string"

MALFORMED = {
    "a count that is empty": (b"*\r\n", COUNT),
    "a count that is no number": (b"*x\r\n", COUNT),
    "a count with a number and more": (b"*1x\r\n", COUNT),
    "a count with a leading zero": (b"*01\r\n", COUNT),
    "a count with a plus": (b"*+1\r\n", COUNT),
    "a count of minus zero": (b"*-0\r\n", COUNT),
    "a count with a blank": (b"* 1\r\n", COUNT),
    "a count with an underscore": (b"*1_0\r\n", COUNT),
    "a count in other digits": ("*\u0661\r\n".encode(), COUNT),
    "a count with a line feed in it": (b"*1\n\r\n", COUNT),
    "a count beyond the limit": (b"*1048577\r\n", COUNT),
    "a count of 64 bits": (b"*9223372036854775807\r\n", COUNT),
    "a count beyond 64 bits": (b"*99999999999999999999\r\n", COUNT),
    "a count whose line does not end": (b"*" + b"1" * (MAX_HEADER_SIZE - 1), COUNT),
    "a count whose line ends too late": (b"*" + b"1" * MAX_HEADER_SIZE + b"\r\n", COUNT),
    "a count whose line ends in LF alone": (b"*1\n$4\nPING\n" + b" " * MAX_HEADER_SIZE, COUNT),
    "a length that is empty": (b"*1\r\n$\r\n", LENGTH),
    "a length that is no number": (b"*1\r\n$x\r\n", LENGTH),
    "a length with a number and more": (b"*1\r\n$4x\r\nPING\r\n", LENGTH),
    "a length with a leading zero": (b"*1\r\n$04\r\nPING\r\n", LENGTH),
    "a length of two zeros": (b"*1\r\n$00\r\n\r\n", LENGTH),
    "a length with a plus": (b"*1\r\n$+4\r\nPING\r\n", LENGTH),
    "a length with a blank": (b"*1\r\n$ 4\r\nPING\r\n", LENGTH),
    "a length of minus one": (b"*1\r\n$-1\r\n", LENGTH),
    "a length far below zero": (b"*1\r\n$-9223372036854775808\r\n", LENGTH),
    "a length beyond the limit": (b"*1\r\n$536870913\r\n", LENGTH),
    "a length of 64 bits": (b"*1\r\n$9223372036854775807\r\n", LENGTH),
    "a length beyond 64 bits": (b"*1\r\n$99999999999999999999\r\n", LENGTH),
    "a length whose line does not end": (b"*1\r\n$" + b"1" * (MAX_HEADER_SIZE - 1), LENGTH),
    "a length whose line ends too late": (b"*1\r\n$" + b"1" * MAX_HEADER_SIZE + b"\r\n", LENGTH),
    "an argument without its header": (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
    "an integer instead of a bulk": (b"*2\r\n$4\r\nECHO\r\n:1\r\n", "expected '$', got ':'"),
    "an array instead of a bulk": (b"*1\r\n*1\r\n", "expected '$', got '*'"),
    "an empty line instead of a bulk": (b"*1\r\n\r\n", "expected '$', got ''"),
    "an argument without its CRLF": (b"*1\r\n$4\r\nPING*1\r\n", NO_CRLF),
    "an argument longer than declared": (b"*1\r\n$3\r\nPING\r\n", NO_CRLF),
    "an argument that ends in LF alone": (b"*1\r\n$4\r\nPING\n\n", NO_CRLF),
    "an argument that ends in CR alone": (b"*1\r\n$4\r\nPING\r*", NO_CRLF),
    "the second argument malformed": (b"*2\r\n$3\r\nGET\r\n$x\r\n", LENGTH),
}


FOLLOWING = [b"", encode_request([b"SET", b"after", b"1"]), b"SET after 1\n", b"*$\r\n\x00" * 50]


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_is_replied_to_in_its_turn_and_nothing_after_it_runs(name: str) -> None:
    malformed, reason = MALFORMED[name]
    before = encode_request([b"SET", b"before", b"1"])
    for (way, sizes), following in itertools.product(WAYS.items(), FOLLOWING):
        store = new_store()
        session = new_session(EmbeddedEngine(store))
        with case(way, following):
            reply = feed(session, before + malformed + following, *sizes)
            assert reply == b"+OK\r\n-ERR Protocol error: " + reason.encode() + b"\r\n"
            assert session.closing
            assert session.feed(PING) == b""
            assert pairs(store) == [(b"before", b"1")]


@EVERY_WAY
@pytest.mark.parametrize("count", [b"0", b"-1", b"-5", b"-9223372036854775808"])
def test_a_request_of_no_arguments_gets_no_reply(session: ClientSession, count: bytes, sizes: tuple[int, ...]) -> None:
    assert feed(session, PING + b"*" + count + b"\r\n" + PING, *sizes) == b"+PONG\r\n" * 2


@pytest.mark.parametrize("end", range(1, len(encode_request([b"ECHO", b"a\r\nb"]))))
def test_an_unfinished_request_waits_for_the_rest(session: ClientSession, end: int) -> None:
    request = encode_request([b"ECHO", b"a\r\nb"])
    assert session.feed(request[:end]) == b""
    assert session.feed(request[end:]) == b"$4\r\na\r\nb\r\n"


@EVERY_WAY
@pytest.mark.parametrize(
    "arg",
    [
        b"",
        b"\r\n",
        b"\r",
        b"\n",
        b"\r\n" * 50,
        b"a\r\n$1\r\nb",
        b"*1\r\n$4\r\nPING\r\n",
        b"$4\r\nPING",
        b"\r\n*2\r\n$4\r\nECHO",
        bytes(range(256)),
        b"x" * 1023,
        b"x" * 1024,
        b"x" * 100_000,
    ],
    ids=lambda arg: f"{arg[:12]!r}, {len(arg)} bytes",
)
def test_an_argument_may_hold_any_bytes(session: ClientSession, arg: bytes, sizes: tuple[int, ...]) -> None:
    request = encode_request([b"ECHO", arg])
    assert feed(session, request + PING, *sizes) == b"$%d\r\n%b\r\n+PONG\r\n" % (len(arg), arg)


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 66, 1000])
@pytest.mark.parametrize("sizes", [(), (1,), (100,)])
def test_a_request_may_have_few_arguments_or_many(session: ClientSession, count: int, sizes: tuple[int, ...]) -> None:
    for number in range(count):
        execute(session, b"SET", b"key%d" % number, b"")
    keys = [b"key%d" % number for number in range(count)]
    assert feed(session, encode_request([b"DEL", *keys]), *sizes) == b":%d\r\n" % count


@EVERY_WAY
def test_a_pipeline_may_mix_plain_requests_and_arguments_with_line_breaks(
    session: ClientSession, sizes: tuple[int, ...]
) -> None:
    args = [b"plain", b"a\r\nb", b"", b"plain too", b"\r\n", b"*1\r\n", b"last"]
    pipeline = b"".join(encode_request([b"ECHO", arg]) for arg in args)
    expected = b"".join(b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args)
    assert feed(session, pipeline, *sizes) == expected


@pytest.mark.parametrize("size", range(1, 60))
def test_a_pipeline_may_be_cut_anywhere(session: ClientSession, size: int) -> None:
    pipeline = b"".join(encode_request([b"ECHO", arg]) for arg in [b"one", b"t\r\nwo", b"", b"four"])
    assert feed(session, pipeline, size) == b"$3\r\none\r\n$5\r\nt\r\nwo\r\n$0\r\n\r\n$4\r\nfour\r\n"


@EVERY_WAY
def test_text_and_resp_may_alternate_on_one_connection(session: ClientSession, sizes: tuple[int, ...]) -> None:
    sent = b"SET a 1\r\n" + encode_request([b"INCR", b"a"]) + b"\nGET a\n" + PING + PING + b"PING\r\n"
    assert feed(session, sent, *sizes) == b"OK\r\n:2\r\n2\n+PONG\r\n+PONG\r\nPONG\r\n"


@EVERY_WAY
def test_a_transaction_may_mix_text_and_resp(session: ClientSession, sizes: tuple[int, ...]) -> None:
    sent = b"MULTI\n" + encode_request([b"INCR", b"a"]) + b"INCR a\n" + encode_request([b"EXEC"])
    assert feed(session, sent, *sizes) == b"OK\n+QUEUED\r\nQUEUED\n*2\r\n:1\r\n:2\r\n"


def test_a_star_within_a_line_of_text_begins_no_resp_request(session: ClientSession) -> None:
    assert session.feed(b"PING ") == b""
    assert session.feed(b"*1\n") == b"*1\n"


def test_a_whole_request_after_half_a_header_is_not_taken_for_one(session: ClientSession) -> None:
    assert session.feed(b"*") == b""
    assert session.feed(PING) == b"-ERR Protocol error: invalid multibulk length\r\n"
    assert session.closing


# ---------------------------------------------------------------- limits


def limited(engine: EmbeddedEngine, **limits: int) -> ClientSession:
    return new_session(engine, limits=Limits(**limits))


@EVERY_WAY
def test_an_argument_may_be_as_long_as_the_limit_and_no_longer(engine: EmbeddedEngine, sizes: tuple[int, ...]) -> None:
    session = limited(engine, max_bulk=8)
    assert feed(session, encode_request([b"ECHO", b"x" * 8]), *sizes) == b"$8\r\nxxxxxxxx\r\n"
    refusal = b"-ERR Protocol error: invalid bulk length\r\n"
    assert feed(session, encode_request([b"ECHO", b"x" * 9]) + PING, *sizes) == refusal
    assert session.closing


def test_an_argument_beyond_the_limit_is_refused_before_it_has_come(engine: EmbeddedEngine) -> None:
    session = limited(engine, max_bulk=8)
    assert session.feed(b"*2\r\n$4\r\nECHO\r\n$9\r\n") == b"-ERR Protocol error: invalid bulk length\r\n"


@EVERY_WAY
def test_a_request_may_have_as_many_arguments_as_the_limit_and_no_more(
    engine: EmbeddedEngine, sizes: tuple[int, ...]
) -> None:
    session = limited(engine, max_args=3)
    assert feed(session, encode_request([b"DEL", b"a", b"b"]), *sizes) == b":0\r\n"
    refusal = b"-ERR Protocol error: invalid multibulk length\r\n"
    assert feed(session, encode_request([b"DEL", b"a", b"b", b"c"]) + PING, *sizes) == refusal
    assert session.closing


@EVERY_WAY
def test_a_request_may_be_as_large_as_the_limit_and_no_larger(engine: EmbeddedEngine, sizes: tuple[int, ...]) -> None:
    session = limited(engine, max_request=20)
    assert feed(session, encode_request([b"ECHO", b"x" * 16]) * 2, *sizes) == (b"$16\r\n%b\r\n" % (b"x" * 16)) * 2
    refusal = b"-ERR Protocol error: request larger than 20 bytes\r\n"
    assert feed(session, encode_request([b"ECHO", b"x" * 17]) + PING, *sizes) == refusal
    assert session.closing


def test_a_request_beyond_the_limit_is_refused_before_it_has_come(engine: EmbeddedEngine) -> None:
    session = limited(engine, max_request=20)
    refusal = b"-ERR Protocol error: request larger than 20 bytes\r\n"
    assert session.feed(b"*4\r\n$4\r\nMGET\r\n$10\r\n0123456789\r\n$7\r\n") == refusal
