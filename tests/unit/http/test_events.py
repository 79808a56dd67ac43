"""Server-sent events: what is written for a push, and what keeps a silent connection alive."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("httptools", reason="the extra http is not installed")

from common.replies import Push
from server.clients.pubsub import PubSub
from server.clients.push import PushLimit
from server.http import events
from server.http.events import AS_BASE64, AS_TEXT, HEARTBEAT, EventStream


def test_a_push_is_one_event_whose_data_is_one_line() -> None:
    (written,) = AS_TEXT.stream(Push((b"message", b"a\nb", b"x\r\n\r\ndata: y\xff")))
    assert written == 'event: message\ndata: {"channel":"a\\nb","message":"x\\r\\n\\r\\ndata: y\ufffd"}\n\n'.encode()
    (written,) = AS_BASE64.stream(Push((b"pmessage", b"*", b"a", b"\xff")))
    assert written == b'event: pmessage\ndata: {"pattern":"Kg==","channel":"YQ==","message":"/w=="}\n\n'


def test_a_silent_connection_gets_a_comment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_INTERVAL", 0.01)

    async def scenario() -> None:
        pubsub = PubSub()
        stream = EventStream(pubsub, PushLimit(), AS_TEXT, lambda: None)
        stream.subscribe([b"a"], [])
        assert (await stream.next_part()).startswith(b"event: subscribe\n")
        assert await stream.next_part() == HEARTBEAT
        pubsub.publish(b"a", b"1")
        pubsub.publish(b"a", b"2")
        assert (await stream.next_part()).count(b"event: message") == 2
        stream.end()
        assert await stream.next_part() == b""
        stream.close()
        assert pubsub.publish(b"a", b"3") == 0

    asyncio.run(scenario())
