"""Publish/subscribe over HTTP: a response that does not end, with an event for each message."""

from __future__ import annotations

from functools import partial

from common.errors import (
    HTTP_CHANNEL_EXPECTED,
    CommandError,
    http_unknown_parameter,
    needs_embedded_store,
)
from server.http.events import AS_BASE64, AS_TEXT, EventStream
from server.http.messages import HTTPError, Parameter, Request, Response, command_failed, in_worker
from server.http.routes import BodySpec, ResponseSpec, RouteGroup

routes = RouteGroup("subscriptions")

CHANNEL = Parameter("channel", "a channel; may be given more than once", {"type": "string"}, "news", bytes)
PATTERN = Parameter("pattern", "a pattern of channels; may be given more than once", {"type": "string"}, "n*", bytes)

EVENTS = BodySpec(
    "text/event-stream", {"type": "string"}, 'event: message\ndata: {"channel":"news","message":"hello"}\n\n'
)


@routes.add(
    "GET",
    "/subscribe",
    {200: ResponseSpec("Events, until the client disconnects.", (EVENTS,))},
    parameters=(CHANNEL, PATTERN),
    headers={"Upstash-Encoding": "`base64` for channels and messages in base64, if they are not UTF-8."},
)
async def subscribe(request: Request) -> Response:
    """Receive the messages of channels, as server-sent events.

    The first events confirm the subscriptions. A comment is sent after 15 seconds of silence.
    """
    names: dict[bytes, list[bytes]] = {b"channel": [], b"pattern": []}
    for name, value in request.query_pairs():
        if name not in names:
            raise HTTPError(http_unknown_parameter(name.decode(errors="replace")))
        names[name].append(value or b"")
    channels, patterns = names.values()
    if not (channels or patterns):
        raise HTTPError(HTTP_CHANNEL_EXPECTED)
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
    session = request.session
    context, transport = session.context, session.client.transport
    if b"SUBSCRIBE" in context.engine.forwards:
        raise command_failed(needs_embedded_store(b"SUBSCRIBE"))
    if request.method == b"HEAD" or transport is None:
        return Response(200, b"", headers)
    encoder = AS_BASE64 if request.wants_base64 else AS_TEXT
    close = partial(context.clients.close_slow_reader, session.client)
    events = EventStream(context.pubsub, context.push_limit, encoder, close)
    try:
        if context.pubsub.takes_long_to_compile(patterns):
            await in_worker(events.subscribe, channels, patterns)
        else:
            events.subscribe(channels, patterns)
    except CommandError as problem:
        events.close()
        raise command_failed(problem.reply) from None
    return Response(200, events, headers)
