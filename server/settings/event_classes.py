"""``notify-keyspace-events``: which keyspace events are published, as letters, in Redis's format.

K   on __keyspace@0__:KEY      g   generic: del, expire, rename ...      x   expired      m   keymiss
E   on __keyevent@0__:EVENT    $   strings: set, incrby, append ...      e   evicted      n   new
A   all of g$lshzxetd
"""

from __future__ import annotations

from common.errors import INVALID_EVENT_CLASS

ALL = "g$lshzxetd"
"""What ``A`` is short for. Most of these types of values do not exist here, and have no events."""

LETTERS = ALL + "nKEm"
"""In the order of `keyspaceEventsFlagsToString`."""


class EventClassesKind:
    """The kind of the setting. Its value is a string of `LETTERS`, each at most once and in their order."""

    metavar = "CLASSES"

    def parse(self, text: str) -> str:
        letters = set(text.replace("A", ALL))
        if not letters <= set(LETTERS):
            raise ValueError(INVALID_EVENT_CLASS)
        return "".join(each for each in LETTERS if each in letters)

    parse_config = parse

    def format(self, value: str) -> str:
        # As Redis prints it, which does not show "n" after "A".
        return value.replace(ALL + "n", "A").replace(ALL, "A")
