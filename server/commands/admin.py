"""Commands on the server as a whole. INFO is in `info`, CONFIG in `config`, COMMAND and HELP in `introspection`."""

from __future__ import annotations

import time

from common.errors import COUNT_TOO_LOW, NO_SHUTDOWN_HERE, NO_SHUTDOWN_TO_ABORT, CommandError
from common.replies import NO_REPLY, OK, Reply
from server.args.integers import parse_integer
from server.args.options import parse_options, require
from server.registry import CONTROL, CommandGroup, Flag
from server.session.session import Session

group = CommandGroup("server")

ADMIN_CONTROL = CONTROL | Flag.ADMIN


@group.control("TIME", "Return the time: seconds since the epoch, and microseconds.", CONTROL | Flag.FAST)
def time_(session: Session) -> Reply:
    # The system's clock and not the store's: a control command has no step, and with a backing Redis no store.
    seconds, microseconds = divmod(time.time_ns() // 1000, 10**6)
    return [b"%d" % seconds, b"%d" % microseconds]


@group.control("MONITOR", "Show every request that the server accepts, until RESET.", ADMIN_CONTROL | Flag.NOSCRIPT)
def monitor(session: Session) -> Reply:
    session.start_monitoring()
    return OK


@group.control(
    "SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
    "Stop the server. Data is not persisted.",
    ADMIN_CONTROL | Flag.NOSCRIPT | Flag.NO_MULTI | Flag.ALLOW_BUSY,
)
def shutdown(session: Session, *args: bytes) -> Reply:
    flags = (b"NOSAVE", b"SAVE", b"NOW", b"FORCE", b"ABORT")
    options = parse_options(args, flags, exclusive=[(b"NOSAVE", b"SAVE")])
    # Before anything is stopped. ABORT excludes all other flags, as in Redis.
    if b"ABORT" in options:
        require(len(options) == 1)
        raise CommandError(NO_SHUTDOWN_TO_ABORT)
    require(b"SAVE" not in options)  # there is nothing to save to
    if session.context.shut_down is None:
        raise CommandError(NO_SHUTDOWN_HERE)
    # Returns at once: the server stops in another thread, which waits for this command to finish.
    session.context.shut_down()
    session.closing = True
    return NO_REPLY  # as in Redis: clients take the closed connection for success, and every reply for a failure


group.container("SLOWLOG", "Show the most recent slow commands.")


@group.control("SLOWLOG GET [count]", "Return the most recent slow commands: 10 by default, -1 for all.", ADMIN_CONTROL)
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


@group.control("SLOWLOG LEN", "Return the number of entries.", ADMIN_CONTROL)
def slowlog_len(session: Session) -> Reply:
    return len(session.context.slowlog)


@group.control("SLOWLOG RESET", "Remove all entries.", ADMIN_CONTROL)
def slowlog_reset(session: Session) -> Reply:
    session.context.slowlog.clear()
    return OK
