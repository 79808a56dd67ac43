"""Helpers of in-process tests: transcripts, sessions without a connection, and ways to split a stream."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from common.codec import DecodedRequests, Encoder, Request, RequestBatch
from common.limits import DEFAULT_LIMITS, Limits
from common.replies import Reply
from common.resp_client import ReplyDecoder, encode_request
from common.text_args import split_args
from server.clients.push import PushLimit, PushQueue
from server.clients.registry import ClientInfo
from server.commands import COMMANDS
from server.engines.base import Engine
from server.engines.embedded import EmbeddedEngine
from server.registry import CommandTable
from server.session.context import ServerContext
from server.session.session import Session
from server.session.stream import RequestStream
from server.session.transaction import Transaction
from tests.harness.stores import new_store

TRANSCRIPTS = Path(__file__).parents[1] / "transcripts"

Transcript: TypeAlias = "tuple[str, list[tuple[str, str]]]"


def load_transcripts() -> list[Transcript]:
    """Read every golden transcript: its name, and its pairs of request line and expected reply.

    The request line has no line break. Every line of the reply ends in a newline. The format is described in
    `tests/transcripts/README.md`.
    """
    return [(path.stem, parse_transcript(path.read_bytes().decode())) for path in sorted(TRANSCRIPTS.glob("*.txt"))]


def parse_transcript(text: str) -> list[tuple[str, str]]:
    """Parse one transcript, as `load_transcripts` returns it."""
    exchanges: list[tuple[str, str]] = []
    for line in text.removesuffix("\n").split("\n"):
        if line.startswith("> "):
            exchanges.append((line[2:], ""))
        elif not line.startswith("# "):
            sent, reply = exchanges[-1]
            exchanges[-1] = (sent, f"{reply}{line}\n")
    return exchanges


class FakeTransport:
    """A connection as sessions see it. It stores what is pushed to it, and whether it was killed."""

    def __init__(self) -> None:
        self.queue: PushQueue | None = None
        self.redirected: PushQueue | None = None
        self.enabled = 0
        self.killed = False
        self.limit = PushLimit()
        self._pushed: list[bytes] = []

    def enable_push(self) -> PushQueue:
        self.enabled += 1
        self.queue = PushQueue(lambda: None, self.kill, self.limit)
        return self.queue

    def redirect_queue(self) -> PushQueue:
        if self.redirected is None:
            self.redirected = PushQueue(lambda: None, self.kill, self.limit)
        return self.redirected

    @property
    def pushed(self) -> list[bytes]:
        """Everything that was pushed so far and not sent by the session's own stream."""
        if self.queue is not None:
            self._pushed += self.queue.take()
        return self._pushed

    def kill(self) -> None:
        self.killed = True

    def apply_timeouts(self) -> None:
        """Do nothing: there is no peer to wait for."""


class ClientSession:
    """A client without a connection: a session, and the stream around it."""

    def __init__(self, context: ServerContext, client: ClientInfo | None = None) -> None:
        self.context = context
        self.client = client or context.clients.add()
        self.session = Session(context, self.client)
        self.stream = RequestStream(self.session)

    def feed(self, data: bytes) -> bytes:
        return self.stream.feed(data)

    @property
    def pending(self) -> bool:
        return self.stream.pending

    @property
    def closing(self) -> bool:
        return self.stream.closing

    @property
    def transaction(self) -> Transaction | None:
        return self.session.transaction

    def close(self) -> None:
        """Disconnect, as a connection does."""
        self.stream.close()
        self.context.clients.remove(self.client)


def new_session(
    engine: Engine | None = None, commands: CommandTable = COMMANDS, limits: Limits = DEFAULT_LIMITS
) -> ClientSession:
    """Make a session on an engine, or on an empty store of its own."""
    engine = EmbeddedEngine(new_store(), limits) if engine is None else engine
    return ClientSession(ServerContext(engine, commands, limits))


def connect(
    context: ServerContext, address: str = "10.0.0.1:5000", local_address: str = "10.0.0.9:9736"
) -> ClientSession:
    """Make one more session of a server, as a connection does. Its transport is a `FakeTransport`."""
    return ClientSession(context, context.clients.add(address, local_address, FakeTransport()))


def transport_of(session: ClientSession) -> FakeTransport:
    """Return the transport of a session that `connect` made."""
    transport = session.client.transport
    assert isinstance(transport, FakeTransport)
    return transport


def encode(encoder: Encoder, reply: Reply) -> bytes:
    """Return the whole encoding of a reply."""
    return b"".join(encoder.stream(reply))


def feed(session: ClientSession, data: bytes, *sizes: int) -> bytes:
    """Feed data in pieces of these sizes in turn (in one piece if none is given). Return all output."""
    return b"".join(answer for piece in cut(data, sizes) for answer in answers(session, piece))


def answers(session: ClientSession, data: bytes) -> Iterator[bytes]:
    """Feed data in one piece. Yield the pieces of output as a connection reads them."""
    yield session.feed(data)
    while session.pending:
        yield session.feed(b"")


def cut(data: bytes, sizes: Iterable[int]) -> list[bytes]:
    """Cut data into pieces of these sizes, repeatedly. Return one piece if there are no sizes."""
    pieces: list[bytes] = []
    at = 0
    for size in itertools.cycle(sizes):
        if at >= len(data):
            return pieces
        pieces.append(data[at : at + size])
        at += size
    return [data]


def flat(groups: list[DecodedRequests]) -> list[tuple[Encoder, Request]]:
    """Return the decoded requests one by one, those of batches too."""
    return [
        (encoder, each)
        for encoder, decoded in groups
        for request in decoded
        for each in (request if isinstance(request, RequestBatch) else [request])
    ]


def send_line(session: ClientSession, line: str) -> str:
    """Send one line of text. Return the reply without its last line break."""
    return feed(session, f"{line}\n".encode()).decode().removesuffix("\n")


def send_lines(session: ClientSession, *lines: str) -> list[str]:
    """Send lines one by one. Return their replies."""
    return [send_line(session, line) for line in lines]


def execute(session: ClientSession, *args: bytes) -> Reply:
    """Send one RESP request. Return its reply, which must be exactly one."""
    (reply,) = ReplyDecoder().feed(feed(session, encode_request(args)))
    return reply


def execute_line(session: ClientSession, line: str) -> Reply:
    """Send the arguments of a line as one RESP request. Return its reply."""
    return execute(session, *split_args(line.encode()))
