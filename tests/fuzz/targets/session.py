"""A session as a whole: bytes in, replies out, with the commands whose replies depend on the input alone."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from common.limits import Limits
from server.commands import connection, expire, keys, lcs, numbers, scan, strings, transactions
from server.engines.embedded import EmbeddedEngine
from server.keyspace.store import Store
from server.registry import CommandTable
from server.session.context import ServerContext
from tests.fuzz.properties import splits
from tests.harness.clock import Clock
from tests.harness.sessions import ClientSession, feed

FAMILIES = (connection, expire, keys, lcs, numbers, scan, strings, transactions)
COMMANDS = CommandTable(family.group for family in FAMILIES)
LIMITS = Limits(max_line=4000, max_bulk=1000, max_frame=1000, max_args=20, max_request=2000)
"""Lines are not too long here: the line break of that error depends on how the input is cut."""

TOKENS = [
    *(command.name + b" " for family in FAMILIES for command in family.group.commands),
    *(b"k ", b"l ", b"1", b"-1", b"9223372036854775807", b"1e400", b"\n", b"\r\n", b"MULTI\n", b"EXEC\n", b"* "),
    *(b"EX ", b"PX ", b"PXAT ", b"NX ", b"XX ", b"GET ", b"KEEPTTL ", b"MATCH ", b"COUNT ", b"LEN ", b"IDX ", b"0 "),
    *(b"HELLO 3\n", b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", b'\0\0\0\x1b{"command":"GET","key":"k"}', b"QUIT\n", b'"\\x00"'),
]


class _Failures(logging.Handler):
    """Collect what the server logs, in place of other handlers. It logs the traceback of every bug."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(logging.Formatter().format(record))

    @contextmanager
    def collected(self) -> Iterator[None]:
        logger = logging.getLogger("server")
        logger.addHandler(self)
        logger.propagate, propagate = False, logger.propagate
        try:
            yield
        finally:
            logger.removeHandler(self)
            logger.propagate = propagate


def run(pieces: Sequence[bytes]) -> bytes:
    """Feed a new session. Return all output."""
    random.seed(0)  # for RANDOMKEY
    store = Store(Clock())
    session = ClientSession(ServerContext(EmbeddedEngine(store, LIMITS), COMMANDS, LIMITS))
    output = b"".join(feed(session, piece) for piece in pieces)
    session.close()
    store.check()
    return output


def check(data: bytes) -> None:
    """Run requests. No command may raise an undocumented exception, however the input is cut."""
    failures = _Failures()
    with failures.collected():
        whole, *others = map(run, splits(data))
    assert not failures.messages, failures.messages[0]
    assert others == [whole] * len(others)
