"""ASGI (https://asgi.readthedocs.io/), the interface between uvicorn and the application: types, and a whole answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from server.http.exchange import Answer

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApplication: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

WITHOUT_BODY = (204, 304)


async def send_whole(answer: Answer, send: Send) -> None:
    """Send an answer whose body is there."""
    headers = answer.headers
    if answer.status not in WITHOUT_BODY:
        assert isinstance(answer.body, bytes)
        headers = [*headers, (b"content-length", b"%d" % len(answer.body))]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
