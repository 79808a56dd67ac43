"""What the server counts: calls and time by command, and the slowest calls."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from common.codec import Args
from server.clients.registry import Client
from server.registry import Command

DEFAULT_SLOWER_THAN = 10_000  # microseconds
DEFAULT_LENGTH = 128

MOST_WORDS = 32
LONGEST_WORD = 128
"""How much of a slow call is kept, as in Redis."""

DURATIONS = 65
"""Places in a record for durations up to 2 ** 64 nanoseconds, so that none needs to be checked."""

T = TypeVar("T")

Figures: TypeAlias = dict[str, object]
"""What one section of INFO tells, by name."""


@dataclass(slots=True)
class Record:
    """What is counted of one command. Time is in nanoseconds, without the wait for the store's lock."""

    by_duration: list[int] = field(default_factory=lambda: [0] * DURATIONS)
    """How many calls took how long: the one at place ``n`` counts those of less than 2 ** n nanoseconds, and no less
    than half of that."""

    nanoseconds: int = 0
    failed: int = 0
    rejected: int = 0

    @property
    def calls(self) -> int:
        """How many calls there were."""
        return sum(self.by_duration)

    def add(self, other: Record) -> None:
        """Count what the other has counted too."""
        self.by_duration = list(map(int.__add__, self.by_duration, other.by_duration))
        self.nanoseconds += other.nanoseconds
        self.failed += other.failed
        self.rejected += other.rejected


Records: TypeAlias = "defaultdict[Command, Record]"


def copy_of(records: Records) -> Records:
    """Copy records, which others go on counting in. The caller holds the lock that guards them."""
    copy: Records = defaultdict(Record)
    for command, record in records.items():
        copy[command].add(record)
    return copy


@dataclass(frozen=True, slots=True)
class SlowCall:
    """A call that took long. ``moment`` is in seconds since the epoch, ``microseconds`` what the call took."""

    number: int
    moment: int
    microseconds: int
    args: Args
    address: bytes
    client_name: bytes


class SlowLog:
    """The most recent calls that took longer than a threshold."""

    def __init__(self) -> None:
        self.calls: deque[SlowCall] = deque(maxlen=DEFAULT_LENGTH)
        self._count = 0

    def add(self, args: Args, nanoseconds: int, client: Client) -> None:
        """Keep a call, in Redis's abridged form."""
        shown = [_abridge(arg) for arg in args[: MOST_WORDS if len(args) <= MOST_WORDS else MOST_WORDS - 1]]
        if len(args) > MOST_WORDS:
            shown.append(b"... (%d more arguments)" % (len(args) - MOST_WORDS + 1))
        moment = time.time_ns() // 10**9
        call = SlowCall(self._count, moment, nanoseconds // 1000, shown, client.address.encode(), client.name)
        self.calls.appendleft(call)
        self._count += 1

    def resize(self, length: int) -> None:
        """Keep so many calls from now on."""
        self.calls = deque(list(self.calls)[:length], maxlen=length)


def _abridge(arg: bytes) -> bytes:
    if len(arg) <= LONGEST_WORD:
        return arg
    return arg[:LONGEST_WORD] + b"... (%d more bytes)" % (len(arg) - LONGEST_WORD)


class Statistics:
    """Count what sessions run by themselves, what they refuse to run, and all slow calls.

    Safe to use from any thread: its own lock guards it, so that what leaves the store alone never waits for the store.
    What runs on the store is counted by the engine, under the lock that it holds anyway.
    """

    def __init__(self) -> None:
        self.slower_than: float = DEFAULT_SLOWER_THAN * 1000
        """How many nanoseconds a call may take before it is kept as a slow one."""
        self._errors = 0
        self._records: Records = defaultdict(Record)
        self._slow = SlowLog()
        self._lock = threading.Lock()

    def note(self, command: Command, args: Args, nanoseconds: int, failed: bool, client: Client) -> None:
        """Count a call."""
        with self._lock:
            record = self._records[command]
            record.by_duration[nanoseconds.bit_length()] += 1
            record.nanoseconds += nanoseconds
            record.failed += failed
        if nanoseconds > self.slower_than:
            self.note_slow(args, nanoseconds, client)

    def note_rejected(self, command: Command) -> None:
        """Count a call that had the wrong number of words."""
        with self._lock:
            self._records[command].rejected += 1

    def note_error(self) -> None:
        """Count a reply that is an error."""
        with self._lock:
            self._errors += 1

    @property
    def errors(self) -> int:
        """How many replies were errors."""
        return self._errors

    def note_slow(self, args: Args, nanoseconds: int, client: Client) -> None:
        """Keep a slow call."""
        with self._lock:
            self._slow.add(args, nanoseconds, client)

    def slow_log(self, use: Callable[[SlowLog], T]) -> T:
        """Return what ``use`` makes of the slow calls, which stand still meanwhile."""
        with self._lock:
            return use(self._slow)

    def add_to(self, records: Records) -> None:
        """Add what was counted to these records."""
        with self._lock:
            for command, record in self._records.items():
                records[command].add(record)

    def reset(self) -> None:
        """Begin to count anew; the slow calls stay, as in Redis."""
        with self._lock:
            self._records.clear()
            self._errors = 0
