"""One HTTP connection: requests in, responses out, in order.

    bytes -> RequestParser -> Application.admit -> Responder -> Output -> bytes

At most one request is executed at a time, because HTTP/1.1 has responses in the order of the requests. Every buffer has
a bound: while a request is executed, or the client does not read, at most one read of further input is stored, and then
the socket is not read any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from common.errors import HTTP_REQUEST_TIMEOUT, TOO_MANY_CLIENTS, HTTPProblem
from server.clients.push import PushQueue
from server.clients.registry import ClientInfo, TooManyClients
from server.http.application import Application
from server.http.encoder import encode_head
from server.http.messages import HTTPError, text_of
from server.http.output import Output
from server.http.parser import IncomingRequest, RequestParser
from server.http.progress import Awaited, Position, ProgressCheck
from server.http.responder import Responder
from server.net.addresses import format_address
from server.net.connection import LINGER_TIMEOUT
from server.net.send_queue import unacknowledged_size
from server.settings import HTTPTimeouts

RETRY_AFTER = 1
"""Seconds after which a client that was refused at the limit of clients may try again."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

logger = logging.getLogger(__name__)


class HTTPConnection(asyncio.Protocol):
    """Serve one connection. All methods but `kill` belong to the thread of the event loop.

    Nothing needs a lock, because the state changes on the event loop only. A worker thread uses the session of the
    request that is executed, and of this object at most `enable_push` and `kill`.
    """

    def __init__(self, application: Application, connections: set[HTTPConnection]) -> None:
        self._application = application
        self._context = application.context
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._parser = RequestParser(self._take_head)
        self._transport: asyncio.Transport
        self._output: Output
        self._responder: Responder
        self._client: ClientInfo | None = None  # None at the limit of clients
        self._is_scheduled = False  # `_process` is going to run
        self._is_reading = True
        self._has_eof = False  # the client sends no more
        self._is_closing = False  # nothing more is written
        self._reads = 0
        self._progress = ProgressCheck()

    @property
    def unparsed(self) -> bytearray:
        """Input that waits for earlier requests."""
        return self._parser.unparsed

    # ---------------------------------------------------------------- for other sessions

    def redirect_queue(self) -> PushQueue | None:
        """Return None: HTTP has no pushes."""
        return None

    def enable_push(self) -> PushQueue | None:
        """Return None: HTTP sends nothing but responses. Events are one (`server.http.events`)."""
        return None

    def kill(self) -> None:
        """Close the connection. May be called from any thread."""
        # `abort` discards the output. `close` would wait until a client that does not read has read all of it.
        with contextlib.suppress(RuntimeError):  # the event loop has ended, and the connection with it
            self._loop.call_soon_threadsafe(self._transport.abort)

    def apply_timeouts(self) -> None:
        """Do nothing: the timeouts of HTTP do not change."""

    # ---------------------------------------------------------------- for the listener

    def shut_down(self) -> None:
        """Close the connection after the response to the request that is executed."""
        self._responder.stop()
        # Otherwise the next response ends the connection. Input that is not parsed yet has had no effect.
        if self._responder.task is None and not self._parser.requests:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection now, and discard what has not been sent."""
        self._transport.abort()

    def check_progress(self, now: float, timeouts: HTTPTimeouts) -> None:
        """Close the connection if its client takes too long. ``now`` is the time of the event loop."""
        if self._progress.is_overdue(self._position(), now, timeouts):
            self._time_out()

    def _position(self) -> Position | None:
        parser, responder, output = self._parser, self._responder, self._output
        # Events have no end, so `client-output-buffer-limit` bounds how far a client may be behind.
        if self._client is None or output.is_lost or responder.events is not None:
            return None
        # First, because a client may have to read while a body is streamed, and in the lingering close.
        if unsent := self._transport.get_write_buffer_size():
            # With the kernel's buffer, which may have room for more only after megabytes of it were read.
            return Position(Awaited.READING, output.written - unsent - unacknowledged_size(self._client.fd))
        if self._is_closing or responder.task is not None or parser.unparsed:
            return None
        if parser.is_in_body:
            return Position(Awaited.BODY, self._reads)
        # A head has one limit as a whole. Otherwise a client that sends a byte now and then could take for ever.
        if parser.is_in_head or not responder.responses:
            return Position(Awaited.HEAD, responder.responses)
        return Position(Awaited.NEXT_REQUEST, responder.responses)

    def _time_out(self) -> None:
        parser = self._parser
        if self._transport.get_write_buffer_size():
            self._log("the client reads nothing of a response")
            self._transport.abort()  # `close` would wait until the client has read it
            return
        if not (parser.is_in_head or parser.is_in_body):
            # Without a 408, which a browser that connects in advance takes for the response to a later request.
            self._log("no request arrived in time")
            self._transport.close()
            return
        parser.refuse(HTTP_REQUEST_TIMEOUT)
        self._process()

    # ---------------------------------------------------------------- for the event loop

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # both loops pass one
        self._transport = transport
        self._output = Output(transport)
        self._responder = Responder(self._application, self._output, self)
        self._connections.add(self)
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if peer is None:  # uvloop does not know it if the client has reset the connection already
            transport.abort()
            return
        try:
            clients = self._context.clients
            self._client = clients.add(format_address(peer), format_address(local), self, clients.http_share)
            if (sock := transport.get_extra_info("socket")) is not None:
                self._client.fd = sock.fileno()
        except TooManyClients:
            # The connection is kept until its first request has got a 503 with Retry-After; see `_take_head`.
            # A client that sends nothing must not keep its socket either.
            self._loop.call_later(LINGER_TIMEOUT, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        # Requests that wait for their turn are not executed.
        self._parser.close()
        self._output.lose()
        self._responder.end_events()
        # A worker thread may still use the client and its statistics. Then `task_ended` leaves after the worker.
        if self._responder.task is None:
            self._leave()

    def _leave(self) -> None:
        if self._client is not None:
            self._context.clients.remove(self._client)
        self._connections.discard(self)

    def eof_received(self) -> bool:
        """Return whether the connection stays open, to respond to what the client sent before it closed its side."""
        # A client may close its side after its last request, as `nc -N` does, and still read the responses.
        # On False the event loop closes the transport. Over TLS it does so in any case.
        self._has_eof = True
        self._responder.end_events()  # events have no end by themselves, so the client has disconnected
        self._process()
        return self._owes_response() and not self._is_closing and self._transport.can_write_eof()

    def pause_writing(self) -> None:
        self._output.pause()

    def resume_writing(self) -> None:
        self._output.resume()
        self._process()  # requests whose responses had to wait for the client

    def data_received(self, data: bytes) -> None:
        # Input that arrives during the lingering close is read only to be discarded.
        if not self._is_closing:
            self._reads += 1
            # While a request is executed, input is not parsed, because parsed requests take far more memory than bytes.
            self._parser.feed(data, parse=self._responder.task is None)
            self._process()

    # ---------------------------------------------------------------- requests

    def _process(self) -> None:
        """Respond to requests in their order until one has to wait for something.

        One further piece of input is parsed. The rest has to wait for a turn of the event loop, so that one client with
        many requests does not delay the others.
        """
        parser, responder, output = self._parser, self._responder, self._output
        has_parsed = False
        # Each turn may change every part of the condition: a handler may become a task, and a write may call
        # `pause_writing` before it returns.
        while responder.task is None and not (output.is_paused or self._is_closing or self._transport.is_closing()):
            if parser.requests:
                incoming = parser.requests[0]
                if incoming.is_ready:
                    responder.begin(parser.requests.popleft(), self._client)
                    continue
                # The client waits for this before it sends the body (RFC 9110, 10.1.1). If a part of the body has
                # arrived, it does not wait. Only the first request gets it, because responses are in order.
                if incoming.expects_continue and not incoming.size:
                    incoming.expects_continue = False
                    output.write(CONTINUE)
            elif parser.is_closed:  # all responses are written: the error of malformed input may follow them
                self.end()
                return
            if not parser.unparsed:
                break
            if has_parsed:
                self._process_soon()
                break
            parser.parse_piece()
            has_parsed = True
        self._control_reading()
        # `eof_received` kept the transport open for these responses. Nothing else closes it.
        if self._has_eof and not self._owes_response():
            self._transport.close()

    def _owes_response(self) -> bool:
        # After the end of the input, a request that is not ready never will be, so it gets no response.
        parser, requests = self._parser, self._parser.requests
        return self._responder.task is not None or bool(parser.unparsed) or (bool(requests) and requests[0].is_ready)

    def _process_soon(self) -> None:
        def process() -> None:
            self._is_scheduled = False
            self._process()

        # At most one turn is scheduled, although each call of `_process` before that turn asks for one.
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(process)

    def _control_reading(self) -> None:
        """Read from the socket only if all input is parsed."""
        # So one read at most is kept, and TCP's flow control stops a client that sends faster than its requests are
        # executed. During the lingering close `end` reads in any case.
        wants_input = not self._parser.unparsed
        if wants_input != self._is_reading and not (self._is_closing or self._transport.is_closing()):
            self._is_reading = wants_input
            if wants_input:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _take_head(self, incoming: IncomingRequest) -> None:
        """Decide what to do with a request, which the parser calls before it parses the body."""
        if self._client is None:
            self._respond_503(incoming)
        else:
            self._application.admit(incoming, self._client.address)

    def _respond_503(self, incoming: IncomingRequest) -> None:
        headers = [(b"retry-after", b"%d" % RETRY_AFTER)]
        incoming.refuse(HTTPError(HTTPProblem(503, text_of(TOO_MANY_CLIENTS)), headers))
        incoming.keep_alive = False  # an unregistered client must not keep its socket

    # ---------------------------------------------------------------- for the responder

    def discard_input(self) -> None:
        """Discard what the client sends after the request that is executed."""
        self._parser.close()
        self._control_reading()

    def task_ended(self) -> None:
        """Continue with the next request, after one that had to wait."""
        if self._output.is_lost:
            self._leave()  # which `connection_lost` left to the task
        else:
            self._process()

    def end(self) -> None:
        """Close the connection after the output, which ends with the error of malformed input if there is one.

        The close is a lingering one: to close a socket that has unread input resets the connection, and the client may
        lose the last response.
        """
        if self._is_closing or self._transport.is_closing():
            return
        if self._parser.refusal is not None:
            self._log(f"HTTP status {self._parser.refusal.status}: {self._parser.refusal.sentence}")
            response = HTTPError(self._parser.refusal).response()
            assert isinstance(response.body, bytes)
            self._output.write(encode_head(response, keep_alive=False) + response.body)
        self._is_closing = True
        self._parser.close()
        # What the client still sends is discarded by `data_received`. Unread, it would cause the reset.
        if not self._is_reading:
            self._transport.resume_reading()
        if self._has_eof or not self._transport.can_write_eof():
            self._transport.close()
        else:  # half-close, then wait for the client to close its side (RFC 9112, 9.6)
            self._transport.write_eof()
            self._loop.call_later(LINGER_TIMEOUT, self._end_linger)

    def _log(self, message: str) -> None:
        logger.debug("client %d: %s", 0 if self._client is None else self._client.id, message)

    def _end_linger(self) -> None:
        if self._output.is_lost:
            return
        if self._transport.get_write_buffer_size():  # a slow client still reads the last response
            self._loop.call_later(LINGER_TIMEOUT, self._end_linger)
        else:
            self._transport.abort()
