"""`BatchEncoder`: lines that are encoded together are what they are one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from client.batch.encoder import BatchEncoder
from client.lines import encode_line
from client.protocol import ClientProtocol
from common.replies import OK
from common.resp_client import encode_request

ARGUMENTS = st.sampled_from(
    [b"SET", b"get", b"k", b"value", b"MULTI", b"EXEC", b"'a b'", b'"', b"#", b"", b"\t", b"\xff", b"CLIENT"]
)
LINES = st.lists(st.lists(ARGUMENTS, max_size=4).map(b" ".join), max_size=40)
COMMANDS = st.sampled_from([b"SET k v", b"INCR n", b"GET k", b"SET k2 v2"])
PLAIN = st.lists(st.tuples(COMMANDS, st.integers(1, 6)), max_size=10)


def one_by_one(lines: list[bytes], first: int = 1) -> tuple[bytes, list[int]]:
    """Return the requests, and the numbers of the lines that get a reply."""
    protocol = ClientProtocol()
    requests = b"".join(
        encode_line(protocol, line.removesuffix(b"\r"), number)
        for number, line in enumerate(lines, 1)
        if number >= first
    )
    return requests, numbers(protocol)


def numbers(protocol: ClientProtocol) -> list[int]:
    return [
        request.line + each for request in protocol.pending if not request.hidden for each in range(request.missing)
    ]


@given(lines=LINES | PLAIN.map(lambda runs: [line for line, count in runs for _ in range(count)]), data=st.data())
def test_the_requests_do_not_depend_on_how_the_input_is_cut(lines: list[bytes], data: st.DataObject) -> None:
    text = b"\n".join(lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    first = data.draw(st.integers(1, 4))
    protocol = ClientProtocol()
    encoder = BatchEncoder(protocol, first)
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    requests = b"".join(encoder.feed(piece) for piece in pieces if piece) + encoder.feed(b"")
    assert (requests, numbers(protocol)) == one_by_one(lines, first)


def test_uniform_lines_are_one_pending_request() -> None:
    protocol = ClientProtocol()
    encoder = BatchEncoder(protocol)
    assert encoder.feed(b"SET a 1\nSET b 2\nSET c 3\n") == b"".join(
        encode_request([b"SET", key, value]) for key, value in ((b"a", b"1"), (b"b", b"2"), (b"c", b"3"))
    )
    assert len(protocol.pending) == 1
    (received,) = protocol.receive(b"+OK\r\n" * 3)
    assert (received.line, received.replies) == (1, [OK] * 3)
    assert encoder.line == 3


def test_nothing_is_encoded_after_quit() -> None:
    protocol = ClientProtocol()
    encoder = BatchEncoder(protocol)
    assert encoder.feed(b"QUIT\nSET a 1\n") == encode_request([b"QUIT"])
    assert encoder.feed(b"SET a 1\nSET b 1\n") == b""
