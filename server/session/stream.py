"""The stream of bytes around a session: decode requests, execute them, encode replies.

    bytes -> ProtocolDetector -> args -> Session.execute -> reply -> Encoder -> bytes

It is sans-I/O: received bytes go into `RequestStream.feed`, bytes to send are returned. It knows no socket and no
thread, so the same stream is used by I/O threads, by a thread per connection, by the client's ``--local`` mode and by
tests.

A reply can be far larger than what a peer reads at once, and a small request can ask for many of them. So ``feed``
returns at about `OUTPUT_SIZE` bytes, stores its position and sets `RequestStream.pending`. The owner of the connection
sends what it got before it asks for more. This is the backpressure: a peer that does not read costs one such piece.

The commit barrier is between execution and output: ``commit`` is called once for all replies of one ``feed`` before
any of their bytes is returned. A durable log waits in it until every record that the requests wrote or could have seen
is durable. It is None without a log, and for connections of an I/O thread, which commit together
(`server.net.committing`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from common.codec import (
    DecodedRequest,
    DecodedRequests,
    Encoder,
    ProtocolError,
    ProtocolReply,
    Request,
    RequestBatch,
    encode_together,
)
from common.errors import CommandError
from common.replies import DEFERRED, NO_REPLY, Reply
from common.resp_replies import ReplyEncoder
from server.protocols.detection import ProtocolDetector
from server.session.output import ReplyMode
from server.session.session import Session

OUTPUT_SIZE = 64 * 1024
"""Bytes of output after which ``feed`` returns, even if requests are left."""

Groups: TypeAlias = list[tuple[Encoder, Iterator[DecodedRequest]]]
"""Requests that were decoded and not executed, grouped by encoder: the next one is in the last group."""


class RequestStream:
    """Turns the bytes that a client sends into the bytes of the replies. One thread at a time uses it.

    ``defers_long_requests`` is for an owner that serves other connections in the same thread: see `deferred`.
    With ``resp_only`` the replies to lines of text are RESP too, as in Redis.
    """

    __slots__ = (
        "_commit",
        "_decode",
        "_detector",
        "_encoder",
        "_limits",
        "_output",
        "_requests",
        "_resp",
        "_session",
        "_undecoded",
        "deferred",
        "pending",
    )

    def __init__(
        self,
        session: Session,
        commit: Callable[[], None] | None = None,
        defers_long_requests: bool = False,
        resp_only: bool = False,
    ) -> None:
        self._session = session
        self._commit = commit
        self._resp = ReplyEncoder()
        context = session.context
        self._limits = context.limits
        self._detector = ProtocolDetector(
            self._resp, self._limits, resp_only=resp_only, http_port=context.settings.http_port
        )
        self._decode: Callable[[bytes], list[DecodedRequests]] = self._detector.decode
        self._undecoded = b""  # what a client that has not authenticated sent after its request
        if not session.authenticated:
            self.set_authenticated(False)
        self._encoder: Encoder = self._resp  # of the request that is being executed
        self._output: Iterator[bytes] = iter(())  # the rest of the reply that filled the last output
        self._requests: Groups = []  # those after it
        self.pending = False
        """There is more output: send what ``feed`` returned, then call ``feed(b"")``."""
        self.deferred = False
        """The next call of ``feed`` executes one request that may take long: make it in another thread."""
        session.stream = self
        session.defers_long_requests = defers_long_requests

    @property
    def closing(self) -> bool:
        """Whether the connection must be closed once the output is sent. No more requests are executed."""
        return self._session.closing

    def feed(self, data: bytes) -> bytes:
        """Execute the requests that ``data`` completes and return the bytes to send.

        While ``pending`` is true no new data may be passed in. Raises RuntimeError if it is.
        """
        session = self._session
        if self.pending:
            if data:
                raise RuntimeError("the pending output must be fetched first")
            output = self._resume_output()
        elif session.closing:
            return b""
        else:
            resp = self._detector.current_resp
            if resp is not None and session.authenticated and (request := resp.take_whole(data)) is not None:
                output = self._process_single(self._resp, request)
            else:
                groups = self._decode(data)
                if len(groups) == 1 and len(groups[0][1]) == 1:
                    encoder, requests = groups[0]
                    output = self._process_single(encoder, requests[0])
                else:
                    self._requests = _reversed(groups)
                    output = self._process_requests([], 0)
        if self._commit is not None:
            self._commit()
        return output

    def take_pushes(self, size: int | None = None) -> bytes:
        """Return what is to be sent between replies: all of it, or items that make at least ``size`` bytes.

        Call it only when no output is pending.
        """
        pushes = self._session.pushes
        return b"".join(pushes.queue.take(size)) if pushes is not None else b""

    def close(self) -> None:
        """Close the session, and release the decoder's and the encoder's buffers."""
        self._session.close()
        self._session.stream = None  # a reference cycle would keep the buffers until the garbage collector runs
        self._output = iter(())
        self._requests = []
        self._undecoded = b""

    def _decode_one(self, data: bytes) -> list[DecodedRequests]:
        """Return the next request of a client that has not authenticated. The rest waits: `pending` is set.

        So AUTH changes the bounds on the requests after it, and these clients have one request per turn.
        """
        if not self._session.must_authenticate():
            return self._decode(data)  # which is another function now
        groups, self._undecoded = self._detector.decode_one(data)
        self.pending = bool(self._undecoded)
        return groups

    def _process_single(self, encoder: Encoder, request: DecodedRequest) -> bytes:
        """Execute the only request or batch of a read, the usual case, and return what it is replied."""
        session = self._session
        self._encoder = encoder
        if not session.alters_output:
            if isinstance(request, list):
                reply = session.execute(request)
                encode = encoder.scalars.get(type(reply))  # `_begin_reply`, without the cost of a call
                if encode is not None and (piece := encode(reply)) is not None:
                    return piece
                if reply is DEFERRED:
                    self.pending = self.deferred = True
                    return b""
                return self._begin_reply(reply)
            if isinstance(request, RequestBatch):
                replies = session.execute_batch(request)
                if replies is not None:
                    pieces: list[bytes] = []
                    self.pending = self._encode_batch(replies, pieces, 0) >= OUTPUT_SIZE
                    return b"".join(pieces)
        self._requests = [(encoder, iter([request]))]
        return self._process_requests([], 0)

    def _process_requests(self, pieces: list[bytes], size: int) -> bytes:
        """Execute requests and return their replies after ``pieces``. Stop at `OUTPUT_SIZE`, with `pending` set.

        Not a generator: creating one costs more than a GET.
        """
        session = self._session
        execute = session.execute
        groups = self._requests
        while groups:
            encoder, rest = groups[-1]
            self._encoder = encoder
            for request in rest:
                if isinstance(request, list) and not session.alters_output:  # the usual case first
                    reply = execute(request)
                elif isinstance(request, RequestBatch):
                    replies = None if session.alters_output else session.execute_batch(request)
                    if replies is None:
                        groups.append((encoder, iter(request)))
                        break
                    reply = NO_REPLY
                    size = self._encode_batch(replies, pieces, size)
                else:
                    pushed = self.take_pushes()
                    pieces.append(pushed)
                    size += len(pushed)
                    reply = self._execute_in_mode(request)
                encode = encoder.scalars.get(type(reply))  # looked up each time, because HELLO changes them
                if encode is not None and (piece := encode(reply)) is not None:
                    pieces.append(piece)
                    size += len(piece)
                elif reply is DEFERRED:
                    self.pending = self.deferred = True
                    return b"".join(pieces)
                else:
                    self._output = self._encode_in_pieces(encoder, reply)
                    size = _take(self._output, pieces, size)
                if size >= OUTPUT_SIZE:
                    self.pending = True
                    return b"".join(pieces)
                if session.closing:
                    groups.clear()
                    break
            else:
                groups.pop()
        return b"".join(pieces)

    def _resume_output(self) -> bytes:
        """Return the output after what has been sent."""
        if self.deferred:
            return self._execute_deferred()
        pieces: list[bytes] = []
        size = _take(self._output, pieces, 0)
        if size >= OUTPUT_SIZE:
            return b"".join(pieces)
        self.pending = False
        if self._session.closing:
            self._requests.clear()
        elif self._undecoded:
            data, self._undecoded = self._undecoded, b""
            self._requests[:0] = _reversed(self._decode(data))
        return self._process_requests(pieces, size)

    def _encode_batch(self, replies: list[Reply], pieces: list[bytes], size: int) -> int:
        """Append the replies to a batch, or as much of them as fits into the output. Return the new size."""
        encoder = self._encoder
        encoded = encode_together(encoder.scalars, encoder.columns, replies)
        if encoded is None:
            self._output = self._encode_each_in_pieces(encoder, replies)
            return _take(self._output, pieces, size)
        pieces.append(encoded)
        return size + len(encoded)

    def _execute_deferred(self) -> bytes:
        """Execute the request that may take long, and nothing after it. Return the beginning of its reply."""
        self.deferred = False
        was_on = self._session.reply_mode is ReplyMode.ON
        return self._begin_reply(self._apply_mode(was_on, self._session.execute_deferred()))

    def _begin_reply(self, reply: Reply) -> bytes:
        """Encode a reply, or the beginning of a large one. Then `pending` is set."""
        encode = self._encoder.scalars.get(type(reply))
        if encode is not None and (piece := encode(reply)) is not None:
            return piece
        self._output = self._encode_in_pieces(self._encoder, reply)
        pieces: list[bytes] = []
        if _take(self._output, pieces, 0) >= OUTPUT_SIZE:
            self.pending = True
        return b"".join(pieces)

    def _encode_each_in_pieces(self, encoder: Encoder, replies: list[Reply]) -> Iterator[bytes]:
        for reply in replies:
            yield from self._encode_in_pieces(encoder, reply)

    def _encode_in_pieces(self, encoder: Encoder, reply: Reply) -> Iterator[bytes]:
        """Encode a large or lazy reply. If a lazy one fails midway, append the error and close the connection.

        Otherwise a truncated reply could be mistaken for a complete one.
        """
        try:
            yield from encoder.stream(reply)
        except CommandError as problem:
            self._session.closing = True
            self._session.client.stats.errors += 1
            yield from encoder.stream(problem.reply)

    def _execute_in_mode(self, request: Request) -> Reply:
        """Execute a request, and return its reply only if CLIENT REPLY lets it through.

        In the modes OFF and SKIP only a request that ends the mode has a reply.
        """
        session = self._session
        if isinstance(request, ProtocolReply):
            session.client.touch()
            return request.reply
        if session.reply_mode is ReplyMode.SKIP_NEXT:
            session.set_reply_mode(ReplyMode.SKIP_THIS)
        is_on = session.reply_mode is ReplyMode.ON
        reply = session.refuse(request) if isinstance(request, ProtocolError) else session.execute(request)
        return reply if reply is DEFERRED else self._apply_mode(is_on, reply)

    def _apply_mode(self, was_on: bool, reply: Reply) -> Reply:
        """Return the reply, or `NO_REPLY` if the mode was not ON before the request and is not ON after it."""
        session = self._session
        if was_on or session.reply_mode is ReplyMode.ON:
            return reply
        if session.reply_mode is ReplyMode.SKIP_THIS:
            session.set_reply_mode(ReplyMode.ON)
        return NO_REPLY

    # ---------------------------------------------------------------- for the session

    def set_protocol_version(self, version: int) -> None:
        """Encode RESP replies in version 2 or 3 from now on."""
        self._resp.use(version)

    def set_authenticated(self, authenticated: bool) -> None:
        """Read the next requests within the bounds for clients that have, or have not, authenticated."""
        self._decode = self._detector.decode if authenticated else self._decode_one
        self._detector.use(self._limits if authenticated else self._limits.before_authentication())

    @property
    def encoder(self) -> Encoder:
        """The encoder of the request that is being executed."""
        return self._encoder


def _reversed(groups: list[DecodedRequests]) -> Groups:
    return [(encoder, iter(requests)) for encoder, requests in reversed(groups)]


def _take(source: Iterator[bytes], pieces: list[bytes], size: int) -> int:
    """Move pieces until there is enough output. Return its size."""
    for piece in source:
        pieces.append(piece)
        size += len(piece)
        if size >= OUTPUT_SIZE:
            break
    return size
