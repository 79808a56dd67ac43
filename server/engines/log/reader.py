"""Read the batches of a file, up to the first one that is damaged, and find out what the damage means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from common.limits import KIB, MIB
from server.engines.log.disk import File
from server.engines.log.names import Header
from server.engines.log.trailer import Chain, is_undamaged, trailers

READ_SIZE = MIB


class BatchReader:
    """Reads a file from its beginning. A batch is in memory as a whole, because its trailer is at its end."""

    def __init__(self, file: File, chain: Chain) -> None:
        self._file = file
        self.size = file.size()
        self.chain = chain
        """Up to the last undamaged batch."""
        self.end = 0
        """The end of the last undamaged batch."""
        self.synced = 0
        """The highest synced offset in an undamaged batch."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield undamaged batches with their trailers, as many at a time as one read has. End at a damaged batch."""
        data = b""
        # Each read is at least as long as what is left of the last one, so that a long batch takes linear time.
        while more := self._file.read(self.end + len(data), max(READ_SIZE, len(data))):
            data += more
            end, is_damaged = self._verify(data)
            if end:
                self.end += end
                yield data[:end]
                data = data[end:]
            if is_damaged:
                return

    @property
    def is_complete(self) -> bool:
        """Whether every byte of the file belongs to an undamaged batch. Known when all batches were read."""
        return self.end == self.size

    def _verify(self, data: bytes) -> tuple[int, bool]:
        """Verify the batches at the beginning of ``data``. Return their end, and whether the next one is damaged."""
        end, chain = 0, self.chain
        view = memoryview(data)
        is_damaged = False
        for trailer in trailers(data):
            next_end, sequence, synced, crc = trailer
            if not is_undamaged(chain, view[end:next_end], trailer):
                is_damaged = True
                break
            end, chain = next_end, Chain(sequence, crc)
            self.synced = max(self.synced, synced)
        self.chain = chain
        return end, is_damaged


def has_undamaged_header(file: File, header: Header) -> bool:
    """Return whether the batch of the header, which is the first one, was written to its end."""
    data = file.read(0, KIB)
    first = next(trailers(data), None)
    return first is not None and is_undamaged(header.chain, memoryview(data)[: first[0]], first)


class Survivor(NamedTuple):
    """A batch after a damaged one that is undamaged itself."""

    data: bytes
    synced: int


def survivors(file: File, start: int) -> Iterator[Survivor]:
    """Find undamaged batches after a damaged one.

    Their chain is broken, so each is verified with the checksum that the trailer before it has. The first trailer is
    therefore never that of a survivor: nothing says where its batch begins.
    """
    data, offset = b"", start
    chain: Chain | None = None
    while more := file.read(offset + len(data), max(READ_SIZE, len(data))):
        data += more
        end = 0
        with memoryview(data) as view:
            for trailer in trailers(data):
                next_end, sequence, synced, crc = trailer
                if chain is not None and is_undamaged(chain, view[end:next_end], trailer):
                    yield Survivor(data[end:next_end], synced)
                end, chain = next_end, Chain(sequence, crc)
        data, offset = data[end:], offset + end


def is_corrupt(file: File, start: int) -> bool:
    """Return whether something else than an unfinished write has caused the damage at ``start``.

    An unfinished write leaves damage only after what is synced. So it is something else if a later trailer says that
    more was synced.
    """
    return any(each.synced > start for each in survivors(file, start))
