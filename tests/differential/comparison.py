"""Sessions that send the same requests to both servers, and fail as soon as the replies differ."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from common.text import format_command
from common.text_args import split_args
from tests.differential.differences import have_old_texts, is_accepted, is_left_out
from tests.harness.resp_wire import QUEUED, Aggregate, Args, Reply, Servers, Twin, payload, scalar

TOLERANCE = {b"TTL": 1, b"EXPIRETIME": 1, b"PTTL": 1000, b"PEXPIRETIME": 1000}
"""By how much two times may differ if the expiry was relative: one second, because each server reads its own clock."""

YEAR_2100 = 4_102_444_800
"""An expiry from this time on was given as an absolute time, and must be equal to the millisecond."""

MAX_SCANS = 100

USED_DATABASES = (b"0", b"1", b"15")
"""The databases that the stories and the random sessions use."""


class Sessions:
    """Several connections to each of the two servers, which are empty at the beginning."""

    def __init__(self, servers: Servers, count: int = 3, protocol: int = 2) -> None:
        self._version = servers.redis.version
        self._twins = [servers.connect() for _ in range(count)]
        self._queues: list[list[Args] | None] = [None] * count
        self._story: list[str] = []
        self.send(0, b"FLUSHALL")
        for session in range(count):
            self.send(session, b"HELLO", b"%d" % protocol)

    def __enter__(self) -> Sessions:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        for twin in self._twins:
            twin.close()

    def send(self, session: int, *args: bytes) -> None:
        """Send a command over both connections of a session. Fail if the replies differ."""
        queue = self._queues[session]
        if is_left_out(args, self._version, in_transaction=queue is not None):
            return
        self._story.append(f"{session}: {format_command(args).decode()}")
        twin = self._twins[session]
        ours, theirs = twin.ask(args)
        name = args[0].upper()
        if name == b"EXEC" and queue is not None and isinstance(ours, Aggregate) and isinstance(theirs, Aggregate):
            self._compare_all(queue, ours, theirs)
        elif name == b"SCAN" and isinstance(ours, Aggregate) and isinstance(theirs, Aggregate):
            self._compare_scans(twin, args, ours, theirs)
        else:
            self._compare(args, ours, theirs)
        self._update_queue(session, args, theirs)

    def _update_queue(self, session: int, args: Args, reply: Reply) -> None:
        """Record what the session's transaction has queued."""
        queue = self._queues[session]
        name = args[0].upper()
        if queue is not None and reply == QUEUED:
            queue.append(args)
        elif name == b"MULTI" and reply == b"+OK\r\n":
            self._queues[session] = []
        elif name == b"EXEC" or (name in (b"DISCARD", b"RESET") and len(args) == 1):
            self._queues[session] = None

    # ---------------------------------------------------------------- comparing

    def _compare(self, args: Args, ours: Reply, theirs: Reply) -> None:
        if not self._agree(args, ours, theirs):
            story = "\n".join(self._story)
            raise AssertionError(f"to {format_command(args)!r}\nkvline: {ours!r}\nRedis:  {theirs!r}\n\n{story}")

    def _agree(self, args: Args, ours: Reply, theirs: Reply) -> bool:
        if ours == theirs or is_accepted(args, ours, theirs) or have_old_texts(self._version, ours, theirs):
            return True
        name = args[0].upper()
        if isinstance(ours, Aggregate) and isinstance(theirs, Aggregate):
            if name == b"SCAN":  # in a transaction, whose replies are single pages
                return len(ours.items) == len(theirs.items) == 2
            return name == b"KEYS" and (ours.header, sorted(ours.items)) == (theirs.header, sorted(theirs.items))
        if name in TOLERANCE and ours[:1] == theirs[:1] == b":":
            return _are_close(int(scalar(ours)[1:]), int(scalar(theirs)[1:]), TOLERANCE[name])
        return name == b"RANDOMKEY" and ours[:1] == theirs[:1] == b"$" and b"$-1\r\n" not in (ours, theirs)

    def _compare_all(self, queue: Sequence[Args], ours: Aggregate, theirs: Aggregate) -> None:
        assert ours.header == theirs.header == b"*%d\r\n" % len(queue)
        for args, our, their in zip(queue, ours.items, theirs.items, strict=True):
            self._compare(args, our, their)

    def _compare_scans(self, twin: Twin, args: Args, ours: Aggregate, theirs: Aggregate) -> None:
        """Continue both iterations to their ends. They must have found the same keys."""
        found: list[set[Reply]] = []
        for peer, first in ((twin.kvline, ours), (twin.redis, theirs)):
            keys: set[Reply] = set()
            reply = first
            for _ in range(MAX_SCANS):
                cursor, page = reply.items
                assert isinstance(page, Aggregate)
                keys.update(page.items)
                if payload(cursor) == b"0":
                    break
                following = twin.ask_one(peer, (args[0], payload(cursor), *args[2:]))
                assert isinstance(following, Aggregate)
                reply = following
            else:
                raise AssertionError(f"a SCAN of a few keys takes more than {MAX_SCANS} steps")
            found.append(keys)
        self._compare(args, *(b"".join(sorted(map(scalar, keys))) for keys in found))

    def end(self) -> None:
        """End every transaction. Compare the keys, values and expiries of the two servers."""
        for session in range(len(self._twins)):
            self.send(session, b"RESET")
        for database in USED_DATABASES:
            self.send(0, b"SELECT", database)
            self.send(0, b"DBSIZE")
            self.send(0, b"KEYS", b"*")
            keys, _ = self._twins[0].ask([b"KEYS", b"*"])
            assert isinstance(keys, Aggregate)
            for key in map(payload, keys.items):
                self.send(0, b"GET", key)
                self.send(0, b"PEXPIRETIME", key)


def send_story(servers: Servers, story: str, protocol: int) -> None:
    """Send a conversation to both servers. A line is a command of the text protocol, of session 0 without ``1:``."""
    with Sessions(servers, protocol=protocol) as sessions:
        for line in map(str.strip, story.strip().splitlines()):
            session, colon, command = line.partition(":")
            if colon and session.isdigit():
                sessions.send(int(session), *split_args(command.encode()))
            else:
                sessions.send(0, *split_args(line.encode()))
        sessions.end()


def _are_close(ours: int, theirs: int, tolerance: int) -> bool:
    """Return whether two times are the same relative expiry."""
    is_absolute = ours // tolerance >= YEAR_2100
    return min(ours, theirs) >= 0 and not is_absolute and abs(ours - theirs) <= tolerance
