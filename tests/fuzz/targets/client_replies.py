"""Replies that the client reads: `common.resp_client.ReplyDecoder` and `client.protocol.ClientProtocol`."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Sequence

from client.lines import encode_line
from client.protocol import MAX_REPLY_SIZE, ClientProtocol
from client.render.forms import FORMS, for_terminal, print_replies
from client.render.pretty import Pretty
from common.replies import ErrorReply, Reply
from common.resp_client import MAX_REPLY_DEPTH, MalformedReply, ReplyDecoder
from common.resp_replies import ReplyEncoder
from tests.fuzz.properties import splits
from tests.harness.sessions import encode

TOKENS = [
    *(
        b"+OK\r\n",
        b"-ERR x\r\n",
        b":1\r\n",
        b"$1\r\n",
        b"$-1\r\n",
        b"*1\r\n",
        b"*-1\r\n",
        b"%1\r\n",
        b"~1\r\n",
        b">1\r\n",
    ),
    *(b"_\r\n", b"#t\r\n", b",1.5\r\n", b",inf\r\n", b",nan\r\n", b"(12\r\n", b"=5\r\ntxt:a\r\n", b"!5\r\nERR x\r\n"),
    *(b">1\r\n", b"\r\n", b"*0\r\n", b"%0\r\n", b"9" * 19, b"9" * 20, b"|1\r\n", b"$?\r\n"),
]

MAX_BYTES_PER_BYTE = 100
"""Memory per byte of input. The most expensive one is ``*0``: four bytes for an empty list."""

MAX_OVERHEAD = 16 * 1024

LINES = [
    *(b"SUBSCRIBE a b", b"UNSUBSCRIBE", b"MULTI", b"GET k", b"'", b"EXEC", b"MONITOR", b"SELECT 1", b"AUTH p"),
    *(b"CLIENT REPLY SKIP", b"RESET", b"HELLO 3", b"QUIT"),
]


def decode(pieces: Sequence[bytes]) -> list[Reply] | None:
    """Return the replies, or None if they are malformed."""
    decoder = ReplyDecoder(MAX_REPLY_SIZE)
    try:
        return [reply for piece in pieces for reply in decoder.feed(piece)]
    except MalformedReply:
        return None


def in_one_line(reply: Reply) -> Reply:
    """Return a reply without line breaks in its errors, which no encoder sends."""
    if isinstance(reply, ErrorReply):
        return ErrorReply.from_text(reply.text.replace(b"\r", b" ").replace(b"\n", b" "))
    if isinstance(reply, list):
        return list(map(in_one_line, reply))
    if isinstance(reply, dict):
        return {key: in_one_line(value) for key, value in reply.items()}
    return reply


def depth(reply: Reply) -> int:
    """Return the nesting of arrays and maps."""
    if not isinstance(reply, list | dict):
        return 0
    return 1 + max(map(depth, reply.values() if isinstance(reply, dict) else reply), default=0)


def check(data: bytes) -> None:
    """Decode a stream of replies, show them, and pass them on as the proxy does."""
    whole, *others = map(decode, splits(data))
    for other in others:
        assert repr(other) == repr(whole)  # repr, because 1 == 1.0 == True, and NaN differs from itself
    tracemalloc.start()
    try:
        decode([data])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= MAX_BYTES_PER_BYTE * len(data) + MAX_OVERHEAD, "a declared length must not size a buffer"

    protocol = ClientProtocol()
    protocol.login_requests()
    for line in LINES:
        encode_line(protocol, line)
    try:
        shown = protocol.receive(data)
    except MalformedReply:
        assert whole is None
        return
    replies = [reply for received in shown for reply in received.replies]
    for render in FORMS.values():
        print_replies(render, replies, io.BytesIO())
    screen = io.BytesIO()
    for render in (Pretty(), for_terminal(FORMS["json"]), for_terminal(FORMS["csv"])):
        print_replies(render, replies, screen)
    text = screen.getvalue().decode()
    assert all(character.isprintable() or character in "\n\t" for character in text), "no escape reaches a terminal"
    assert whole is not None
    for reply in whole:
        assert depth(reply) <= MAX_REPLY_DEPTH
        encode(ReplyEncoder(2), reply)
        (again,) = decode([encode(ReplyEncoder(3), reply)]) or [None]
        assert repr(again) == repr(in_one_line(reply))
