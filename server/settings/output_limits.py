"""``client-output-buffer-limit``: how much output may wait for a client that does not read, in Redis's format.

    normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60

Each class of clients has a hard limit, a soft limit, and the seconds for which the soft one may be exceeded. 0 is none.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from common.errors import INVALID_OUTPUT_LIMIT, UNKNOWN_OUTPUT_CLASS, WRONG_NUMBER_OF_OUTPUT_LIMITS
from common.limits import MIB
from server.settings.kinds import MAX_INTEGER

_SIZE = re.compile(r"([0-9]{1,19})(b|k|kb|m|mb|g|gb)?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 10**3, "kb": 2**10, "m": 10**6, "mb": 2**20, "g": 10**9, "gb": 2**30}
_CLASSES = {"normal": "normal", "slave": "replica", "replica": "replica", "pubsub": "pubsub"}


class OutputLimit(NamedTuple):
    """The limits of a class of clients: bytes, bytes, seconds. 0 is no limit."""

    hard: int = 0
    soft: int = 0
    soft_seconds: int = 0

    def __str__(self) -> str:
        return f"{self.hard} {self.soft} {self.soft_seconds}"


class OutputLimits(NamedTuple):
    """The limits of all classes. Only ``pubsub`` has an effect: other output is not produced before it can be sent."""

    normal: OutputLimit = OutputLimit()
    replica: OutputLimit = OutputLimit(256 * MIB, 64 * MIB, 60)
    pubsub: OutputLimit = OutputLimit(32 * MIB, 8 * MIB, 60)


DEFAULT_OUTPUT_LIMITS = OutputLimits()
"""As in Redis 7."""


class OutputLimitsKind:
    """The kind of the setting. What a text does not name keeps its default, in CONFIG SET its present value."""

    metavar = "LIMITS"

    def parse(self, text: str) -> OutputLimits:
        return self.parse_change(text, DEFAULT_OUTPUT_LIMITS)

    parse_config = parse

    def parse_change(self, text: str, before: OutputLimits) -> OutputLimits:
        """Return the limits after a change (`setConfigOutputBufferLimit`). Raises `ValueError` with Redis's text."""
        parts = text.split()
        if len(parts) % 4:
            raise ValueError(WRONG_NUMBER_OF_OUTPUT_LIMITS)
        changes: dict[str, OutputLimit] = {}
        for at in range(0, len(parts), 4):
            name, *numbers = parts[at : at + 4]
            if name.lower() not in _CLASSES:
                raise ValueError(UNKNOWN_OUTPUT_CLASS)
            hard, soft = map(_size, numbers[:2])
            if not re.fullmatch("[0-9]{1,9}", numbers[2]):
                raise ValueError(INVALID_OUTPUT_LIMIT)
            changes[_CLASSES[name.lower()]] = OutputLimit(hard, soft, int(numbers[2]))
        return before._replace(**changes)

    def format(self, value: OutputLimits) -> str:
        return f"normal {value.normal} slave {value.replica} pubsub {value.pubsub}"


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    size = int(match[1]) * _UNITS[(match[2] or "").lower()] if match else -1
    if not 0 <= size <= MAX_INTEGER:
        raise ValueError(INVALID_OUTPUT_LIMIT)
    return size
