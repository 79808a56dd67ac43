"""One HTTP request and its answer, as the functions that answer see them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes

from common.codec import Args
from common.errors import (
    BACKEND_TIMED_OUT,
    BACKEND_UNAVAILABLE,
    INTERNAL_ERROR,
    NOT_AN_INTEGER,
    WOULD_OVERFLOW,
    CommandError,
)
from common.replies import ErrorReply, Reply
from server.session.session import Session

Headers: TypeAlias = "list[tuple[bytes, bytes]]"

WHOLE_SIZE = 256 * 1024
"""Bytes of a body up to which it is sent whole; a larger one is sent as it is made, in parts of at least this size."""

CONFLICTS = (NOT_AN_INTEGER, WOULD_OVERFLOW)
"""The errors that say that a resource is in no state for what was asked of it."""

OCTETS = b"application/octet-stream"
TEXT = b"text/plain; charset=utf-8"
JSON = b"application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back. A body that is no ``bytes`` is sent piece by piece, and is good for one reading."""

    status: int
    body: bytes | Iterator[bytes] = b""
    headers: Headers = field(default_factory=list)


class Problem(Exception):
    """A request that is not done. The sentence is for the client."""

    def __init__(self, status: int, sentence: str, headers: Headers | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = headers or []

    def answer(self) -> Answer:
        """Return the problem as every problem is told."""
        return json_answer(self.status, {"error": str(self)}, self.headers)


class MustWait(Exception):
    """The reply is not at hand. Nothing was done yet; a thread that may wait has to do it."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the query: what reads it, and what documents it. ``read`` may raise ValueError."""

    name: str
    description: str
    schema: dict[str, object]
    example: object
    read: Callable[[bytes], Any]


@dataclass(slots=True)
class Exchange:
    """A request. ``path`` is still encoded; ``headers`` have names in small letters."""

    session: Session
    path: bytes
    query: bytes
    headers: dict[bytes, bytes]
    body: bytes = b""
    is_forgeable: bool = False
    """Whether any page may have made somebody's browser send it, if it is a GET; see `server.http.guard`."""
    may_wait: bool = True
    """Whether this thread may wait for another machine. One that may not raises `MustWait` instead."""

    def parameters(self, *known: Parameter) -> list[Any]:
        """Return the query's values, None for a parameter that is not there. Raises `Problem` for any other."""
        given: dict[str, bytes] = {}
        for name, value in self.query_words():
            text = name.decode(errors="replace")
            if text in given:
                raise Problem(400, f"the parameter {text!r} is given twice")
            given[text] = value or b""
        values = [_read(each, given.pop(each.name, None)) for each in known]
        if given:
            raise Problem(400, f"there is no parameter {next(iter(given))!r} here")
        return values

    def query_words(self) -> list[tuple[bytes, bytes | None]]:
        """Return the query's names and values in order; None for a name that has no ``=``."""
        pairs = [part.partition(b"=") for part in self.query.split(b"&") if part]
        return [(_decoded(name), _decoded(value) if equals else None) for name, equals, value in pairs]

    def answer(self, args: Args) -> Reply:
        """Run a command and return its reply, which may be an error."""
        if self.may_wait:
            return self.session.answer(args)
        reply = self.session.at_hand(args)
        if reply is None:
            raise MustWait
        return reply

    def run(self, *args: bytes) -> Reply:
        """Run a command. Raises `Problem` where its reply is an error."""
        return checked(self.answer(list(args)))

    def run_all(self, *commands: Args) -> list[Reply] | None:
        """Run commands as one step; return None where a watched key has changed. Raises `Problem` for an error."""
        for args in ([b"MULTI"], *commands):
            checked(self.session.answer(args))
        replies = checked(self.session.answer([b"EXEC"]))
        return [checked(each) for each in replies] if isinstance(replies, list) else None

    @property
    def wants_json(self) -> bool:
        """Whether the client names JSON among what it accepts."""
        return JSON in self.headers.get(b"accept", b"")

    @property
    def wants_base64(self) -> bool:
        """Whether the client asks for strings in base64, as Upstash's clients do."""
        return self.headers.get(b"upstash-encoding", b"").lower() == b"base64"


def _decoded(part: bytes) -> bytes:
    return unquote_to_bytes(part.replace(b"+", b" "))


def _read(parameter: Parameter, value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return parameter.read(value)
    except (ValueError, CommandError):
        raise Problem(400, f"the parameter {parameter.name!r} is not {parameter.description}") from None


def checked(reply: Reply) -> Reply:
    """Return a reply that is no error. Raises `Problem` for one that is."""
    if isinstance(reply, ErrorReply):
        status = 409 if reply in CONFLICTS else status_of(reply)
        raise Problem(status, reply.text.decode(errors="replace"))
    return reply


def status_of(error: ErrorReply) -> int:
    """Return the HTTP status that says the same as a command's error."""
    if error.text.startswith(BACKEND_TIMED_OUT):
        return 504
    if error.text.startswith(BACKEND_UNAVAILABLE):
        return 502
    return 500 if error == INTERNAL_ERROR else 400


def json_answer(status: int, value: object, headers: Iterable[tuple[bytes, bytes]] = ()) -> Answer:
    """Answer with a value as JSON."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status, body, [(b"content-type", JSON), *headers])


def lazy_answer(content_type: bytes, pieces: Iterator[bytes], headers: Iterable[tuple[bytes, bytes]] = ()) -> Answer:
    """Answer with a body that is made as it is sent, or with a whole one where it turns out small."""
    start = next_part(pieces)
    body = start if len(start) < WHOLE_SIZE else chain([start], pieces)
    return Answer(200, body, [(b"content-type", content_type), *headers])


def next_part(pieces: Iterator[bytes]) -> bytes:
    """Join pieces until there is enough to send; return less only at the end, and nothing behind it."""
    part: list[bytes] = []
    size = 0
    for piece in pieces:
        part.append(piece)
        size += len(piece)
        if size >= WHOLE_SIZE:
            break
    return b"".join(part)
