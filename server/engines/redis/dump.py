"""COMPACT over a backing Redis: walk its keys by SCAN, a page at a time, as the reply is sent.

Never more than a piece of a page stands in memory here. What SCAN promises holds: a key that is there throughout is
printed, one that comes or goes meanwhile may be, and one may be printed twice where Redis resizes its table meanwhile.
Each key's value and deadline are read in one step. Keys that hold no string are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

from common.codec import Args
from common.replies import Lines
from common.text import format_command
from server.engines.redis.connection import Node
from server.engines.redis.time_limit import within
from server.engines.redis.transactions import outcome_of

PAGE_SIZE = 100
"""How many keys a SCAN is asked for, and the most whose values are read at once."""

PAGE_BYTES = 1024 * 1024
"""About how many bytes of values are read at once, as far as the last ones foretell the next."""

NEVER = -1
"""What PEXPIRETIME and PTTL say of a key that does not expire."""


def compact(nodes: Sequence[Node], limit: float) -> Lines:
    """Return the lines that rebuild what these servers hold.

    The first page is read at once, so that a server that can't be reached is told of by an error. Later ones are read
    as the lines are taken, each within ``limit`` seconds, and raise `CommandError` where that fails.
    """
    lines = (line for node in nodes for line in _Walk(node, limit).lines())
    return Lines(chain(list(islice(lines, 1)), lines))


class _Walk:
    """The way through one server's keys."""

    def __init__(self, node: Node, limit: float) -> None:
        self._node = node
        self._limit = limit
        self._at_once = 1  # how many keys are read next

    def lines(self) -> Iterator[bytes]:
        """Yield a line a key. Raises `CommandError`."""
        cursor = b"0"
        with within(self._limit):
            knows_deadlines = self._node.ask([b"COMMAND", b"INFO", b"PEXPIRETIME"]) != [None]
        while True:
            with within(self._limit):
                cursor, keys = self._scan(cursor)
            while keys:
                with within(self._limit):
                    some = self._read(keys[: self._at_once], knows_deadlines)
                del keys[: self._at_once]
                size = sum(map(len, some)) // len(some) if some else 1
                self._at_once = max(1, min(PAGE_BYTES // size, PAGE_SIZE))
                yield from some
            if cursor == b"0":
                return

    def _scan(self, cursor: bytes) -> tuple[bytes, list[bytes]]:
        reply: Any = self._node.ask([b"SCAN", cursor, b"COUNT", b"%d" % PAGE_SIZE])
        next_cursor, keys = reply
        return next_cursor, keys

    def _read(self, keys: Sequence[bytes], knows_deadlines: bool) -> list[bytes]:
        """Return the lines of these keys, without those that have gone or hold no string."""
        steps = [_step(key, knows_deadlines) for key in keys]
        replies = iter(self._node.exchange(list(chain.from_iterable(steps))))
        lines: list[bytes] = []
        for key, step in zip(keys, steps, strict=True):
            line = _line(key, outcome_of(list(islice(replies, len(step)))))
            if line is not None:
                lines.append(line)
        return lines


def _step(key: bytes, knows_deadlines: bool) -> list[Args]:
    """Return the requests that read a key in one step. Before Redis 7, a deadline is reckoned from the time left."""
    deadline = [[b"PEXPIRETIME", key]] if knows_deadlines else [[b"PTTL", key], [b"TIME"]]
    return [[b"MULTI"], [b"GET", key], *deadline, [b"EXEC"]]


def _line(key: bytes, results: Any) -> bytes | None:
    value, deadline, *clock = results
    if not isinstance(value, bytes):  # it has gone, or it is an error: the key holds something else
        return None
    if deadline == NEVER:
        return format_command((b"SET", key, value))
    if clock:
        seconds, microseconds = clock[0]
        deadline += int(seconds) * 1000 + int(microseconds) // 1000
    return format_command((b"SET", key, value, b"PXAT", b"%d" % deadline))
