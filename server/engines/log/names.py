"""The files of a log: their names, and their first lines.

    00000001.log        the changes since the server was first started
    00000002.base       a snapshot: the keyspace after 00000001.log, which is removed then
    00000002.log        the changes after it

In the order of their names, the files rebuild the keyspace when they are sent to a server: ``cat data/0*``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from common.limits import KIB
from server.engines.log.disk import File
from server.engines.log.trailer import Chain

FORMAT = 1

_LOG = re.compile(r"([0-9]{8})\.log")
_SNAPSHOT = re.compile(r"([0-9]{8})\.base")
TEMPORARY = "tmp-"
"""Begins the name of a file that is not complete yet."""

_TEMPORARY = re.compile(r"tmp-[0-9]{8}\.(?:log|base)")


def log_name(number: int) -> str:
    """Return the name of a log."""
    return f"{number:08d}.log"


def snapshot_name(number: int) -> str:
    """Return the name of the snapshot that the log of this number continues."""
    return f"{number:08d}.base"


class Names(NamedTuple):
    """The files of a directory, by their numbers, in order."""

    logs: list[int]
    snapshots: list[int]
    temporary: list[str]

    @classmethod
    def of(cls, names: list[str]) -> Names:
        """Sort out the names in a directory. Files of others are left alone."""
        logs = [int(match[1]) for name in names if (match := _LOG.fullmatch(name))]
        snapshots = [int(match[1]) for name in names if (match := _SNAPSHOT.fullmatch(name))]
        return cls(sorted(logs), sorted(snapshots), list(filter(_TEMPORARY.fullmatch, names)))

    def data(self) -> list[str]:
        """Return the names of the files that rebuild the keyspace, in their order."""
        first = max(self.snapshots, default=0)
        return [snapshot_name(each) for each in self.snapshots[-1:]] + [
            log_name(each) for each in self.logs if each >= first
        ]

    def all(self) -> list[str]:
        """Return the names of all snapshots and logs, those that are not needed any more included."""
        return [*map(snapshot_name, self.snapshots), *map(log_name, self.logs)]

    @property
    def last(self) -> int:
        """The highest number of a file, 0 if there is none."""
        return max([0, *self.logs, *self.snapshots])


# ---------------------------------------------------------------- first and last lines

_HEADER = re.compile(rb"# kvline (log|snapshot) ([0-9]{8}), format ([0-9]{1,4}), after ([0-9]{1,19}) ([0-9a-f]{8})\n")


class Header(NamedTuple):
    """The first line of a file: what it is, and which batch the first one of it follows."""

    kind: bytes
    number: int
    format: int
    chain: Chain


def make_header(kind: bytes, number: int, chain: Chain) -> bytes:
    """Return the first line of a file."""
    return b"# kvline %b %08d, format %d, after %d %08x\n" % (kind, number, FORMAT, *chain)


def read_header(file: File) -> Header | None:
    """Return the header of a file; None if it has none."""
    match = _HEADER.match(file.read(0, KIB))
    if match is None:
        return None
    kind, number, version, sequence, crc = match.groups()
    return Header(kind, int(number), int(version), Chain(int(sequence), int(crc, 16)))


_END = re.compile(
    rb"^# complete: continued after ([0-9]{1,19}) ([0-9a-f]{8}), needs ([0-9]{1,19})\n# .*\n\Z", re.MULTILINE
)


class SnapshotEnd(NamedTuple):
    """The last record of a snapshot. Without it, the snapshot is not complete."""

    chain: Chain
    """Of the batch after which the log begins that continues the snapshot."""
    needs: int
    """The sequence number up to which that log must be replayed: the snapshot was made while clients changed keys."""


def make_snapshot_end(chain: Chain, needs: int) -> bytes:
    """Return the last line of a snapshot, before its last trailer."""
    return b"# complete: continued after %d %08x, needs %d\n" % (*chain, needs)


def read_snapshot_end(data: bytes) -> SnapshotEnd | None:
    """Return the end of a snapshot from its last batches; None if it has none."""
    match = _END.search(data)
    return None if match is None else SnapshotEnd(Chain(int(match[1]), int(match[2], 16)), int(match[3]))
