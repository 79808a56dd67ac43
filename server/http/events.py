"""Messages of channels as server-sent events (HTML standard, section 9.2).

    event: message
    data: {"channel":"news","message":"hello"}

The connection of such a response has a queue like a subscriber on another port (`server.clients.push`). So a client
that does not read is bounded in the same way, and delays no publisher.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from common.codec import NO_COLUMNS, Scalars
from common.replies import Push, PushItem, Reply
from server.clients.pubsub import Kind, PubSub, Subscriptions
from server.clients.push import PushLimit, PushQueue, Subscriber
from server.http.reply_json import json_pieces

HEARTBEAT_INTERVAL = 15.0
"""Seconds of silence after which a comment is sent: proxies close silent connections, often after 60 seconds.

It also finds out that a client has disappeared.
"""

HEARTBEAT = b": keep-alive\n\n"

PART_SIZE = 64 * 1024
"""Bytes of events from which they are written together."""

FIELDS: Mapping[bytes, Sequence[bytes]] = {
    b"message": (b"channel", b"message"),
    b"pmessage": (b"pattern", b"channel", b"message"),
    b"subscribe": (b"channel", b"subscriptions"),
    b"psubscribe": (b"pattern", b"subscriptions"),
}
"""The names of what follows the kind of a push."""


class EventEncoder:
    """Writes pushes as events. ``base64`` is for strings that may not be UTF-8."""

    columns = NO_COLUMNS
    marks_pushes = True

    def __init__(self, *, base64: bool) -> None:
        self._base64 = base64
        self.scalars: Scalars = {Push: self._encode}

    def stream(self, reply: Reply) -> Iterator[bytes]:
        """Encode a push. See `common.codec.Encoder`."""
        yield self.scalars[type(reply)](reply) or b""

    def _encode(self, push: Push) -> bytes:
        kind, *items = push.items
        assert isinstance(kind, bytes), "the kind of a push is a name"
        members = (
            b'"%b":%b' % (name, b"".join(json_pieces(_as_reply(item), base64=self._base64)))
            for name, item in zip(FIELDS[kind], items, strict=True)
        )
        return b"event: %b\ndata: {%b}\n\n" % (kind, b",".join(members))


def _as_reply(item: PushItem) -> Reply:
    return list(item) if isinstance(item, tuple) else item


AS_TEXT = EventEncoder(base64=False)
AS_BASE64 = EventEncoder(base64=True)


class EventStream:
    """The body of a response without an end. The event loop uses it, but for what its queue calls."""

    def __init__(self, pubsub: PubSub, limit: PushLimit, encoder: EventEncoder, overflow: Callable[[], None]) -> None:
        self._pubsub = pubsub
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._has_ended = False
        self._queue = PushQueue(self._wake, overflow, limit)
        self.subscriptions = Subscriptions(Subscriber(self._queue, encoder))

    def subscribe(self, channels: Sequence[bytes], patterns: Sequence[bytes]) -> None:
        """Subscribe to channels and patterns. Raises `CommandError`."""
        for kind, names in ((Kind.CHANNELS, channels), (Kind.PATTERNS, patterns)):
            if names:
                self._pubsub.subscribe(kind, self.subscriptions, names)

    async def next_part(self) -> bytes:
        """Wait for events, and return them. Return ``b""`` after `end`."""
        while not self._has_ended:
            if events := b"".join(self._queue.take(PART_SIZE)):
                return events
            self._ready.clear()
            if len(self._queue):  # it was filled before the event was cleared
                continue
            try:
                async with asyncio.timeout(HEARTBEAT_INTERVAL):
                    await self._ready.wait()
            except TimeoutError:
                return HEARTBEAT
        return b""

    def end(self) -> None:
        """End the body after the part that is being sent."""
        self._has_ended = True
        self._ready.set()

    def close(self) -> None:
        """End the subscriptions."""
        self._pubsub.close(self.subscriptions)
        self._queue.close()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop has ended
            self._loop.call_soon_threadsafe(self._ready.set)
