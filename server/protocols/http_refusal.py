"""The response to an HTTP request on a port that does not speak HTTP."""

from __future__ import annotations

from collections.abc import Iterator

from common.codec import NO_COLUMNS, Scalars
from common.replies import ErrorReply, NoReply, Reply
from server.protocols.strict_json import dump_json


class HTTPRefusal:
    """Encode an error as a response with status 400 and the body of kvline's HTTP errors (``{"error": "…"}``).

    The response to a HEAD request has no body (RFC 9110, 9.3.2). The connection is closed after it.
    """

    columns = NO_COLUMNS
    marks_pushes = True  # there are none

    def __init__(self, *, to_head: bool) -> None:
        self._to_head = to_head
        self.scalars: Scalars = {
            ErrorReply: self._encode,
            NoReply: lambda _: b"",
        }

    def stream(self, reply: Reply) -> Iterator[bytes]:
        """Encode the error. See `common.codec.Encoder`."""
        yield self.scalars[type(reply)](reply) or b""

    def _encode(self, error: ErrorReply) -> bytes:
        # Imported here only, because most servers never get such a request.
        from email.utils import formatdate  # noqa: PLC0415

        body = dump_json({"error": error.text.decode()})
        lines = (
            b"HTTP/1.1 400 Bad Request",
            b"date: " + formatdate(usegmt=True).encode(),
            b"content-type: application/json",
            b"content-length: %d" % len(body),
            b"connection: close",
            b"",
            b"" if self._to_head else body,
        )
        return b"\r\n".join(lines)


HTTP_REFUSAL = HTTPRefusal(to_head=False)
HTTP_REFUSAL_TO_HEAD = HTTPRefusal(to_head=True)
