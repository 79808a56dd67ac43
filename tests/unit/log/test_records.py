"""Records: text if a person can read it, otherwise RESP; and every server executes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codec import RequestBatch
from common.resp_replies import ReplyEncoder
from server.engines.log.records import CHUNK, MAX_LINE, NotARecord, Record, apply, encode
from server.engines.log.replay import UNLIMITED, Replay
from server.engines.log.trailer import TRAILER_LINE
from server.keyspace.store import Store
from server.protocols.detection import ProtocolDetector
from tests.harness.stores import new_store

TRAILER = b"# 12 0 0123abcd\n"


def encoded(*records: Record) -> bytes:
    return b"".join(encode(records))


def decoded(data: bytes) -> list[object]:
    detector = ProtocolDetector(ReplyEncoder(), UNLIMITED)
    requests = (request for _, group in detector.decode(data) for request in group)
    return [args for each in requests for args in (each if isinstance(each, RequestBatch) else [each])]


@pytest.mark.parametrize(
    ("record", "line"),
    [
        ((b"SET", b"key", b"value"), b"SET key value\n"),
        ((b"SET", b"key", b"value", b"PXAT", b"1"), b"SET key value PXAT 1\n"),
        ((b"SET", b"odd key", b'say "hi"'), b'SET "odd key" "say \\"hi\\""\n'),
        ((b"SET", b"", b"(nil)"), b'SET "" "(nil)"\n'),
        ((b"SET", "grüße".encode(), "日本 語".encode()), 'SET grüße "日本 語"\n'.encode()),
        ((b"DEL", b"#"), b"DEL #\n"),
        ((b"FLUSHALL",), b"FLUSHALL\n"),
    ],
)
def test_printable_records_are_lines_of_text(record: Record, line: bytes) -> None:
    assert encoded(record) == line


@pytest.mark.parametrize("value", [b"\xff", b"a\nb", b"\0", b"x" * (MAX_LINE + 1)], ids=["binary", "LF", "NUL", "long"])
def test_other_records_are_resp_with_the_bytes_as_they_are(value: bytes) -> None:
    data = encoded((b"SET", b"key", value))
    assert data == b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$%d\r\n%b\r\n" % (len(value), value)


@pytest.mark.parametrize("prefix", [b"", b"\n", b"\xff\n", b"x" * (MAX_LINE + 1) + b"\n"])
def test_no_line_of_a_value_looks_like_a_trailer(prefix: bytes) -> None:
    record = (b"SET", b"key", prefix + TRAILER + b"more")
    data = encoded(record)
    assert not TRAILER_LINE.search(data)
    assert decoded(data) == [list(record)]


arguments = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=10).map(str.encode),
    st.sampled_from([b"a", b"key:1", b" ", b"\n", b"#", TRAILER, b"\n" + TRAILER, b"(", b"'"]),
)
records = st.lists(st.tuples(st.just(b"SET"), arguments, arguments), max_size=2 * CHUNK)


@given(records)
def test_what_is_encoded_is_decoded_again_and_contains_no_trailer(drawn: list[Record]) -> None:
    data = encoded(*drawn)
    assert decoded(data) == [list(each) for each in drawn]
    assert not TRAILER_LINE.search(data)


def test_a_large_value_is_not_copied() -> None:
    value = b"\xff" * 1_000_000
    assert any(piece is value for piece in encode([(b"SET", b"key", value)]))


# ---------------------------------------------------------------- replay


def test_each_record_repeats_what_it_did_and_nothing_expires() -> None:
    store = new_store()
    replay = Replay(store, 0)
    replay.feed(
        b"SET a 1 PXAT 5\nSET b 1\nSETRANGE b 3 x\nPEXPIREAT b 7\nSET c 1 PXAT 9\nPERSIST c\nDEL d\nSET e 1\nDEL e\n"
    )
    assert store.entries(store.keys_in_order()) == [(b"a", b"1", 5), (b"b", b"1\0\0x", 7), (b"c", b"1", None)]
    replay.feed(b"FLUSHALL\nSET f 1\n")
    assert store.entries(store.keys_in_order()) == [(b"f", b"1", None)]
    assert replay.records == 11


@pytest.mark.parametrize(
    "args",
    [[b"GET", b"a"], [b"SET", b"a"], [b"SET", b"a", b"1", b"EX", b"1"], [b"SET", b"a", b"1", b"PXAT", b"x"], [b"DEL"]],
)
def test_other_requests_are_not_records(args: list[bytes]) -> None:
    with pytest.raises(NotARecord):
        apply(Store(), args)


def test_the_progress_of_a_long_replay_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    times = iter([0.0, 1.0, 2.5, 2.5, 3.0])
    replay = Replay(new_store(), 40, interval=2.0, clock=lambda: next(times))
    with caplog.at_level("INFO"):
        for _ in range(3):
            replay.feed(b"SET a 1\n")
    assert caplog.messages == ["replayed 2 of about 5 records, 40 %"]


def test_values_larger_than_the_limits_of_clients_are_replayed() -> None:
    store = new_store()
    store.max_value_size = 1
    Replay(store, 0).feed(b"SET a 1\nSETRANGE a 3 x\nSET b %b\n" % (b"y" * 100_000))
    assert len(store.get(b"b") or b"") == 100_000
