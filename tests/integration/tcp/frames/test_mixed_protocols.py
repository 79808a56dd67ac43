"""Text, RESP and frames about one store: mixed on one connection, and side by side on one port."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from common.replies import OK, ErrorReply, Reply
from common.resp_client import encode_request
from common.resp_replies import ReplyEncoder
from common.text import TextEncoder, format_command
from tests.harness.frame_client import Answer, FrameClient, frame, run, take_answer
from tests.harness.processes import Peer, ServerProcess
from tests.harness.sessions import encode, feed, new_session
from tests.harness.waiting import TIMEOUT, all_at_once
from tests.property.strategies import sizes

READ_AS: dict[bytes, Any] = {
    b"hello": "hello",
    b"12": 12,
    b"-0.5": -0.5,
    b'"12"': "12",
    b"[1, 2]": [1, 2],
    b"null": None,
    b"NaN": "NaN",
    b"": "",
    b"two words\r\n": "two words\r\n",
    b"\xff\x00": "\ufffd\0",
    b"\x00\x00\x00\x02{}": "\0\0\0\2{}",
}
"""What text and RESP write, and as what a frame reads it."""

JSON: list[Any] = [7, -1, 1.0, True, "hello", "12", "", "zwölf", [], {"a": [1, None]}, "\r\n*1\r\n"]
"""What frames write."""

NOT_AN_INTEGER = ErrorReply.from_text(b"ERR value is not an integer or out of range")

dialects = st.sampled_from(["LF", "CRLF", "RESP", "frame"])
keys = st.sampled_from(["a", "b", "ü"])
steps = st.tuples(st.just("SET"), dialects, keys, st.sampled_from([*READ_AS]), st.sampled_from(JSON)) | st.tuples(
    st.sampled_from(["GET", "DEL", "INCR", "bad"]), dialects, keys, st.none(), st.none()
)


class Model:
    """What the store should hold, and what a frame should read in it."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.as_json: dict[str, Any] = {}

    def set(self, key: str, stored: bytes, value: Any) -> None:
        self.stored[key], self.as_json[key] = stored, value

    def incr(self, key: str) -> Reply:
        now = self.as_json.get(key, 0)
        if type(now) is not int:
            return NOT_AN_INTEGER
        self.set(key, b"%d" % (now + 1), now + 1)
        return now + 1

    def delete(self, key: str) -> int:
        self.as_json.pop(key, None)
        return int(self.stored.pop(key, None) is not None)


def frame_step(model: Model, name: str, key: str, value: Any) -> tuple[bytes, Answer]:
    """Return the request as a frame, and the expected reply."""
    request = frame({"command": name, "key": key, "value": value}, ascii_only=False)
    match name:
        case "SET":
            model.set(key, json.dumps(value, ensure_ascii=False).encode(), value)
            return request, {"status_code": 200}
        case "GET":
            found = {"status_code": 200, "value": model.as_json[key]} if key in model.as_json else {"status_code": 404}
            return request, found
        case "DEL":
            return request, {"status_code": 200 if model.delete(key) else 404}
        case "INCR":
            reply = model.incr(key)
            if isinstance(reply, ErrorReply):
                return run("INCR", key), {"status_code": 400, "error": reply.text.decode()}
            return run("INCR", key), {"status_code": 200, "value": reply}
    return frame({"command": "GET"}), {
        "status_code": 400,
        "error": 'ERR not a request: it needs a "key", a string that is not empty',
    }


def other_step(model: Model, name: str, dialect: str, key: str, arg: bytes) -> tuple[bytes, bytes]:
    """Return the request as a line or in RESP, and the bytes of the expected reply."""
    args = [name.encode(), key.encode()]
    reply: Reply = None
    match name:
        case "SET":
            args.append(arg)
            model.set(key, arg, READ_AS[arg])
            reply = OK
        case "GET":
            reply = model.stored.get(key)
        case "DEL":
            reply = model.delete(key)
        case "INCR":
            reply = model.incr(key)
        case "bad":
            args = [b"GET"]
            reply = ErrorReply.from_text(b"ERR wrong number of arguments for 'get' command")
    if dialect == "RESP":
        return encode_request(args), encode(ReplyEncoder(2), reply)
    ending = b"\n" if dialect == "LF" else b"\r\n"
    return format_command(args) + ending, encode(TextEncoder(ending), reply)


