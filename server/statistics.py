"""What the server counts: calls and time by command, and the slowest calls. Guarded by the engine's lock."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass

from common.requests import Words
from server.clients import Client
from server.registry import Command

DEFAULT_SLOWER_THAN = 10_000  # microseconds
DEFAULT_LENGTH = 128

MOST_WORDS = 32
LONGEST_WORD = 128
"""How much of a slow call is kept, as in Redis."""


@dataclass(slots=True)
class Record:
    """What is counted of one command. Time is in nanoseconds, without the wait for the lock."""

    calls: int = 0
    nanoseconds: int = 0
    failed: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class SlowCall:
    """A call that took long. ``moment`` is in seconds since the epoch, ``microseconds`` what the call took."""

    number: int
    moment: int
    microseconds: int
    words: Words
    address: bytes
    client_name: bytes


class SlowLog:
    """The most recent calls that took longer than a threshold."""

    def __init__(self) -> None:
        self.calls: deque[SlowCall] = deque(maxlen=DEFAULT_LENGTH)
        self._count = 0

    def add(self, words: Words, nanoseconds: int, moment: int, client: Client) -> None:
        """Keep a call, in Redis's abridged form."""
        shown = [_abridge(word) for word in words[: MOST_WORDS if len(words) <= MOST_WORDS else MOST_WORDS - 1]]
        if len(words) > MOST_WORDS:
            shown.append(b"... (%d more arguments)" % (len(words) - MOST_WORDS + 1))
        call = SlowCall(self._count, moment, nanoseconds // 1000, shown, client.address.encode(), client.name)
        self.calls.appendleft(call)
        self._count += 1

    def resize(self, length: int) -> None:
        """Keep so many calls from now on."""
        self.calls = deque(list(self.calls)[:length], maxlen=length)


def _abridge(word: bytes) -> bytes:
    if len(word) <= LONGEST_WORD:
        return word
    return word[:LONGEST_WORD] + b"... (%d more bytes)" % (len(word) - LONGEST_WORD)


class Statistics:
    """All that is counted. ``records`` has a record for every command that was ever sent."""

    def __init__(self) -> None:
        self.records: defaultdict[Command, Record] = defaultdict(Record)
        self.slow = SlowLog()
        self.slower_than: float = DEFAULT_SLOWER_THAN * 1000
        """How many nanoseconds a call may take before it is kept as a slow one."""

    def reset(self) -> None:
        """Begin to count anew; the slow calls stay, as in Redis."""
        self.records.clear()
