"""The head of a response as bytes: status line and headers."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from server.http.messages import Response

BODYLESS_STATUS = (204, 304)
"""Responses without Content-Length. RFC 9110 (8.6) forbids it in a 204. In a 304 it would be that of the 200."""

NOSNIFF = "x-content-type-options: nosniff\r\n"
"""In every response, because clients choose the bytes: no browser may run them as a script (Fetch standard)."""

HEAD_BEGINNINGS = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n{NOSNIFF}".encode() for status in HTTPStatus
}


def encode_head(response: Response, keep_alive: bool) -> bytes:
    """Return the status line and the headers of a response, with Content-Length if its body is complete."""
    lines = [HEAD_BEGINNINGS[response.status], _date_header(int(time.time()))]
    lines += [b"%b: %b\r\n" % header for header in response.headers]
    if isinstance(response.body, bytes) and response.status not in BODYLESS_STATUS:
        lines.append(b"content-length: %d\r\n" % len(response.body))
    # An HTTP/1.1 connection persists unless a header says otherwise (RFC 9112, 9.3), so keep-alive needs none.
    lines.append(b"\r\n" if keep_alive else b"connection: close\r\n\r\n")
    return b"".join(lines)


@lru_cache(1)  # all responses of the same second share it
def _date_header(seconds: int) -> bytes:
    """Return the header that RFC 9110 (6.6.1) requires of a server with a clock."""
    return f"date: {formatdate(seconds, usegmt=True)}\r\n".encode()
