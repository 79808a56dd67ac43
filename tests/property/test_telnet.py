"""What telnet adds to a stream of text: it has the same meaning in any pieces, and nothing of it is in a request."""

from __future__ import annotations

from itertools import zip_longest

from hypothesis import given
from hypothesis import strategies as st

from common.codec import Args, Encoder, ProtocolReply, Request, closes_connection
from common.limits import Limits
from common.replies import SimpleString
from common.resp_replies import ReplyEncoder
from common.text import ENDING_IN_CRLF, format_command
from server.protocols.detection import ProtocolDetector
from tests.harness.sessions import cut, flat
from tests.property.strategies import requests, sizes

RESP = ReplyEncoder()
LIMITS = Limits(max_line=12, max_args=3, max_frame=20)
"""So low that the streams below exceed them."""

TYPED = [b"PING", b"a", b" ", b"'", b"#", b"xxxxxx", b"\r\n", b"\n", b"\r", b"\r\0", b"\x08", b"\x7f", b"\x03"]
CHARACTERS = ["ü".encode(), "本".encode(), b"\xc3", b"\xe6", b"\xe6\x9c", b"\x9c", b"\xf0\x9f", b"\xe0", b"\xe9"]
COMMANDS = [
    *(b"\xff" + bytes([code]) for code in (0xED, 0xEE, 0xF1, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8, 0xF0)),
    *(b"\xff\xfd\x06", b"\xff\xfb\x01", b"\xff\xfd\x01", b"\xff\xfe\n", b"\xff\xfa", b"\xff\xf0", b"\xff\xff", b"\xff"),
]
OTHERS = [b"\0", b"\0\0\0\2{}", b"*1\r\n$1\r\nx\r\n", b"*", b"\x16", b"\x16\x03", b"GET / HTTP/1.1", b"\x01"]


def read(stream: bytes, pieces: list[int]) -> list[tuple[Encoder, Request]]:
    """Decode a stream in pieces, to the request that closes the connection. Return the encoders and requests."""
    detector = ProtocolDetector(RESP, LIMITS)
    found: list[tuple[Encoder, Request]] = []
    for piece in cut(stream, pieces):
        batches = detector.decode(piece)
        found += flat(batches)
        if closes_connection(batches):
            break
    return found


@given(st.lists(st.sampled_from([*TYPED, *CHARACTERS, *COMMANDS, *OTHERS]), max_size=25), sizes)
def test_any_bytes_of_telnet_are_read_alike_however_they_are_cut(drawn: list[bytes], pieces: list[int]) -> None:
    stream = b"".join(drawn)
    assert read(stream, pieces) == read(stream, []) == read(stream, [1])


WITHOUT_EFFECT = {
    b"\xff\xf1": b"",
    b"\xff\xf2": b"",
    b"\xff\xfd\x06": b"\xff\xfc\x06",
    b"\xff\xfc\x01": b"",
    b"\xff\xfa\x18\0\n\xff\xff\xff\xf0": b"",
    b"\xff\xf6": b"\r\n[Yes]\r\n",
    b"x\x7f": b"",
    b"\xf0\x9f\x94\x91\x08": b"",
}
"""What telnet adds without an effect on the line, and keys that undo themselves; and what is sent for them."""


@given(st.lists(requests), st.lists(st.sampled_from(list(WITHOUT_EFFECT)) | st.just(b""), max_size=60), sizes)
def test_nothing_that_telnet_adds_reaches_an_argument(
    drawn: list[Args], additions: list[bytes], pieces: list[int]
) -> None:
    lines = b"".join(b" " + format_command(args) + b"\r\n" for args in drawn)
    # Not inside a character: a key deletes the whole character before it.
    characters = [character.encode() for character in lines.decode()]
    stream = b"".join(character + added for character, added in zip_longest(characters, additions, fillvalue=b""))
    detector = ProtocolDetector(RESP, Limits())
    found = [request for piece in cut(stream, pieces) for _, request in flat(detector.decode(piece))]
    assert [each for each in found if isinstance(each, list)] == drawn
    replies = [each.reply for each in found if isinstance(each, ProtocolReply)]
    assert replies == [SimpleString(WITHOUT_EFFECT[added]) for added in additions if WITHOUT_EFFECT.get(added)]


@given(st.lists(st.sampled_from([*TYPED, "ü".encode(), "本".encode()]).filter(lambda each: b"\n" not in each)))
def test_an_interrupt_gives_up_whatever_was_typed(drawn: list[bytes]) -> None:
    detector = ProtocolDetector(RESP, Limits())
    detector.decode(b"".join(drawn))
    assert detector.decode(b"\xff\xf4PING\r\n") == [(ENDING_IN_CRLF, [[b"PING"]])]
