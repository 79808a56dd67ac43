"""One HTTP connection: requests in, responses out, in order.

    bytes -> RequestParser -> Application.admit -> handler -> Response -> bytes

At most one request is executed at a time, because HTTP/1.1 has responses in the order of the requests. Every buffer has
a bound: while a request is executed, or the client does not read, at most one read of further input is stored, and then
the socket is not read any more.

A handler that does not have to wait runs at once, inside `_process`. It becomes a task if it waits for a worker thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

from common.errors import HTTP_REQUEST_TIMEOUT, TOO_MANY_CLIENTS, CommandError, HTTPProblem
from common.limits import KIB
from server.clients.push import PushQueue
from server.clients.registry import NO_SUBSCRIPTIONS, ClientInfo, TooManyClients
from server.http.application import Application
from server.http.encoder import encode_head
from server.http.events import EventStream
from server.http.messages import (
    HTTPError,
    Response,
    run_in_this_thread,
    run_with_workers,
    text_of,
)
from server.http.parser import IncomingRequest, RequestParser
from server.http.progress import Awaited, Position, ProgressCheck
from server.net.addresses import format_address
from server.net.connection import LINGER_TIMEOUT
from server.net.send_queue import unacknowledged_size
from server.process import yield_cpu
from server.session.session import Session
from server.settings import HTTPTimeouts

LARGE_BODY = 64 * KIB
"""Bytes of a request's body from which its handler runs in a worker thread, because it may take long."""

LARGE_RESPONSE = 64 * KIB
"""Bytes of a response's body from which it is written without being copied after its head."""

