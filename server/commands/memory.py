"""MEMORY: what a key takes, and what the process takes."""

from __future__ import annotations

from common.replies import Reply
from server.args.integers import parse_integer
from server.args.options import parse_options, require
from server.keyspace.store import Store
from server.process import peak_resident_bytes, resident_bytes
from server.registry import EXAMINE, SECOND_KEY, CommandGroup, Flag
from server.session.session import Session

group = CommandGroup("server")

group.container("MEMORY", "Report memory usage.", since="4.0.0")


@group.reads(
    "MEMORY USAGE key [SAMPLES count]",
    "Return approximately how many bytes a key and its value take.",
    Flag.NO_TOUCH,
    keys=SECOND_KEY.used(EXAMINE),
    since="4.0.0",
)
def memory_usage(store: Store, key: bytes, *args: bytes) -> Reply:
    options = parse_options(args, valued=(b"SAMPLES",))
    require(parse_integer(options.get(b"SAMPLES", b"0")) >= 0)
    return store.memory_usage(key)


@group.control(
    "MEMORY MALLOC-STATS",
    "Report that the allocator has no statistics.",
    since="4.0.0",
    complexity="Depends on how much memory is allocated, could be slow",
)
def memory_malloc_stats(session: Session) -> Reply:
    return b"Stats not supported for the current allocator"  # as Redis without jemalloc


@group.control("MEMORY STATS", "Return figures about the memory of the server.", since="4.0.0")
def memory_stats(session: Session) -> Reply:
    # Python does not know how much of the process's memory is for what, so the fields about parts of it that Redis
    # measures have the value of a server that does not use them. See `server.commands.info`.
    used, peak = resident_bytes(), peak_resident_bytes()
    counts = session.context.engine.key_counts()
    keys = counts.keys if counts is not None else 0
    return {
        b"peak.allocated": peak,
        b"total.allocated": used,
        b"startup.allocated": 0,
        b"replication.backlog": 0,
        b"clients.slaves": 0,
        b"clients.normal": 0,
        b"cluster.links": 0,
        b"aof.buffer": 0,
        b"lua.caches": 0,
        b"functions.caches": 0,
        b"overhead.total": 0,
        b"keys.count": keys,
        b"keys.bytes-per-key": used // keys if keys else 0,
        b"dataset.bytes": used,
        b"dataset.percentage": 100.0,
        b"peak.percentage": 100.0 * used / peak if peak else 0.0,
        b"fragmentation": 1.0,
        b"fragmentation.bytes": 0,
    }
