"""What the view shows of one point in time, read from the replies to INFO, PING, CLIENT LIST and SLOWLOG GET.

A server may refuse any of them, for example by an ACL. Then there is a sentence in the place of the data.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from client.conversation import Conversation, bytes_of
from client.tools.server_info import Refused, ServerInfo, read_info, refuse_error
from common.replies import Reply
from common.text import abbreviated, printable, quote

LATENCY_SAMPLES = 5
"""Requests that are sent one after another to measure the latency, of which the median counts."""

SLOWLOG_LENGTH = b"50"
"""Entries of the slow log that are asked for."""

MAX_CLIENTS = 10_000
"""Lines of CLIENT LIST that are looked at."""

MAX_ARGUMENTS = 32
"""Arguments of a command in the slow log that are looked at, as many as Redis has in an entry."""

MAX_MICROSECONDS = 10**15

MAX_COMMAND_SIZE = 200
"""Bytes of a command in the slow log that are shown."""

MAX_TEXT_SIZE = 60
"""Bytes of any other text that are shown."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Client:
    """A line of CLIENT LIST."""

    id: int
    address: str
    name: str
    age: int
    """Seconds since it has connected."""

    idle: int
    """Seconds since its last request."""

    memory: int
    """Bytes, as the server counts them."""

    command: str
    """Its last command."""


@dataclass(frozen=True, slots=True)
class SlowCommand:
    """An entry of SLOWLOG GET."""

    at: float
    """When it was executed, in seconds since the epoch."""

    milliseconds: float
    command: str
    address: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a server. A text in the place of data says why the server does not give it."""

    latency: float | str
    """Milliseconds until the reply to PING."""

    info: ServerInfo | str
    clients: list[Client] | str
    slow_commands: list[SlowCommand] | str


def take_snapshot(conversation: Conversation) -> Snapshot:
    """Ask the server. Raises as `Conversation.exchange`."""
    return Snapshot(
        _unless_refused(lambda: _measure_latency(conversation)),
        _unless_refused(lambda: read_info(conversation)),
        _unless_refused(lambda: _clients(refuse_error("CLIENT LIST", conversation.call(b"CLIENT", b"LIST")))),
        _unless_refused(
            lambda: _slow_commands(refuse_error("SLOWLOG GET", conversation.call(b"SLOWLOG", b"GET", SLOWLOG_LENGTH)))
        ),
    )


def _unless_refused(read: Callable[[], T]) -> T | str:
    try:
        return read()
    except Refused as problem:
        return f"unavailable: {_shown(str(problem).encode())}"


def _measure_latency(conversation: Conversation) -> float:
    samples = []
    for _ in range(LATENCY_SAMPLES):
        began = time.perf_counter()
        refuse_error("PING", conversation.call(b"PING"))
        samples.append((time.perf_counter() - began) * 1000)
    return statistics.median(samples)


def _clients(reply: Reply) -> list[Client]:
    return [_client(line) for line in bytes_of(reply).splitlines()[:MAX_CLIENTS] if line]


def _client(line: bytes) -> Client:
    fields = dict(field.partition(b"=")[::2] for field in line.split(b" "))
    return Client(
        id=_integer(fields.get(b"id")),
        address=_shown(fields.get(b"addr", b"")),
        name=_shown(fields.get(b"name", b"")),
        age=_integer(fields.get(b"age")),
        idle=_integer(fields.get(b"idle")),
        memory=_integer(fields.get(b"tot-mem")),
        command=_shown(fields.get(b"cmd", b"")),
    )


def _slow_commands(reply: Reply) -> list[SlowCommand]:
    found = []
    for entry in reply if isinstance(reply, list) else []:
        match entry:
            # Redis before 4.0 gives no address.
            case [int(), int() as at, int() as microseconds, [*args], *rest]:
                address = rest[0] if rest and isinstance(rest[0], bytes) else b""
                found.append(
                    SlowCommand(at, min(microseconds, MAX_MICROSECONDS) / 1000, _shown_command(args), _shown(address))
                )
    return found


def _shown_command(args: list[Reply]) -> str:
    """Return a command as it could be typed, abbreviated."""
    command = b" ".join(
        quote(abbreviated(arg, MAX_COMMAND_SIZE)) for arg in args[:MAX_ARGUMENTS] if isinstance(arg, bytes)
    )
    return _shown(command, MAX_COMMAND_SIZE)


def _shown(text: bytes, size: int = MAX_TEXT_SIZE) -> str:
    """Return a text on one line that controls no terminal."""
    return printable(abbreviated(text, size)).decode()


def _integer(text: bytes | None) -> int:
    return int(text) if text and len(text) < 20 and text.isdigit() else 0
