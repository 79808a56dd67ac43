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
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias
from zlib import crc32

TRAILER_LINE = re.compile(rb"^# ([1-9][0-9]{0,18}) (0|[1-9][0-9]{0,18}) ([0-9a-f]{8})\n", re.MULTILINE)


class Chain(NamedTuple):
    """The end of a chain of batches: the last sequence number and the last checksum."""

    sequence: int = 0
    crc: int = 0


NO_CHAIN = Chain()
"""Before the first batch."""


Trailer: TypeAlias = tuple[int, int, int, int]
"""A line in the form of a trailer: its end in what was searched, the sequence number, the synced offset, the checksum.

A plain tuple, because a busy log has a batch for every few records.
"""


def make_trailer(before: Chain, crc: int, synced: int) -> tuple[bytes, Chain]:
    """Return the trailer of a batch, and the chain with it.

    ``crc`` is the checksum of the records, begun with ``before.crc``.
    """
    sequence = before.sequence + 1
    fields = b"# %d %d " % (sequence, synced)
    crc = crc32(fields, crc)
    return b"%b%08x\n" % (fields, crc), Chain(sequence, crc)


def trailers(data: bytes) -> Iterator[Trailer]:
    """Find the trailers in data that begins at the beginning of a line."""
    find, match_at = data.find, TRAILER_LINE.match
    at = 0
    while True:
        # A literal is found several times as fast as the regular expression.
        if not data.startswith(b"# ", at):
            at = find(b"\n# ", at) + 1
            if not at:
                return
        match = match_at(data, at)
        if match is None:
            at += 1
            continue
        at = match.end()
        sequence, synced, crc = match.groups()
        yield at, int(sequence), int(synced), int(crc, 16)


def is_undamaged(before: Chain, batch: memoryview, trailer: Trailer) -> bool:
    """Return whether a batch follows another one, and is what was written."""
    _, sequence, _, crc = trailer
    return sequence == before[0] + 1 and crc32(batch[:-CHECKSUM_SIZE], before[1]) == crc


CHECKSUM_SIZE = 9
"""Bytes of the checksum at the end of a trailer, with the line break."""
