"""COMPACT over a backing Redis: iterate over its keys by SCAN, one page at a time, while the reply is sent.

At most a part of a page is in memory. The guarantees are those of SCAN: a key that exists from beginning to end is
printed, a key that is created or deleted meanwhile may be printed, and a key may be printed twice if Redis resizes its
hash table meanwhile. The value and the expiry of a key are read in one step. Keys that do not hold a string are left
out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

from common.codec import Args
from common.replies import Line, Lines, Reply
from common.text import command_line
from server.engines.redis.backend import Backend
from server.engines.redis.connection import Requests
from server.engines.redis.node import Node
from server.engines.redis.replies import find_redirect, unexpected_reply
from server.engines.redis.time_limit import time_limit
from server.engines.redis.transactions import result_of_exec

PAGE_SIZE = 100
"""COUNT of each SCAN, and the maximum number of keys whose values are read at once.

Redis runs one command at a time, so a large COUNT would delay its other clients.
"""

PAGE_BYTES = 1024 * 1024
"""Bytes of values that are read at once, estimated from the sizes of the values before."""

NO_TTL = -1
"""The reply of PEXPIRETIME and PTTL for a key that does not expire."""


def compact(backend: Backend, timeout: float) -> Lines:
    """Return the commands that recreate the keys of all servers.

    The first page is read at once, so that a server that is down is reported by an error reply. The other pages are
    read while the lines are consumed, each within ``timeout`` seconds. That raises `CommandError` if it fails.
    """
    lines = (line for node in backend.nodes() for line in _Reading(backend, node, timeout).lines())
    return Lines(chain(list(islice(lines, 1)), lines))  # `list` reads now, the rest stays lazy


class _Reading:
    """The iteration over one server's keys."""

    def __init__(self, backend: Backend, node: Node, timeout: float) -> None:
        self._backend = backend
        self._node = node
        self._timeout = timeout
        self._batch_size = 1  # keys whose values are read next; the first value says how large values are

    def lines(self) -> Iterator[Line]:
        """Yield one line per key. Raises `CommandError`."""
        cursor = b"0"
        # Redis replies with null for a command that it does not have. PEXPIRETIME is new in Redis 7.
        with time_limit(self._timeout):
            has_pexpiretime = self._node.execute([b"COMMAND", b"INFO", b"PEXPIRETIME"]) != [None]
        while True:
            with time_limit(self._timeout):
                cursor, keys = self._scan(cursor)
            while keys:
                with time_limit(self._timeout):
                    commands = self._read(keys[: self._batch_size], has_pexpiretime)
                del keys[: self._batch_size]
                # The batch adapts to the values: up to a hundred small ones in a round trip, large ones one by one.
                size = sum(len(arg) for args in commands for arg in args) // len(commands) if commands else 1
                self._batch_size = max(1, min(PAGE_BYTES // size, PAGE_SIZE))
                # Outside of every `time_limit`, because the consumer may be slow.
                yield from map(command_line, commands)
            if cursor == b"0":
                return

    def _scan(self, cursor: bytes) -> tuple[bytes, list[bytes]]:
        return scan(self._node, [b"SCAN", cursor, b"COUNT", b"%d" % PAGE_SIZE])

    def _read(self, keys: Sequence[bytes], has_pexpiretime: bool) -> list[Args]:
        """Return the commands that recreate these keys, without those that were deleted or do not hold a string."""
        # One transaction per key rather than one for all, so that Redis serves other clients in between.
        reads = [_read_commands(key, has_pexpiretime) for key in keys]
        transactions = ([[b"MULTI"], *commands, [b"EXEC"]] for commands in reads)
        replies = iter(self._node.send_all(list(chain.from_iterable(transactions))))
        found: list[Args] = []
        for key, commands in zip(keys, reads, strict=True):
            own = list(islice(replies, len(commands) + 2))
            if find_redirect(own) is not None:  # the key's slot is migrating
                own = self._read_elsewhere(key, commands)
            command = _command(key, result_of_exec(own))
            if command is not None:
                found.append(command)
        return found

    def _read_elsewhere(self, key: bytes, commands: Requests) -> list[Reply]:
        """Read a key that this server does not have any more, or not yet."""

        def attempt(node: Node, asking: bool) -> list[Reply]:
            return node.run_transaction(commands, asking=asking)

        return self._backend.route([key], attempt)


def scan(node: Node, request: Args) -> tuple[bytes, list[Any]]:
    """Run a SCAN on one server and return its next cursor and the keys. Raises `CommandError`."""
    reply = node.execute(request)
    match reply:
        case [bytes(cursor), list(keys)] if cursor.isdigit():  # the cluster calculates with it
            return cursor, keys
    raise unexpected_reply(reply)


def _read_commands(key: bytes, has_pexpiretime: bool) -> list[Args]:
    """Return the commands of a transaction that reads a key. Before Redis 7, expires_at is computed from the TTL."""
    # TIME in the same transaction, because the TTL counts from the clock of that server.
    expiry = [[b"PEXPIRETIME", key]] if has_pexpiretime else [[b"PTTL", key], [b"TIME"]]
    return [[b"GET", key], *expiry]


def _command(key: bytes, results: Any) -> Args | None:
    value, expires_at, *clock = results
    if not isinstance(value, bytes):  # None if the key was deleted, an error if it does not hold a string
        return None
    if expires_at == NO_TTL:
        return [b"SET", key, value]
    if clock:
        seconds, microseconds = clock[0]
        expires_at += int(seconds) * 1000 + int(microseconds) // 1000
    return [b"SET", key, value, b"PXAT", b"%d" % expires_at]
