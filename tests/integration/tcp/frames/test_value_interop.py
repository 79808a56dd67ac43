"""The second table of docs/frames.md: what one protocol writes, and how the others read it."""

from __future__ import annotations

import pytest

from common.resp_client import encode_request
from tests.harness.cases import case
from tests.harness.frame_client import FrameClient
from tests.harness.processes import ServerProcess

BY_FRAME = [
    (12, b"12"),
    ("12", b'"12"'),
    ({"a": [1]}, b'{"a": [1]}'),
    ("zwölf", '"zwölf"'.encode()),
    ("\ud800", b'"\\ud800"'),
    (True, b"true"),
    (-0.0, b"-0.0"),
    ([], b"[]"),
]


@pytest.mark.parametrize(("value", "stored"), BY_FRAME, ids=[str(stored) for _, stored in BY_FRAME])
def test_what_a_frame_sets_is_its_json_text_to_text_and_resp(
    server: ServerProcess, client: FrameClient, value: object, stored: bytes
) -> None:
    client.set("k", value)
    peer = server.connect()
    peer.send(encode_request([b"GET", b"k"]))
    reply = b"$%d\r\n%b\r\n" % (len(stored), stored)
    assert peer.receive(len(reply)) == reply
    assert int(peer.ask(b"STRLEN k")) == len(stored)
    assert repr(client.get("k")) == repr(value)


def test_incr_counts_on_from_a_number_that_a_frame_set(server: ServerProcess, client: FrameClient) -> None:
    client.set("k", 12)
    assert server.connect().ask(b"INCR k") == b"13"
    assert client.run("INCRBY", "k", 2) == 15
    assert client.get("k") == 15


def test_a_string_of_digits_is_no_number_to_incr(server: ServerProcess, client: FrameClient) -> None:
    client.set("k", "12")
    assert server.connect().ask(b"INCR k") == b"(error) ERR value is not an integer or out of range"


BY_OTHERS: list[tuple[bytes, object]] = [
    (b"hello", "hello"),
    (b"12", 12),
    (b'"12"', "12"),
    (b"12.0", 12.0),
    (b'{"a": [1]}', {"a": [1]}),
    (b"\xffa\xc3", "\ufffda\ufffd"),
    (b'"\xff"', '"\ufffd"'),
    (b"", ""),
    (b"null", None),
    (b"True", "True"),
    (b"NaN", "NaN"),
    (b"-Infinity", "-Infinity"),
    (b"1e400", "1e400"),
    (b"[1, -1e400]", "[1, -1e400]"),
    (b"007", "007"),
    (b"+1", "+1"),
    (b"[1,]", "[1,]"),
    (b"1 2", "1 2"),
    (b"9" * 4300, int("9" * 4300)),
    (b"9" * 4301, "9" * 4301),
    (b"[" * 257, "[" * 257),
    (b"[" * 257 + b"]" * 257, "[" * 257 + "]" * 257),
    (b'{"":' * 100_000, '{"":' * 100_000),
    (b'"' + b"[" * 5000 + b'"', "[" * 5000),
]


def test_what_resp_sets_is_to_a_frame_the_json_that_it_is_or_else_a_string(
    server: ServerProcess, client: FrameClient
) -> None:
    peer = server.connect()
    for stored, value in BY_OTHERS:
        with case(stored):
            peer.send(encode_request([b"SET", b"k", stored]))
            assert peer.receive(5) == b"+OK\r\n"
            assert repr(client.get("k")) == repr(value)


def test_a_value_nested_as_deep_as_is_allowed_is_read_as_json(server: ServerProcess, client: FrameClient) -> None:
    assert server.connect().ask(b"SET k " + b"[" * 256 + b"]" * 256) == b"OK"
    value, depth = client.get("k"), 1
    while value:
        (value,) = value
        depth += 1
    assert value == []
    assert depth == 256


@pytest.mark.parametrize("opening", [b"[" * 300, b'{"k": ' * 300], ids=["arrays", "objects"])
def test_quotes_that_are_never_closed_do_not_block_the_server(
    server: ServerProcess, client: FrameClient, opening: bytes
) -> None:
    stored = opening + b'"' + b'\\"' * 1_000_000
    peer = server.connect()
    peer.send(encode_request([b"SET", b"k", stored]))
    assert peer.receive(5) == b"+OK\r\n"
    assert client.get("k") == stored.decode()
