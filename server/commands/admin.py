"""Commands on the server as a whole. INFO is in `info`, CONFIG in `config`, COMMAND and HELP in `introspection`."""

from __future__ import annotations

import time

from common.errors import (
    COUNT_TOO_LOW,
    MONITOR_NEEDS_CONNECTION,
    NO_LOG,
    NO_SHUTDOWN_HERE,
    NO_SHUTDOWN_TO_ABORT,
    SCRIPT_BUSY,
    CommandError,
)
from common.replies import NO_REPLY, OK, Reply, SimpleString
from server.args.integers import parse_integer
from server.args.options import parse_options, require
from server.engines.base import Persistence
from server.registry import CONTROL, CommandGroup, Flag
from server.session.session import Session

group = CommandGroup("server")

ADMIN_CONTROL = CONTROL | Flag.ADMIN
SAVING = Flag.ADMIN | Flag.NOSCRIPT | Flag.NO_ASYNC_LOADING
LASTSAVE_FLAGS = CONTROL | Flag.FAST


@group.control(
    "TIME", "Return the time: seconds since the epoch, and microseconds.", CONTROL | Flag.FAST, since="2.6.0"
)
def time_(session: Session) -> Reply:
    # The system's clock and not the store's: a control command has no step, and with a backing Redis no store.
    seconds, microseconds = divmod(time.time_ns() // 1000, 10**6)
    return [b"%d" % seconds, b"%d" % microseconds]


@group.control(
    "ROLE",
    "Return the role in replication: a master without replicas.",
    CONTROL | Flag.NOSCRIPT | Flag.FAST,
    since="2.8.12",
    categories=("admin", "dangerous"),
)
def role(session: Session) -> Reply:
    return [b"master", 0, []]


@group.control(
    "MONITOR",
    "Show every request that the server accepts, until RESET.",
    ADMIN_CONTROL | Flag.NOSCRIPT,
    since="1.0.0",
    complexity="",
)
def monitor(session: Session) -> Reply:
    session.open_pushes(MONITOR_NEEDS_CONNECTION).start_monitoring()
    return OK


@group.control(
    "SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
    "Stop the server. With a durable log nothing is lost, and SAVE writes a snapshot first.",
    ADMIN_CONTROL | Flag.NOSCRIPT | Flag.NO_MULTI | Flag.ALLOW_BUSY,
    since="1.0.0",
    complexity="O(N) with SAVE, where N is the number of keys in the database, otherwise O(1)",
)
def shutdown(session: Session, *args: bytes) -> Reply:
    flags = (b"NOSAVE", b"SAVE", b"NOW", b"FORCE", b"ABORT")
    options = parse_options(args, flags, exclusive=[(b"NOSAVE", b"SAVE")])
    # Before anything is stopped. ABORT excludes all other flags, as in Redis.
    if b"ABORT" in options:
        require(len(options) == 1)
        raise CommandError(NO_SHUTDOWN_TO_ABORT)
    if b"NOSAVE" not in options and session.context.scripts.is_busy:  # the command is allowed then, but only so
        raise CommandError(SCRIPT_BUSY)
    if session.context.shut_down is None:
        raise CommandError(NO_SHUTDOWN_HERE)
    if b"SAVE" in options:
        _save_before_shutdown(session, is_forced=b"FORCE" in options)
    # Returns at once: the server stops in another thread, which waits for this command to finish.
    session.context.shut_down()
    session.closing = True
    return NO_REPLY  # as in Redis: clients take the closed connection for success, and every reply for a failure


def _save_before_shutdown(session: Session, *, is_forced: bool) -> None:
    """Write a snapshot. Raises `CommandError` if that fails, so that the server goes on, unless FORCE was given."""
    try:
        persistence_of(session).save()
    except CommandError:
        if not is_forced:
            raise


# ---------------------------------------------------------------- the durable log


def persistence_of(session: Session) -> Persistence:
    """Return the log of the keyspace. Raises `CommandError` if there is none."""
    persistence = session.context.engine.persistence
    if persistence is None:
        raise CommandError(NO_LOG)
    return persistence


@group.control(
    "SAVE",
    "Write a snapshot of the keyspace, and wait until it is complete.",
    SAVING | Flag.NO_MULTI,
    since="1.0.0",
    complexity="O(N) where N is the number of keys in the database",
)
def save(session: Session) -> Reply:
    persistence_of(session).save()
    return OK


@group.control("BGSAVE [SCHEDULE]", "Write a snapshot of the keyspace in the background.", SAVING, since="1.0.0")
def bgsave(session: Session, *args: bytes) -> Reply:
    parse_options(args, flags=(b"SCHEDULE",))
    persistence_of(session).begin_save()
    return SimpleString(b"Background saving started")


@group.control("BGREWRITEAOF", "Replace the log by a snapshot and a new log.", SAVING, since="1.0.0")
def bgrewriteaof(session: Session) -> Reply:
    persistence_of(session).begin_rewrite()
    return SimpleString(b"Background append only file rewriting started")


@group.control(
    "LASTSAVE",
    "Return when the last snapshot was completed, in seconds since the epoch.",
    LASTSAVE_FLAGS,
    since="1.0.0",
    categories=("admin", "dangerous"),
)
def lastsave(session: Session) -> Reply:
    persistence = session.context.engine.persistence
    if persistence is not None:
        return persistence.last_save
    # As in Redis, which takes the start for the first save.
    return int(time.time() - (time.monotonic() - session.context.started))


group.container("SLOWLOG", "Show the most recent slow commands.", since="2.2.12")


@group.control(
    "SLOWLOG GET [count]",
    "Return the most recent slow commands: 10 by default, -1 for all.",
    ADMIN_CONTROL,
    since="2.2.12",
    complexity="O(N) where N is the number of entries that are returned",
)
def slowlog_get(session: Session, count: bytes = b"10") -> Reply:
    try:
        # Bytes and not `int`: Redis has the same text for a count that is not a number as for one that is too low.
        number = parse_integer(count)
    except CommandError:
        raise CommandError(COUNT_TOO_LOW) from None
    if number < -1:
        raise CommandError(COUNT_TOO_LOW)
    entries = session.context.slowlog.entries()
    return [
        [each.id, each.timestamp, each.microseconds, list(each.args), each.address, each.client_name]
        for each in (entries if number < 0 else entries[:number])
    ]


@group.control("SLOWLOG LEN", "Return the number of entries.", ADMIN_CONTROL, since="2.2.12")
def slowlog_len(session: Session) -> Reply:
    return len(session.context.slowlog)


@group.control(
    "SLOWLOG RESET",
    "Remove all entries.",
    ADMIN_CONTROL,
    since="2.2.12",
    complexity="O(N) where N is the number of entries",
)
def slowlog_reset(session: Session) -> Reply:
    session.context.slowlog.clear()
    return OK
