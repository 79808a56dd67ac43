"""Replay: execute the records of a log on a store. Nothing expires meanwhile."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator

from common.codec import Args, ProtocolError, ProtocolReply, RequestBatch
from common.errors import CommandError
from common.limits import Limits
from common.resp_replies import ReplyEncoder
from common.text_args import COMMENT, UnbalancedQuotes, split_args
from server.engines.base import EngineStartError, StartInterrupted
from server.engines.log.records import NotARecord, apply
from server.keyspace.store import Store
from server.protocols.detection import ProtocolDetector

PROGRESS_INTERVAL = 2.0
"""Seconds between two lines about the progress."""

UNLIMITED = Limits(max_line=2**62, max_bulk=2**62, max_args=64, max_request=2**62)
"""What was accepted once is accepted again, whatever the limits of clients are now."""

logger = logging.getLogger(__name__)


def _new_detector() -> ProtocolDetector:
    return ProtocolDetector(ReplyEncoder(), UNLIMITED)


def never() -> bool:
    """Return False: a replay is not interrupted."""
    return False


class Replay:
    """Decodes requests as a connection does, and executes them. ``total`` is the number of bytes that will come.

    An expired key stays until the end: without it, the replay of an INCR that came before its expiry would create a key
    that never expires. The step is therefore at time 0. ``store`` is database 0.
    """

    def __init__(
        self,
        store: Store,
        total: int,
        is_interrupted: Callable[[], bool] = never,
        *,
        interval: float = PROGRESS_INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.records = 0
        self._first = self._store = store  # the latter is that of the database that is selected
        self._detector = _new_detector()
        self._total = total
        self._is_interrupted = is_interrupted
        self._done = 0
        self._interval = interval
        self._clock = clock
        self._reported = clock()
        store.begin_step(0)

    def feed(self, data: bytes) -> None:
        """Execute complete batches. Raises `NotARecord` and `StartInterrupted`.

        Raises `EngineStartError` if there are fewer databases than the log has.
        """
        if self._is_interrupted():
            raise StartInterrupted
        self._store = self._first  # as each batch begins, also after one that has raised
        try:
            self._execute(self._requests(data))
        except NotARecord:
            self._detector = _new_detector()
            raise
        except UnbalancedQuotes:
            raise NotARecord("unbalanced quotes") from None
        except CommandError:  # a database that does not exist is the only one
            count = self._store.databases.count
            raise EngineStartError(f"the log has more than {count} databases: give more with --databases") from None
        self._done += len(data)
        if self._clock() - self._reported >= self._interval:
            self._report()

    def _requests(self, data: bytes) -> Iterator[Args]:
        if data.startswith(b"*") or b"\n*" in data:
            return self._decode(data)
        # Only text, of which each line is decoded without the checks that the lines of clients need.
        return (split_args(line) for line in data.split(b"\n") if not line.startswith(COMMENT))

    def _decode(self, data: bytes) -> Iterator[Args]:
        for _, requests in self._detector.decode(data):
            for request in requests:
                if isinstance(request, ProtocolError):
                    raise NotARecord(request.error.text.decode(errors="replace"))
                if isinstance(request, ProtocolReply):
                    raise NotARecord("a command of telnet")
                if isinstance(request, RequestBatch):
                    yield from request
                else:
                    yield request

    def _execute(self, requests: Iterable[Args]) -> None:
        put = self._store.set
        records = 0
        for args in requests:
            if len(args) == 3 and args[0] == b"SET":  # most records, without the cost of a look-up
                put(args[1], args[2])
            elif not args:  # the end of the data
                continue
            elif args[0] == b"SELECT":
                self._select(args)
                put = self._store.set
            else:
                apply(self._store, args)
            records += 1
        self.records += records

    def _select(self, args: Args) -> None:
        """Apply the records that follow to another database. Raises `NotARecord`."""
        try:
            self._store = self._store.other(int(args[1]))
        except (IndexError, ValueError):
            raise NotARecord("a SELECT without a number") from None

    def _report(self) -> None:
        self._reported = self._clock()
        share = min(self._done / max(self._total, 1), 1.0)
        expected = round(self.records / share) if share else 0
        logger.info("replayed %s of about %s records, %d %%", f"{self.records:,}", f"{expected:,}", int(share * 100))
