"""Start a log: replay what a directory has, and continue it. Also repair what is damaged, and check without changes."""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Callable, Iterator

from common.limits import MIB
from server.engines.log.disk import Disk, File
from server.engines.log.files import LogFiles
from server.engines.log.key_order import KeyOrder
from server.engines.log.log import DurableLog
from server.engines.log.names import TEMPORARY, Names, log_name, make_header, make_snapshot_end, snapshot_name
from server.engines.log.records import encode, in_database
from server.engines.log.replay import Replay, never
from server.engines.log.rewrite import SLICE_KEYS, record_of, remove_obsolete
from server.engines.log.trailer import NO_CHAIN, Chain
from server.engines.log.walk import Findings, Walk
from server.engines.log.writer import BatchWriter
from server.engines.waits import KeyspaceLock
from server.keyspace.databases import Databases
from server.keyspace.store import Store
from server.settings.table import MAX_DATABASES

DAMAGED = "damaged-"
"""Begins the name of the copy of a damaged file."""

COPY_SIZE = MIB

logger = logging.getLogger(__name__)


def open_log(
    disk: Disk,
    databases: Databases,
    lock: KeyspaceLock,
    level: str,
    is_interrupted: Callable[[], bool] = never,
    *,
    repair: bool = False,
) -> DurableLog:
    """Replay the files of a directory into empty databases, and return the log that continues them.

    ``lock`` is the keyspace lock. Raises `Corruption` for damage, unless ``repair`` is true, `OSError`, and
    `StartInterrupted`. No file has been changed after a `Corruption`. If the disk is full, the log that is returned is
    failing, so that reads can be served.
    """
    walk, replay = _walk(disk, databases, is_interrupted, salvage=repair)
    try:
        findings = walk.run()
    finally:
        for store in databases:
            store.begin_step()
    for damage in walk.damage:
        logger.warning("%s", damage)
    if findings.parts:
        logger.info("replayed %s records", f"{replay.records:,}")
    if walk.damage:
        writer, number = _begin_anew(disk, databases, walk, findings.chain)
    elif findings.log:
        writer, number = _continue(disk, findings)
    else:
        writer, number = _begin(disk, 1, NO_CHAIN), 1
    log = DurableLog(disk, databases, lock, LogFiles(writer, number), level)
    log.files.sync()
    with contextlib.suppress(OSError):
        log.mark()
    return log


def _walk(
    disk: Disk, databases: Databases, is_interrupted: Callable[[], bool], *, salvage: bool
) -> tuple[Walk, Replay]:
    names = Names.of(disk.names())
    replay = Replay(databases[0], sum(disk.size(name) for name in names.data()), is_interrupted)
    return Walk(disk, replay.feed, salvage=salvage), replay


def check(disk: Disk) -> Iterator[str]:
    """Read the files of a directory, and yield what they contain in lines. Raises `Corruption` and `OSError`."""
    walk, replay = _walk(disk, Databases(Store(), MAX_DATABASES), never, salvage=False)
    if not walk.names.all():  # a backup that failed must not pass
        raise FileNotFoundError(errno.ENOENT, "there is no log")
    try:
        findings = walk.run()
    finally:
        for part in walk.findings.parts:
            damage = "" if part.end == part.size else f", then {part.size - part.end:,} bytes that are not complete"
            yield f"{part.name}: {part.batches:,} batches in {part.end:,} bytes{damage}"
    for name in findings.unusable:
        yield f"{name}: not complete"
    for name in findings.obsolete:
        yield f"{name}: not needed any more"
    if findings.torn or findings.unusable:
        yield "the end was not written completely, as after a power failure; a start cuts it off"
    yield f"{replay.records:,} records"


# ---------------------------------------------------------------- the next log


def _begin(disk: Disk, number: int, chain: Chain) -> BatchWriter:
    """Create a log. It gets its name when it has its first line, so that no start finds an empty one."""
    file = disk.create(TEMPORARY + log_name(number))
    writer = BatchWriter(file, chain)
    writer.append([make_header(b"log", number, chain)])
    file.sync()
    disk.rename(TEMPORARY + log_name(number), log_name(number))
    disk.sync_directory()
    return writer


def _continue(disk: Disk, findings: Findings) -> tuple[BatchWriter, int]:
    """Open the last log, without what an unfinished write has left."""
    name = log_name(findings.log)
    last = findings.parts[-1]
    file = disk.open(name)
    if findings.torn is not None:
        logger.warning("cut %s bytes of an unfinished write from the end of %s", f"{findings.torn_bytes:,}", name)
        file.truncate(last.end)
    for unusable in findings.unusable:
        logger.warning("removed %s, which an unfinished write has left", unusable)
        disk.remove(unusable)
    _write_again(disk, findings)
    # A killed server may not have synced it. What a snapshot replaces must not disappear before its name is durable.
    disk.sync_directory()
    with contextlib.suppress(OSError):  # tried again at the next start
        remove_obsolete(disk, findings.snapshot)
    return BatchWriter(file, findings.chain, last.end), findings.log


def _write_again(disk: Disk, findings: Findings) -> None:
    """Write and sync what no trailer calls synced: clients will see it now.

    To sync it is not enough. It may be in the kernel's cache only, because a sync has failed before the server was
    killed, and the kernel does not write such pages again (see `server.engines.log.files`).
    """
    for part in findings.parts:
        if part.synced < part.end and part.is_log:
            disk.write_again(part.name, part.synced)


# ---------------------------------------------------------------- repair


def _begin_anew(disk: Disk, databases: Databases, walk: Walk, chain: Chain) -> tuple[BatchWriter, int]:
    """Write a snapshot of what was replayed, and a new log. Keep copies of all files that were there."""
    for name in walk.names.all():  # what a damaged snapshot has replaced may still be there, undamaged
        _copy(disk, name, _free_name(disk, name))
    number = walk.names.last + 1
    writer = _begin(disk, number, chain)
    snapshot = disk.create(TEMPORARY + snapshot_name(number))
    try:
        _write_snapshot(BatchWriter(snapshot, NO_CHAIN), databases, number, chain)
        snapshot.sync()
    finally:
        snapshot.close()
    disk.rename(TEMPORARY + snapshot_name(number), snapshot_name(number))
    disk.sync_directory()
    remove_obsolete(disk, number)
    logger.warning("repaired; copies of the files before that are called %s...", DAMAGED)
    return writer, number


def _write_snapshot(writer: BatchWriter, databases: Databases, number: int, chain: Chain) -> None:
    writer.append([make_header(b"snapshot", number, NO_CHAIN)])
    for store in databases:
        order = KeyOrder(store.keys_in_order())
        order.begin_visit()
        while order.is_visiting:
            records = [record_of(*entry) for entry in store.entries(order.visit(SLICE_KEYS))]
            writer.append(encode(in_database(store.index, records)))
    writer.append([make_snapshot_end(chain, 0)])


def _free_name(disk: Disk, name: str) -> str:
    taken = disk.names()
    return next(each for number in range(1, len(taken) + 2) if (each := f"{DAMAGED}{number}-{name}") not in taken)


def _copy(disk: Disk, name: str, new_name: str) -> None:
    source, target = disk.open(name), disk.create(new_name)
    try:
        _copy_content(source, target)
        target.sync()
    finally:
        source.close()
        target.close()
    disk.sync_directory()


def _copy_content(source: File, target: File) -> None:
    at = 0
    while data := source.read(at, COPY_SIZE):
        at += len(data)
        while data:
            data = data[target.append(data) :]
