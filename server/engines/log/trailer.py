r"""Batches and their trailers: how a file says what is complete, what is synced, and what is undamaged.

    SET visits 41            \
    SET visits 42             |  a batch: any number of records, and one trailer
    # 7 1033 5f3a0c1b        /   sequence number, synced offset, checksum

The trailer is a comment, so a server that the file is sent to skips it. The checksum is the CRC-32 of the batch up to
itself, begun with the checksum of the batch before. So a batch that is missing, repeated or in the wrong place is found
as surely as a changed byte, also across files. A CRC-32 finds every change of up to 32 adjacent bits, and any other one
except for one in 2 ** 32.

The synced offset is how many bytes of the file were known to be on the storage medium when the trailer was written.
What is damaged before an offset that a later trailer calls synced cannot be the result of a power failure.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from zlib import crc32

TRAILER_LINE = re.compile(rb"^# ([1-9][0-9]{0,18}) (0|[1-9][0-9]{0,18}) ([0-9a-f]{8})\n", re.MULTILINE)


class Chain(NamedTuple):
    """The end of a chain of batches: the last sequence number and the last checksum."""

    sequence: int = 0
    crc: int = 0


NO_CHAIN = Chain()
"""Before the first batch."""


class Trailer(NamedTuple):
    """A line in the form of a trailer, and its position in what was searched."""

    start: int
    end: int
    sequence: int
    synced: int
    crc: int

    @property
    def chain(self) -> Chain:
        """The chain up to this batch."""
        return Chain(self.sequence, self.crc)


def make_trailer(before: Chain, crc: int, synced: int) -> tuple[bytes, Chain]:
    """Return the trailer of a batch, and the chain with it.

    ``crc`` is the checksum of the records, begun with ``before.crc``.
    """
    sequence = before.sequence + 1
    fields = b"# %d %d " % (sequence, synced)
    crc = crc32(fields, crc)
    return b"%b%08x\n" % (fields, crc), Chain(sequence, crc)


def find_trailer(data: bytes | bytearray, start: int) -> Trailer | None:
    """Return the first trailer at or after a position, which must be the beginning of a line."""
    at = start
    while True:
        # A literal is found several times as fast as the regular expression.
        if data[at : at + 2] != b"# ":
            at = data.find(b"\n# ", at) + 1
            if not at:
                return None
        match = TRAILER_LINE.match(data, at)
        if match is not None:
            sequence, synced, crc = match.groups()
            return Trailer(at, match.end(), int(sequence), int(synced), int(crc, 16))
        at += 1


def is_undamaged(before: Chain, data: bytes | bytearray | memoryview, trailer: Trailer) -> bool:
    """Return whether a batch is the one that followed. ``data`` is the batch up to the checksum."""
    return trailer.sequence == before.sequence + 1 and crc32(data, before.crc) == trailer.crc


CHECKSUM_SIZE = 9
"""Bytes of the checksum at the end of a trailer, with the line break."""
