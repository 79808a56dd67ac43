"""Pipelined requests that are alike are executed together, with the same replies and effects as one by one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.codec import Args, RequestBatch
from common.limits import DEFAULT_LIMITS, Limits
from common.resp_client import encode_request
from common.resp_replies import ReplyEncoder
from common.resp_requests import MAX_BATCH, MIN_BATCH, RequestDecoder
from server.commands import COMMANDS
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.session.context import ServerContext
from tests.harness.clock import Clock
from tests.harness.sessions import ClientSession, connect, feed, transport_of
from tests.harness.stores import new_store

KEYS = st.sampled_from([b"a", b"b", b"c"])
VALUES = st.sampled_from([b"1", b"text", b"", b"a\r\n$1\r\nb", b"x" * 2000, b"-2", b"01", b"9223372036854775807"])
NUMBERS = st.integers(-3, 3).map(b"%d".__mod__)

COMMANDS_WITH_ARGUMENTS = {
    b"GET": (KEYS,),
    b"get": (KEYS,),
    b"SET": (KEYS, VALUES),
    b"INCR": (KEYS,),
    b"DECR": (KEYS,),
    b"INCRBY": (KEYS, NUMBERS),
    b"APPEND": (KEYS, VALUES),
    b"GETRANGE": (KEYS, NUMBERS, NUMBERS),
    b"EXPIRE": (KEYS, NUMBERS),
    b"MGET": (KEYS, KEYS),
    b"DEL": (KEYS, KEYS),
    b"WATCH": (KEYS,),
    b"ECHO": (VALUES,),
    b"NONE": (KEYS,),
}
SINGLE = st.sampled_from(
    [[b"MULTI"], [b"EXEC"], [b"DISCARD"], [b"PING"], [b"CLIENT", b"REPLY", b"SKIP"], [b"GET"], [b"HELLO", b"3"]]
)


def rows(name: bytes) -> st.SearchStrategy[list[Args]]:
    """Return a strategy for requests of one command: from none to more than two batches."""
    args = st.tuples(*COMMANDS_WITH_ARGUMENTS[name]).map(lambda row: [name, *row])
    return st.one_of(st.lists(args, max_size=10), args.map(lambda each: [each] * (2 * MAX_BATCH + 3)))


RUNS = st.one_of(SINGLE.map(lambda each: [each]), st.sampled_from(sorted(COMMANDS_WITH_ARGUMENTS)).flatmap(rows))
PIPELINES = st.lists(RUNS, max_size=6).map(lambda runs: [request for run in runs for request in run])


def flat(decoded: list[Any]) -> list[Args]:
    return [each for request in decoded for each in (request if isinstance(request, RequestBatch) else [request])]


def decode(data: bytes, limits: Limits = DEFAULT_LIMITS) -> list[Any]:
    ((_, decoded),), rest = RequestDecoder(ReplyEncoder(), limits).decode(data)
    assert rest == b""
    return decoded


@dataclass
class Server:
    """A store whose clock does not advance, a session on it, and another one."""

    store: Store = field(default_factory=lambda: new_store(Clock()))

    def __post_init__(self) -> None:
        self.context = ServerContext(EmbeddedEngine(self.store), COMMANDS)
        self.session: ClientSession = connect(self.context)

    def counts(self) -> dict[bytes, tuple[int, int, int]]:
        """Return calls, failures and rejections per command."""
        totals = self.context.stats.totals().items()
        return {command.name: (stat.calls, stat.failed, stat.rejected) for command, stat in totals}


@given(PIPELINES)
def test_a_pipeline_has_the_replies_and_the_effects_of_its_requests_one_by_one(pipeline: list[Args]) -> None:
    together, one_by_one = Server(), Server()
    output = feed(together.session, b"".join(map(encode_request, pipeline)))
    assert output == b"".join(feed(one_by_one.session, encode_request(args)) for args in pipeline)
    assert together.store.items() == one_by_one.store.items()
    assert together.counts() == one_by_one.counts()
    assert together.context.stats.errors == one_by_one.context.stats.errors
    assert together.session.client.last_command is one_by_one.session.client.last_command


@given(PIPELINES)
def test_monitor_shows_every_request_of_a_pipeline(pipeline: list[Args]) -> None:
    shown: list[list[bytes]] = []
    for pieces in ([b"".join(map(encode_request, pipeline))], list(map(encode_request, pipeline))):
        server = Server()
        monitor = connect(server.context)
        feed(monitor, b"MONITOR\n")
        for piece in pieces:
            feed(server.session, piece)
        shown.append([line.partition(b"] ")[2] for line in transport_of(monitor).pushed])
    assert shown[0] == shown[1]


@given(PIPELINES.filter(bool))
def test_a_decoder_returns_the_requests_of_a_pipeline_in_order(pipeline: list[Args]) -> None:
    assert flat(decode(b"".join(map(encode_request, pipeline)))) == pipeline


@pytest.mark.parametrize("count", [MIN_BATCH, MAX_BATCH, MAX_BATCH + MIN_BATCH, 3 * MAX_BATCH])
def test_alike_requests_are_decoded_as_batches(count: int) -> None:
    pipeline = [[b"SET", b"key%d" % number, b"v" * number] for number in range(count)]
    decoded = decode(b"".join(map(encode_request, pipeline)))
    assert all(isinstance(each, RequestBatch) for each in decoded)
    assert max(each.count for each in decoded) <= MAX_BATCH
    assert flat(decoded) == pipeline


# Requests of the same size, as the parts that a decoder looks for. Arguments may contain such parts too.
PREFIXES = {1: b"*2\r\n$3\r\nGET\r\n$7\r\n", 2: b"*3\r\n$3\r\nSET\r\n$7\r\n"}
ARGUMENTS = st.sampled_from([b"key:001", b"\r\n$7\r\n\n", b"a\r\n$7\r\n", b"\r\n*2\r\n$", b"1234567"])
PARTS = st.one_of(ARGUMENTS, st.sampled_from([b"", b"\r\n", b"\r\n$7\r\n", b"x", *PREFIXES.values()]))


SET = PREFIXES[2] + b"1234567\r\n$7\r\n7654321\r\n"
WITHOUT_SEPARATOR = PREFIXES[2] + b"12345678901234567890\r\n"
WITH_TWO_SEPARATORS = PREFIXES[2] + b"1\r\n$7\r\n3456\r\n$7\r\n012\r\n"


@st.composite
def damaged_pipelines(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Return a pipeline of requests of the same size, and another one, some of whose parts are replaced."""
    count = draw(st.sampled_from([1, 2]))
    between = {1: b"", 2: b"\r\n$7\r\n"}[count]
    parts: list[bytes] = []
    for row in draw(st.lists(st.tuples(ARGUMENTS, ARGUMENTS), min_size=MIN_BATCH, max_size=MAX_BATCH + MIN_BATCH)):
        parts += (PREFIXES[count], row[0], between, row[1] if between else b"", b"\r\n")
    for place, part in draw(st.dictionaries(st.integers(0, len(parts) - 1), PARTS, max_size=4)).items():
        parts[place] = part
    first = PREFIXES[count] + between.join([b"1234567"] * count) + b"\r\n"
    return first * MIN_BATCH, b"".join(parts)