TLS_PART_SIZE = 128 * KIB
"""Bytes of a response's body that are encrypted at a time."""

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
        self._client: ClientInfo | None = None  # None at the limit of clients
        self._task: asyncio.Task[None] | None = None  # the request that is executed, if that takes more than a step
        self._is_scheduled = False  # `_process` is going to run
        self._is_reading = True
        self._is_write_paused = False
        self._drained: asyncio.Future[None] | None = None
        self._events: EventStream | None = None  # the body of the response that is being sent, if it has no end
        self._has_eof = False  # the client sends no more
        self._is_stopping = False
        self._is_closing = False  # nothing more is written
        self._is_lost = False
        self._reads = 0
        self._responses = 0
        self._written = 0  # bytes passed to the transport
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
        self._is_stopping = True
        if self._events is not None:
            self._events.end()
        # Otherwise the next response ends the connection, because `_is_stopping` turns keep-alive off. Input that is
        # not parsed yet has had no effect.
        if self._task is None and not self._parser.requests:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection now, and discard what has not been sent."""
        self._transport.abort()

    def check_progress(self, now: float, timeouts: HTTPTimeouts) -> None:
        """Close the connection if its client takes too long. ``now`` is the time of the event loop."""
        if self._progress.is_overdue(self._position(), now, timeouts):
            self._time_out()

    def _position(self) -> Position | None:
        parser = self._parser
        # Events have no end, so `client-output-buffer-limit` bounds how far a client may be behind.
        if self._client is None or self._is_lost or self._events is not None:
            return None
        # First, because a client may have to read while a body is streamed, and in the lingering close.
        if unsent := self._transport.get_write_buffer_size():
            # With the kernel's buffer, which may have room for more only after megabytes of it were read.
            return Position(Awaited.READING, self._written - unsent - unacknowledged_size(self._client.fd))
        if self._is_closing or self._task is not None or parser.unparsed:
            return None
        if parser.is_in_body:
            return Position(Awaited.BODY, self._reads)
        # A head has one limit as a whole. Otherwise a client that sends a byte now and then could take for ever.
        if parser.is_in_head or not self._responses:
            return Position(Awaited.HEAD, self._responses)
        return Position(Awaited.NEXT_REQUEST, self._responses)

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
        self._is_lost = True
        # Requests that wait for their turn are not executed. `_stream` must not wait for a client that reads no more.
        self._parser.close()
        self._wake_writer()
        if self._events is not None:
            self._events.end()
        # A worker thread may still use the client and its statistics. Then the task leaves when the worker has ended.
        if self._task is None:
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
        if self._events is not None:  # they have no end by themselves, so the client has disconnected
            self._events.end()
        self._process()
        return self._owes_response() and not self._is_closing and self._transport.can_write_eof()

    def pause_writing(self) -> None:
        self._is_write_paused = True

    def resume_writing(self) -> None:
        self._is_write_paused = False
        self._wake_writer()
        self._process()  # requests whose responses had to wait for the client

    def _wake_writer(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def data_received(self, data: bytes) -> None:
        # Input that arrives during the lingering close is read only to be discarded.
        if not self._is_closing:
            self._reads += 1
            # While a request is executed, input is not parsed, because parsed requests take far more memory than bytes.
            self._parser.feed(data, parse=self._task is None)
            self._process()

    # ---------------------------------------------------------------- requests

    def _process(self) -> None:
        """Respond to requests in their order until one has to wait for something.

        One further piece of input is parsed. The rest has to wait for a turn of the event loop, so that one client with
        many requests does not delay the others.
        """
        parser = self._parser
        has_parsed = False
        # Each turn may change every part of the condition: a handler may become a task, and a write may call
        # `pause_writing` before it returns.
        while self._task is None and not (self._is_write_paused or self._is_closing or self._transport.is_closing()):
            if parser.requests:
                incoming = parser.requests[0]
                if incoming.is_ready:
                    self._begin(parser.requests.popleft())
                    continue
                # The client waits for this before it sends the body (RFC 9110, 10.1.1). If a part of the body has
                # arrived, it does not wait. Only the first request gets it, because responses are in order.
                if incoming.expects_continue and not incoming.size:
                    incoming.expects_continue = False
                    self._write(CONTINUE)
            elif parser.is_closed:  # all responses are written: the error of malformed input may follow them
                self._end()
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
        requests = self._parser.requests
        return self._task is not None or bool(self._parser.unparsed) or (bool(requests) and requests[0].is_ready)

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
        # executed. During the lingering close `_end` reads in any case.
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

    def _begin(self, incoming: IncomingRequest) -> None:
        """Execute a request as far as it goes without waiting."""
        if incoming.response is not None:
            if incoming.expects_continue and not incoming.is_complete:
                incoming.keep_alive = False  # the client may send the body or not, so the next request has no place
            self._write_response(incoming, incoming.response)
            return
        assert self._client is not None, "at the limit of clients every request is refused"
        # A session for each request: HTTP is stateless, and a proxy sends requests of several users on one connection.
        # An open MULTI or WATCH must not reach the next of them.
        session = Session(self._context, self._client, authenticated=True)  # `admit` has checked the password
        handler = self._application.respond(incoming, self._application.new_request(session, incoming))
        workers = self._application.workers
        # The whole handler, because already the parsing of the body may take long.
        if incoming.size > LARGE_BODY:
            self._start_task(incoming, session, self._loop.run_in_executor(workers, run_in_this_thread, handler))
            return
        try:
            # Most handlers return in this step, without a task and without a further turn of the event loop.
            call = handler.send(None)
        except StopIteration as end:
            response: Response = end.value
            if isinstance(response.body, bytes) and not self._is_sent_in_parts(response.body):
                # In this order, because `_end_session` lets other threads run, and the client is waiting.
                self._write_response(incoming, response, closes=session.closing)
                self._end_session(session)
            else:  # a task keeps the session open: to make a body may execute commands, as in a pipeline
                self._start_task(incoming, session, _return(response))
        else:
            self._start_task(incoming, session, run_with_workers(handler, call, workers))

    def _start_task(self, incoming: IncomingRequest, session: Session, pending: Awaitable[Response]) -> None:
        self._task = self._loop.create_task(self._respond(incoming, session, pending))

    async def _respond(self, incoming: IncomingRequest, session: Session, pending: Awaitable[Response]) -> None:
        """Send a response that has to be waited for, or whose body is made while it is sent."""
        try:
            response = await pending
            # The body of a HEAD is not even made. RFC 9110 (9.3.2) lets a server omit headers whose values it knows
            # only after that, such as Content-Length.
            body = response.body
            if incoming.method == b"HEAD" or (isinstance(body, bytes) and not self._is_sent_in_parts(body)):
                self._write_response(incoming, response, closes=session.closing)
            elif isinstance(body, bytes):
                await self._write_in_parts(incoming, session, response, body)
            elif isinstance(body, EventStream):
                await self._stream_events(incoming, session, response, body)
            else:
                await self._stream(incoming, session, response, partial(self._next_part, body))
        except Exception as problem:
            # The status has been sent. The client can see only from the missing end that the body is not complete.
            if isinstance(problem, CommandError):
                logger.warning("a response was cut short: %s", text_of(problem.reply))
            else:
                logger.exception("a response was cut short")
            self._transport.abort()
        # Not in a `finally`: the task is cancelled if a worker still uses the session after the listener has stopped.
        self._task = None
        self._end_session(session)
        if self._is_lost:
            self._leave()  # which `connection_lost` left to this task
        else:
            self._process()

    def _end_session(self, session: Session) -> None:
        session.close()
        client = session.client
        # CLIENT SETNAME and HELLO write to the client, which the connection's later requests share.
        if client.name or client.protocol_version != 2:
            client.name, client.protocol_version = b"", 2
        client.call.cache_lookup = None
        # Under load the event loop is always ready to run. Without this, other threads waited for the kernel to end
        # its time slice, which was measured to make the 99th percentile of their replies several times as long.
        yield_cpu()

    # ---------------------------------------------------------------- responses

    def _write_response(self, incoming: IncomingRequest, response: Response, *, closes: bool = False) -> None:
        """Write a response whose body is complete."""
        body = response.body if isinstance(response.body, bytes) else b""
        keep_alive = incoming.keep_alive and not (closes or self._is_stopping)
        head = encode_head(response, keep_alive)
        if incoming.method == b"HEAD":
            self._write(head)  # with the Content-Length that GET would have (RFC 9110, 8.6)
        elif len(body) < LARGE_RESPONSE:
            self._write(head + body)  # one system call and, with TCP_NODELAY, one packet for a small response
        else:
            self._write(head)
            self._write(body)
        self._complete_response(keep_alive)

    def _is_sent_in_parts(self, body: bytes) -> bool:
        """Return whether a body must be encrypted in parts.

        A transport of TLS encrypts all that is written, and reports as unsent only what is not encrypted. So it would
        seem that the client has taken the body, and the connection would be closed as an idle one, or at once.
        """
        return len(body) > TLS_PART_SIZE and self._transport.get_extra_info("sslcontext") is not None

    async def _write_in_parts(
        self, incoming: IncomingRequest, session: Session, response: Response, body: bytes
    ) -> None:
        """Write a response whose body is complete, each part when the client has taken most of those before."""
        keep_alive = incoming.keep_alive and not (session.closing or self._is_stopping)
        self._write(encode_head(response, keep_alive))
        for at in range(0, len(body), TLS_PART_SIZE):
            await self._drain()
            if self._is_lost:
                return
            self._write(body[at : at + TLS_PART_SIZE])
            await asyncio.sleep(0)  # other connections have their turns
        self._complete_response(keep_alive and not self._is_stopping)

    async def _stream_events(
        self, incoming: IncomingRequest, session: Session, response: Response, events: EventStream
    ) -> None:
        """Write events until the client disconnects or the server stops."""
        self._events = events
        # What the client sends after this request will have no response. If it was kept, the socket would not be read,
        # and the end of the input, by which a client ends its subscriptions, would not be noticed.
        incoming.keep_alive = False
        self._parser.close()
        self._control_reading()
        session.client.subscriptions = events.subscriptions.counts
        if self._is_lost or self._is_stopping:
            events.end()
        try:
            await self._stream(incoming, session, response, events.next_part)
        finally:
            self._events = None
            session.client.subscriptions = NO_SUBSCRIPTIONS
            events.close()

    async def _next_part(self, body: Iterator[bytes]) -> bytes:
        # A worker makes it, because that may execute commands.
        return await self._loop.run_in_executor(self._application.workers, self._application.next_part, body)

    async def _stream(
        self,
        incoming: IncomingRequest,
        session: Session,
        response: Response,
        next_part: Callable[[], Awaitable[bytes]],
    ) -> None:
        """Write a response in parts, each when the client has taken the ones before. Raises what making them raises."""
        is_chunked = incoming.version == "1.1"  # the end of an HTTP/1.0 body is the end of the connection
        if is_chunked:
            response.headers.append((b"transfer-encoding", b"chunked"))
        keep_alive = incoming.keep_alive and not (session.closing or self._is_stopping)
        self._write(encode_head(response, keep_alive))
        while not self._is_lost:
            # Wait before making a part, so that at most one waits in memory if the client reads slowly.
            await self._drain()
            part = await next_part()
            if not part:  # also, a chunk of size 0 would end the body (RFC 9112, 7.1)
                break
            self._write(b"%x\r\n%b\r\n" % (len(part), part) if is_chunked else part)
        if is_chunked:
            self._write(b"0\r\n\r\n")
        # Commands of a pipeline are executed while their replies are sent, and one of them may have been QUIT.
        self._complete_response(keep_alive and not (session.closing or self._is_stopping))

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():  # else uvloop would raise RuntimeError
            self._written += len(data)
            self._transport.write(data)

    async def _drain(self) -> None:
        """Wait until the client has read enough of the output, or has disconnected."""
        if self._is_write_paused and not self._is_lost:
            self._drained = self._loop.create_future()
            await self._drained

    def _complete_response(self, keep_alive: bool) -> None:
        self._responses += 1
        if not keep_alive:
            self._end()

    # ---------------------------------------------------------------- the end

    def _end(self) -> None:
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
            self._write(encode_head(response, keep_alive=False) + response.body)
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
        if self._is_lost:
            return
        if self._transport.get_write_buffer_size():  # a slow client still reads the last response
            self._loop.call_later(LINGER_TIMEOUT, self._end_linger)
        else:
            self._transport.abort()


async def _return(response: Response) -> Response:
    return response
