"""The files of a log: the present one, to which batches are appended, and earlier ones that are not synced yet.

A file whose sync has failed is never written again, because the kernel may have discarded what it could not write and
report the next sync as successful (PostgreSQL's fsync failures of 2018). `is_trusted` is false from then on, and
another log must replace this one (`server.engines.log.rewrite`).
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Sequence

from server.engines.log.disk import File
from server.engines.log.names import make_header
from server.engines.log.records import Record, encode
from server.engines.log.trailer import Chain
from server.engines.log.writer import BatchWriter

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class LogFiles:
    """Appends batches to the present log, and syncs it. One thread at a time appends; any thread may sync meanwhile.

    ``writer`` continues the log of this ``number``.
    """

    def __init__(self, writer: BatchWriter, number: int) -> None:
        self.writer = writer
        self.number = number
        """Of the log that is written."""
        self.is_trusted = True
        """Whether the file may be written again: no sync of it has failed, and its end is known."""
        self.syncs = 0
        self.batches = 0
        self._syncing = threading.Lock()
        self._changing = threading.Lock()  # guards which log is the present one, and which are not synced yet
        self._retired: list[File] = []  # earlier logs that are not synced to their end yet
        self._synced = 0  # bytes of the present log
        self._data_end = writer.size  # the end of its last batch with records
        self._marked = 0  # the highest synced offset in a trailer

    # ---------------------------------------------------------------- writing, by one thread at a time

    def append(self, records: Sequence[Record]) -> None:
        """Write a batch. After an exception the file ends as before, or it is not trusted any more.

        Raises `OSError` and `MemoryError`.
        """
        if records:
            try:
                self.writer.append(encode(records), self._synced)
            except Exception as problem:
                self._remove_partial_batch(problem)
                raise
            self._data_end, self._marked = self.writer.size, self._synced
            self.batches += 1

    @property
    def needs_mark(self) -> bool:
        """Whether more is synced than the last trailer says."""
        return self._marked < self._data_end <= self._synced

    def mark(self) -> None:
        """Note in the log how much of it is synced. Raises as `append` does.

        Two batches without records: if the trailer before them is damaged, the second one can be verified by the first.
        The comment keeps the first one's trailer in a line of its own even if the line break before it is damaged.
        """
        try:
            self.writer.append([b"# synced\n"], self._synced)
            self.writer.append((), self._synced)
        except Exception as problem:
            self._remove_partial_batch(problem)
            raise
        self._marked = self._synced

    def _remove_partial_batch(self, problem: Exception) -> None:
        # Without the part of a batch that could be written, the next batch can follow.
        is_cut = self.writer.cut_off(self.writer.size, self.writer.chain)
        is_file_intact = not isinstance(problem, OSError) or problem.errno in DISK_FULL
        if not (is_cut and is_file_intact):
            self.is_trusted = False

    # ---------------------------------------------------------------- syncing, by any thread

    @property
    def needs_sync(self) -> bool:
        """Whether a batch is not known to be on the storage medium."""
        return self._synced < self._data_end or bool(self._retired)

    def sync(self) -> None:
        """Sync everything that is written. Any thread may call it, also while another one writes.

        Raises `OSError`, also if an earlier sync has failed: the next one might succeed without writing anything.
        """
        with self._syncing:
            if not self.is_trusted:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            with self._changing:
                writer, retired = self.writer, self._retired.copy()
            size = writer.size
            try:
                # The earlier log first: what a trailer of the present one calls synced implies that it is complete.
                for file in (*retired, writer.file):
                    file.sync()
            except OSError:
                self.is_trusted = False
                raise
            with self._changing:
                self._retired = self._retired[len(retired) :]
                if writer is self.writer:
                    self._synced = max(self._synced, size)
            self.syncs += 1
        for file in retired:
            file.close()

    # ---------------------------------------------------------------- the next log

    def continue_in(self, file: File, number: int) -> Chain:
        """Write from now on to a new log, which continues this one. Return the end of the chain of this one.

        Raises `OSError` if the header of the new log cannot be written: then this one is continued.
        """
        chain = self.writer.chain
        writer = BatchWriter(file, chain)
        writer.append([make_header(b"log", number, chain)])
        with self._changing:
            self._retired.append(self.writer.file)
            self._use(writer, number)
            self._synced = 0
        return chain

    def replace(self, writer: BatchWriter, number: int) -> None:
        """Write from now on to a log that is synced, and that does not need the earlier ones."""
        with self._syncing, self._changing:  # no thread syncs a file that is closed here
            retired, self._retired = [*self._retired, self.writer.file], []
            self._use(writer, number)
            self._synced = writer.size
            self.is_trusted = True
        for file in retired:
            file.close()

    def _use(self, writer: BatchWriter, number: int) -> None:
        self.writer, self.number = writer, number
        self._data_end, self._marked = writer.size, 0

    def close(self) -> None:
        """Close all files."""
        with self._changing:
            for file in (*self._retired, self.writer.file):
                file.close()
            self._retired = []