@given(damaged_pipelines())
@example((SET * MIN_BATCH, SET * 3 + SET[:-2] + b"xx"))  # no CRLF at the end
@example((SET * MIN_BATCH, SET * 3 + SET.replace(b"7654321", b"765432")))  # less than the declared size
@example((SET * MIN_BATCH, SET * 2 + WITHOUT_SEPARATOR + WITH_TWO_SEPARATORS))
def test_requests_of_the_same_size_are_decoded_as_byte_by_byte(pipelines: tuple[bytes, bytes]) -> None:
    at_once, by_bytes = RequestDecoder(ReplyEncoder()), RequestDecoder(ReplyEncoder())
    found: list[list[Any]] = [[], []]
    for decoder, pieces, requests in (
        (at_once, pipelines, found[0]),
        (by_bytes, [bytes([byte]) for data in pipelines for byte in data], found[1]),
    ):
        for data in pieces:
            decoded, rest = decoder.decode(data)
            requests += [each for _, group in decoded for each in flat(group)]
            if rest or (requests and not isinstance(requests[-1], list)):  # another protocol, or a protocol error
                break
    assert found[0] == found[1]


def test_an_expected_batch_is_not_split_at_each_line() -> None:
    decoder = RequestDecoder(ReplyEncoder())
    pipeline = [[b"SET", b"key%d" % number, b"a\r\nb"] for number in range(MIN_BATCH)]
    plain = [[b"SET", b"key0", b"1234"]] * MIN_BATCH
    for _ in range(2):
        [(_, first)], _ = decoder.decode(b"".join(map(encode_request, plain)))
        assert isinstance(first[0], RequestBatch)
    [(_, second)], _ = decoder.decode(b"".join(map(encode_request, pipeline)))
    assert isinstance(second[0], RequestBatch), "an argument with a line break fits into a batch like the last one"
    assert flat(second) == pipeline


@pytest.mark.parametrize(
    "pipeline",
    [
        [[b"GET", b"a"]] * (MIN_BATCH - 1),
        [[b"PING"]] * 10,
        [[b"GET", b"a"], [b"SET", b"a", b"1"]] * 10,
        [[b"SET", b"a", b"b\r\nc"]] * 10,
    ],
    ids=["too few", "no arguments", "two commands in turn", "CRLF in a value"],
)
def test_other_requests_are_decoded_one_by_one(pipeline: list[Args]) -> None:
    assert decode(b"".join(map(encode_request, pipeline))) == pipeline


def test_a_limit_on_arguments_holds_within_a_batch() -> None:
    limits = Limits(max_bulk=10, max_request=1000)
    pipeline = [[b"SET", b"a", b"1"]] * 4 + [[b"SET", b"a", b"x" * 11]] + [[b"SET", b"a", b"2"]] * 4
    decoded = decode(b"".join(map(encode_request, pipeline)), limits)
    assert decoded[:4] == pipeline[:4]
    assert decoded[4].close_connection
    assert len(decoded) == 5


def test_the_slow_log_lists_every_request_of_a_slow_batch() -> None:
    server = Server()
    server.context.slowlog.threshold = -1  # nanoseconds: everything is slower
    feed(server.session, encode_request([b"GET", b"key"]) * 10)
    assert [entry.args for entry in server.context.slowlog.entries()] == [[b"GET", b"key"]] * 10
