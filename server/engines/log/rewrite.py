"""Rewriting: replace what the log has grown to by a snapshot of the keyspace and a new, empty log.

    1. Create the next log, and continue in it (`DurableLog.rotate`).
    2. Write the keys that existed then, in slices, with the values that they have when their slice is written.
    3. Sync the log, then the snapshot, and give the snapshot its name.
    4. Remove the files that it replaces.

The values may be later ones than those of step 1. The new log has the changes since then, and replaying a change that
is in the snapshot already gives the same result, because records say what a change did. The end of the snapshot says up
to which batch the log is needed. A crash before step 3 leaves the old files, which the new log continues.

SWAPDB is the exception: replaying it twice swaps back. So the snapshot has keys under the number that their database
had at step 1, also those that are written after a SWAPDB. The new log has the SWAPDB, which is then replayed once.

If the log is failing, the new log begins after step 3, and nothing changes the keyspace meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from common.limits import MIB
from server.engines.log.disk import MIN_FREE, Disk, File, remove_if_exists
from server.engines.log.log import DurableLog
from server.engines.log.names import TEMPORARY, Names, log_name, make_header, make_snapshot_end, snapshot_name
from server.engines.log.records import Record, encode, in_database
from server.engines.log.trailer import NO_CHAIN, Chain
from server.engines.log.writer import BatchWriter

SLICE_KEYS = 128
SLICE_BYTES = MIB
"""Keys of a slice, and bytes of their values. The keyspace lock is held for about 0.2 ms."""

SYNC_SIZE = 16 * MIB
"""Bytes of the snapshot after which it is synced, so that no sync takes long and delays those of the log."""

MIN_FREE_AFTER = 2 * MIN_FREE
"""Bytes of free space that a snapshot must leave to the log. With less, it is abandoned."""


class RewriteFailed(Exception):
    """The snapshot could not be written. Nothing has changed."""


def rewrite(log: DurableLog) -> Iterator[int]:
    """Rewrite the log, a slice per step. Yields the bytes of the snapshot so far. Raises `RewriteFailed`.

    It ends with a log that works, if it was failing and the disk allows it.
    """
    try:
        log.disk.check()  # another directory may have another server
        number = max(Names.of(log.disk.names()).last, log.files.number) + 1
        file = log.disk.create(log_name(number))
        try:
            log.disk.sync_directory()
            chain = log.rotate(file, number)
        except OSError:  # `CommitFailed`, too
            _discard(log, file, number)
            raise
        if chain is None:
            yield from _restart(log, file, number)
        else:
            yield from _snapshot(log, number, chain)
    except OSError as problem:
        raise RewriteFailed(str(problem)) from problem


def _discard(log: DurableLog, file: File, number: int) -> None:
    """Remove a log that is not used."""
    with contextlib.suppress(OSError):
        file.close()
        log.disk.remove(log_name(number))


def _snapshot(log: DurableLog, number: int, chain: Chain) -> Iterator[int]:
    """Write the snapshot that the log of this number continues."""
    failures = log.failures
    with _temporary(log.disk, number) as file:
        writer = yield from _write_keys(log, file, number)
        needs = log.flush()
        _check_nothing_undone(log, failures)
        _complete(log, writer, number, chain, needs)
    _remove_obsolete(log, number)


def _restart(log: DurableLog, file: File, number: int) -> Iterator[int]:
    """Write a snapshot and then a new log, after which writes are accepted again."""
    failures, chain = log.failures, log.files.writer.chain
    try:
        restarted = BatchWriter(file, chain)
        restarted.append([make_header(b"log", number, chain)])
        file.sync()
        with _temporary(log.disk, number) as snapshot:
            writer = yield from _write_keys(log, snapshot, number)
            log.write_pending()
            _check_nothing_undone(log, failures)
            _complete(log, writer, number, chain, restarted.chain.sequence)
    except BaseException:  # GeneratorExit, too: the server stops
        _discard_unless_complete(log, file, number)
        raise
    with log.exclusive():
        log.resume(restarted, number)
    _remove_obsolete(log, number)


def _check_nothing_undone(log: DurableLog, failures: int) -> None:
    if log.failures != failures:
        raise RewriteFailed("the snapshot has values that were undone")
    if log.is_closed:
        raise RewriteFailed(str(log.problem))


@contextmanager
def _temporary(disk: Disk, number: int) -> Iterator[File]:
    """Create a snapshot, and remove it if it is not completed: the log needs the space."""
    name = TEMPORARY + snapshot_name(number)
    file = disk.create(name)
    try:
        yield file
    except BaseException:  # GeneratorExit, too: the server stops
        with contextlib.suppress(OSError):
            remove_if_exists(disk, name)
        raise
    finally:
        file.close()


def _discard_unless_complete(log: DurableLog, file: File, number: int) -> None:
    """Remove a log, unless its snapshot has its name already, although the directory could not be synced."""
    with contextlib.suppress(OSError):
        if snapshot_name(number) not in log.disk.names():
            log.disk.remove(log_name(number))
        file.close()


def _complete(log: DurableLog, writer: BatchWriter, number: int, chain: Chain, needs: int) -> None:
    """End a snapshot, and give it its name."""
    writer.append([make_snapshot_end(chain, needs)])
    writer.file.sync()
    log.disk.check()
    log.disk.rename(TEMPORARY + snapshot_name(number), snapshot_name(number))
    log.disk.sync_directory()


def _write_keys(log: DurableLog, file: File, number: int) -> Generator[int, None, BatchWriter]:
    """Write the keys that existed when the visit began."""
    _check_free_space(log.disk)
    writer = BatchWriter(file, NO_CHAIN)
    writer.append([make_header(b"snapshot", number, NO_CHAIN)])
    synced = 0
    while (visited := log.visit(SLICE_KEYS)) is not None:
        database, entries = visited
        at = size = 0
        for end, (_, value, _) in enumerate(entries, 1):
            size += len(value)
            if size >= SLICE_BYTES or end == len(entries):
                writer.append(encode(in_database(database, [record_of(*entry) for entry in entries[at:end]])))
                at, size = end, 0
                if writer.size - synced >= SYNC_SIZE:
                    writer.file.sync()
                    synced = writer.size
                    _check_free_space(log.disk)
        yield writer.size
    return writer


def _check_free_space(disk: Disk) -> None:
    if disk.free_bytes() < MIN_FREE_AFTER:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def record_of(key: bytes, value: bytes, expires_at: int | None) -> Record:
    """Return the record of a key as a snapshot has it."""
    return (b"SET", key, value) if expires_at is None else (b"SET", key, value, b"PXAT", b"%d" % expires_at)


def _remove_obsolete(log: DurableLog, number: int) -> None:
    # What cannot be removed now is removed at the next start.
    with contextlib.suppress(OSError):
        remove_obsolete(log.disk, number)


def remove_obsolete(disk: Disk, number: int) -> None:
    """Remove the files that the snapshot of this number has replaced, and unfinished ones. Raises `OSError`."""
    names = Names.of(disk.names())
    obsolete = [log_name(each) for each in names.logs if each < number]
    obsolete += [snapshot_name(each) for each in names.snapshots if each < number]
    for name in (*obsolete, *names.temporary):
        remove_if_exists(disk, name)
