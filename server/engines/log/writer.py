"""Write batches to the end of a file, and continue its chain."""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

from common.limits import MIB
from server.engines.log.disk import File
from server.engines.log.trailer import Chain, make_trailer

WRITE_SIZE = MIB
"""Bytes of a batch after which they are written, so that a large batch is never in memory as a whole."""


class BatchWriter:
    """Appends batches to a file. One thread at a time writes."""

    def __init__(self, file: File, chain: Chain, size: int = 0) -> None:
        self.file = file
        self.chain = chain
        """Up to the last complete batch."""
        self.size = size
        """The bytes up to its end."""

    def append(self, pieces: Iterable[bytes], synced: int = 0) -> None:
        """Write a batch. Raises `OSError`, after which a part of the batch may be in the file."""
        crc, size = self.chain.crc, 0
        waiting: list[bytes] = []
        waiting_size = 0
        for piece in pieces:
            crc = crc32(piece, crc)
            if len(piece) >= WRITE_SIZE:  # a large value, which is not copied
                size += self._write(b"".join(waiting))
                waiting, waiting_size = [], 0
            waiting.append(piece)
            waiting_size += len(piece)
            if waiting_size >= WRITE_SIZE:
                size += self._write(b"".join(waiting))
                waiting, waiting_size = [], 0
        trailer, chain = make_trailer(self.chain, crc, synced)
        size += self._write(b"".join((*waiting, trailer)))
        self.chain = chain
        self.size += size

    def cut_off(self, size: int, chain: Chain) -> bool:
        """Cut the file to the end of an earlier batch, and return whether that succeeded. Raises nothing."""
        self.size, self.chain = size, chain
        try:
            self.file.truncate(size)
        except OSError:
            return False
        return True

    def _write(self, data: bytes) -> int:
        if not data:
            return 0
        written = self.file.append(data)
        while written < len(data):
            written += self.file.append(memoryview(data)[written:])
        return written
