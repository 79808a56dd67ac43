"""Commands about the server as a whole. INFO is in `info`, CONFIG in `configuration`, COMMAND and HELP in `command`."""

from __future__ import annotations

import time

from common.errors import (
    COUNT_TOO_LOW,
    NO_SHUTDOWN_HERE,
    NO_SHUTDOWN_TO_ABORT,
    CommandError,
)
from common.replies import NO_REPLY, OK, Lines, Reply
from server.args.integers import parse_integer
from server.args.options import read_options, require
from server.clients.stats import SlowLog
from server.commands.subcommands import Subcommands
from server.registry import CommandGroup
from server.session.session import Session

group = CommandGroup("server")


@group.session("TIME", "Return the time: seconds since the epoch, and microseconds in the second.")
def time_(session: Session) -> Reply:
    seconds, microseconds = divmod(time.time_ns() // 1000, 10**6)
    return [b"%d" % seconds, b"%d" % microseconds]


@group.session("MONITOR", "Show every command that the server gets, as it comes.")
def monitor(session: Session) -> Reply:
    session.start_monitoring()
    return OK


@group.session("SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] [ABORT]", "Stop the server in good order; nothing is saved.")
def shutdown(session: Session, *args: bytes) -> Reply:
    flags = (b"NOSAVE", b"SAVE", b"NOW", b"FORCE", b"ABORT")
    options = read_options(args, flags, exclusive=[(b"NOSAVE", b"SAVE")])
    if b"ABORT" in options:
        require(len(options) == 1)
        raise CommandError(NO_SHUTDOWN_TO_ABORT)
    require(b"SAVE" not in options)  # there is nothing to save to
    if session.context.shut_down is None:
        raise CommandError(NO_SHUTDOWN_HERE)
    session.context.shut_down()
    session.closing = True
    return NO_REPLY  # its end is the answer, as Redis's is; a client takes any other for a failure


@group.session("SLOWLOG GET [count] | LEN | RESET | HELP", "Tell of the commands that took longest.")
def slowlog(session: Session, subcommand: bytes, *args: bytes) -> Reply:
    return _SLOWLOG.run(session, subcommand, *args)


def _slowlog_help(session: Session) -> Reply:
    return Lines(
        [
            b"SLOWLOG GET [count]: the most recent slow calls, 10 unless told, -1 for all; of each its number,",
            b"  its moment, microseconds, words, and the client's address and name.",
            b"SLOWLOG LEN: how many there are.",
            b"SLOWLOG RESET: forget them.",
        ]
    )


def _slowlog_len(session: Session) -> Reply:
    return session.context.engine.statistics.slow_log(lambda log: len(log.calls))


def _slowlog_reset(session: Session) -> Reply:
    session.context.engine.statistics.slow_log(lambda log: log.calls.clear())
    return OK


def _slowlog_get(session: Session, count: bytes = b"10") -> Reply:
    try:
        number = parse_integer(count)
    except CommandError:
        raise CommandError(COUNT_TOO_LOW) from None
    if number < -1:
        raise CommandError(COUNT_TOO_LOW)
    return session.context.engine.statistics.slow_log(lambda log: _slow_calls(log, number))


_SLOWLOG = Subcommands(
    b"SLOWLOG", {b"HELP": _slowlog_help, b"LEN": _slowlog_len, b"RESET": _slowlog_reset, b"GET": _slowlog_get}
)


def _slow_calls(log: SlowLog, count: int) -> Reply:
    calls = list(log.calls)
    return [
        [each.number, each.moment, each.microseconds, list(each.args), each.address, each.client_name]
        for each in (calls if count < 0 else calls[:count])
    ]