@given(st.lists(steps, max_size=25), sizes)
def test_protocols_mixed_in_one_stream_see_each_others_writes(
    drawn: list[tuple[str, str, str, bytes, Any]], pieces: list[int]
) -> None:
    model, stream = Model(), b""
    expected: list[bytes | Answer] = []
    for name, dialect, key, arg, value in drawn:
        request, reply = (
            frame_step(model, name, key, value) if dialect == "frame" else other_step(model, name, dialect, key, arg)
        )
        stream += request
        expected.append(reply)
    answered = feed(new_session(), stream, *pieces)
    for each in expected:
        if isinstance(each, bytes):
            assert answered.startswith(each)
            answered = answered[len(each) :]
        else:
            answer, answered = take_answer(answered)
            assert repr(answer) == repr(each)
    assert answered == b""


# ---------------------------------------------------------------- over sockets


def resp(peer: Peer, *args: bytes) -> bytes:
    """Send a RESP request; return the first line of its reply."""
    peer.send(encode_request(args))
    return peer.line()


def test_every_protocol_sees_at_once_what_the_others_wrote(server: ServerProcess, client: FrameClient) -> None:
    text, redis = server.connect(), server.connect()
    assert text.ask(b"SET by-text 1") == b"OK"
    assert resp(redis, b"INCR", b"by-text") == b":2\r\n"
    assert client.run("INCR", "by-text") == 3
    assert client.get("by-text") == 3
    client.set("by-frame", 10)
    assert text.ask(b"INCR by-frame") == b"11"
    assert resp(redis, b"INCR", b"by-frame") == b":12\r\n"
    assert client.get("by-frame") == 12
    assert resp(redis, b"DEL", b"by-frame", b"by-text") == b":2\r\n"
    assert client.ask({"command": "GET", "key": "by-frame"}) == {"status_code": 404}
    assert text.ask(b"EXISTS by-text") == b"0"


def test_all_protocols_count_at_once_on_one_port_and_lose_nothing(
    server: ServerProcess, connect: Callable[[], FrameClient]
) -> None:
    def in_text(peer: Peer) -> list[int]:
        return [int(peer.ask(b"INCR counter")) for _ in range(50)]

    def in_resp(peer: Peer) -> list[int]:
        return [int(resp(peer, b"INCR", b"counter")[1:]) for _ in range(50)]

    def in_frames(each: FrameClient) -> list[int]:
        return [each.run("INCR", "counter") for _ in range(50)]

    counting = [partial(in_text, server.connect()) for _ in range(5)]
    counting += [partial(in_resp, server.connect()) for _ in range(5)]
    frames = [partial(in_frames, connect()) for _ in range(5)]
    seen = all_at_once([*counting, *frames])
    assert sorted(chain(*seen)) == list(range(1, 751)), "no number is given twice, and none left out"
    assert connect().get("counter") == 750


def test_connections_of_every_protocol_see_all_that_the_others_wrote_meanwhile(
    server: ServerProcess, connect: Callable[[], FrameClient]
) -> None:
    names = [f"{dialect}-{number}" for dialect in ("text", "resp", "frame") for number in range(3)]
    all_have_written = threading.Barrier(len(names))

    def in_text(peer: Peer, own: str) -> list[str]:
        assert peer.ask(f"SET {own} {own}".encode()) == b"OK"
        all_have_written.wait(TIMEOUT)
        return [peer.ask(f"GET {name}".encode()).decode() for name in names]

    def in_resp(peer: Peer, own: str) -> list[str]:
        assert resp(peer, b"SET", own.encode(), own.encode()) == b"+OK\r\n"
        all_have_written.wait(TIMEOUT)
        found = []
        for name in names:
            length = int(resp(peer, b"GET", name.encode())[1:])
            found.append(peer.receive(length + 2)[:-2].decode())
        return found

    def in_frames(each: FrameClient, own: str) -> list[str]:
        each.set(own, own)
        all_have_written.wait(TIMEOUT)
        return [each.get(name) for name in names]

    talks: list[Callable[[], list[str]]] = []
    for name in names:
        if name.startswith("frame"):
            talks.append(partial(in_frames, connect(), name))
        else:
            talks.append(partial(in_text if name.startswith("text") else in_resp, server.connect(), name))
    seen = dict(zip(names, all_at_once(talks), strict=True))
    stored = [f'"{name}"' if name.startswith("frame") else name for name in names]
    assert [found for name, found in seen.items() if name.startswith("frame")] == [names] * 3
    assert [found for name, found in seen.items() if name.startswith("resp")] == [stored] * 3
    printed = [rf'"\"{name}\""' if name.startswith("frame") else name for name in names]
    assert [found for name, found in seen.items() if name.startswith("text")] == [printed] * 3
