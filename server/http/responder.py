"""Execute the requests of one HTTP connection, one after another, and write their responses.

    Responder.begin -> handler -> Response -> Output

A handler that does not have to wait runs at once, inside `Responder.begin`. It becomes a task if it waits for a worker
thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterator
from functools import partial
from typing import Protocol

from common.errors import CommandError
from common.limits import KIB
from server.clients.registry import NO_SUBSCRIPTIONS, ClientInfo
from server.http.application import Application
from server.http.encoder import encode_head
from server.http.events import EventStream
from server.http.messages import Response, run_in_this_thread, run_with_workers, text_of
from server.http.output import NextPart, Output
from server.http.parser import IncomingRequest
from server.process import yield_cpu
from server.session.session import Session

LARGE_BODY = 64 * KIB
"""Bytes of a request's body from which its handler runs in a worker thread, because it may take long."""

LARGE_RESPONSE = 64 * KIB
"""Bytes of a response's body from which it is written without being copied after its head."""

logger = logging.getLogger(__name__)


class Connection(Protocol):
    """What a response does to its connection."""

    def end(self) -> None:
        """Close the connection after the output."""
        ...

    def discard_input(self) -> None:
        """Discard what the client sends after the present request."""
        ...

    def task_ended(self) -> None:
        """Continue with the next request, or leave if the client has disconnected."""
        ...


class Responder:
    """Responds to the requests of one connection. It belongs to the thread of the event loop.

    A worker thread uses the session of the request that is executed.
    """

    def __init__(self, application: Application, output: Output, connection: Connection) -> None:
        self._application = application
        self._output = output
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self.task: asyncio.Task[None] | None = None
        """The request that is executed, if that takes more than a step. No other one may begin meanwhile."""
        self.events: EventStream | None = None
        """The body of the response that is being sent, if it has no end."""
        self.responses = 0
        """How many were written."""
        self._is_stopping = False

    def stop(self) -> None:
        """Let the next response, or the one that is being sent, end the connection."""
        self._is_stopping = True
        self.end_events()

    def end_events(self) -> None:
        """End the response that is being sent, if it has no end by itself."""
        if self.events is not None:
            self.events.end()

    def begin(self, incoming: IncomingRequest, client: ClientInfo | None) -> None:
        """Execute a request as far as it goes without waiting. Without a client, it must have been refused."""
        if incoming.response is not None:
            if incoming.expects_continue and not incoming.is_complete:
                incoming.keep_alive = False  # the client may send the body or not, so the next request has no place
            self._write_response(incoming, incoming.response)
            return
        assert client is not None, "at the limit of clients every request is refused"
        # A session for each request: HTTP is stateless, and a proxy sends requests of several users on one connection.
        # An open MULTI or WATCH must not reach the next of them.
        application = self._application
        session = Session(application.context, client, authenticated=True)  # `admit` has checked the password
        handler = application.respond(incoming, application.new_request(session, incoming))
        workers = application.workers
        # The whole handler, because already the parsing of the body may take long.
        if incoming.size > LARGE_BODY:
            self._start_task(incoming, session, self._loop.run_in_executor(workers, run_in_this_thread, handler))
            return
        try:
            # Most handlers return in this step, without a task and without a further turn of the event loop.
            call = handler.send(None)
        except StopIteration as end:
            response: Response = end.value
            if isinstance(response.body, bytes) and not self._output.needs_parts(response.body):
                # In this order, because `_end_session` lets other threads run, and the client is waiting.
                self._write_response(incoming, response, closes=session.closing)
                self._end_session(session)
            else:  # a task keeps the session open: to make a body may execute commands, as in a pipeline
                self._start_task(incoming, session, _return(response))
        else:
            self._start_task(incoming, session, run_with_workers(handler, call, workers))

    def _start_task(self, incoming: IncomingRequest, session: Session, pending: Awaitable[Response]) -> None:
        self.task = self._loop.create_task(self._respond(incoming, session, pending))

    async def _respond(self, incoming: IncomingRequest, session: Session, pending: Awaitable[Response]) -> None:
        """Send a response that has to be waited for, or whose body is made while it is sent."""
        try:
            response = await pending
            # The body of a HEAD is not even made. RFC 9110 (9.3.2) lets a server omit headers whose values it knows
            # only after that, such as Content-Length.
            body = response.body
            if incoming.method == b"HEAD" or (isinstance(body, bytes) and not self._output.needs_parts(body)):
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
            self._output.abort()
        # Not in a `finally`: the task is cancelled if a worker still uses the session after the listener has stopped.
        self.task = None
        self._end_session(session)
        self._connection.task_ended()

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
            self._output.write(head)  # with the Content-Length that GET would have (RFC 9110, 8.6)
        elif len(body) < LARGE_RESPONSE:
            self._output.write(head + body)  # one system call and, with TCP_NODELAY, one packet for a small response
        else:
            self._output.write(head)
            self._output.write(body)
        self._complete_response(keep_alive)

    async def _write_in_parts(
        self, incoming: IncomingRequest, session: Session, response: Response, body: bytes
    ) -> None:
        """Write a response whose body is complete, but too large to be encrypted at once."""
        keep_alive = self._keeps_alive(incoming, session)
        self._output.write(encode_head(response, keep_alive))
        await self._output.write_in_parts(body)
        self._complete_response(keep_alive and not self._is_stopping)

    async def _stream_events(
        self, incoming: IncomingRequest, session: Session, response: Response, events: EventStream
    ) -> None:
        """Write events until the client disconnects or the server stops."""
        self.events = events
        # What the client sends after this request will have no response. If it was kept, the socket would not be read,
        # and the end of the input, by which a client ends its subscriptions, would not be noticed.
        incoming.keep_alive = False
        self._connection.discard_input()
        session.client.subscriptions = events.subscriptions.counts
        if self._output.is_lost or self._is_stopping:
            events.end()
        try:
            await self._stream(incoming, session, response, events.next_part)
        finally:
            self.events = None
            session.client.subscriptions = NO_SUBSCRIPTIONS
            events.close()

    async def _next_part(self, body: Iterator[bytes]) -> bytes:
        # A worker makes it, because that may execute commands.
        return await self._loop.run_in_executor(self._application.workers, self._application.next_part, body)

    async def _stream(
        self, incoming: IncomingRequest, session: Session, response: Response, next_part: NextPart
    ) -> None:
        """Write a response whose body is made while it is sent. Raises what making it raises."""
        is_chunked = incoming.version == "1.1"  # the end of an HTTP/1.0 body is the end of the connection
        if is_chunked:
            response.headers.append((b"transfer-encoding", b"chunked"))
        keep_alive = self._keeps_alive(incoming, session)
        self._output.write(encode_head(response, keep_alive))
        await self._output.stream(next_part, is_chunked=is_chunked)
        # Commands of a pipeline are executed while their replies are sent, and one of them may have been QUIT.
        self._complete_response(keep_alive and self._keeps_alive(incoming, session))

    def _keeps_alive(self, incoming: IncomingRequest, session: Session) -> bool:
        return incoming.keep_alive and not (session.closing or self._is_stopping)

    def _complete_response(self, keep_alive: bool) -> None:
        self.responses += 1
        if not keep_alive:
            self._connection.end()


async def _return(response: Response) -> Response:
    return response
