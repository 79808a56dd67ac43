"""CONFIG: the settings, under Redis's names, and the change of those that can change while the server runs."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from common.errors import (
    CommandError,
    immutable_parameter,
    invalid_parameter,
    unknown_parameter,
)
from common.replies import OK, Lines, Reply
from server.args.glob import matcher
from server.args.integers import LARGEST, parse_integer
from server.args.options import require
from server.clients.registry import LARGEST_MAX_CLIENTS
from server.commands.subcommands import Subcommands
from server.registry import CommandGroup
from server.session.context import ServerContext
from server.session.session import Session

group = CommandGroup("server")

LOG_LEVELS = (b"debug", b"info", b"warning", b"error")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A setting. ``check`` turns a new value into what ``write`` takes, or raises ValueError with the reason.

    One without ``write`` is as the command line said, or as it always is.
    """

    read: Callable[[ServerContext], bytes]
    check: Callable[[bytes], object] = bytes
    write: Callable[[ServerContext, object], None] | None = None


@group.session("CONFIG GET | SET | RESETSTAT | HELP [parameter [value] ...]", "Tell or change the server's settings.")
def config(session: Session, subcommand: bytes, *args: bytes) -> Reply:
    return _SUBCOMMANDS.run(session, subcommand, *args)


def _help(session: Session) -> Reply:
    return Lines(
        [
            b"CONFIG GET pattern [pattern ...]: the settings whose names match.",
            b"CONFIG SET parameter value [parameter value ...]: change settings, all of them or none.",
            b"CONFIG RESETSTAT: begin to count anew what INFO tells.",
        ]
    )


def _reset_statistics(session: Session) -> Reply:
    session.context.engine.reset_records()
    return OK


def _get(session: Session, pattern: bytes, *more: bytes) -> Reply:
    matchers = [matcher(each.lower()) for each in (pattern, *more)]
    return {
        name: parameter.read(session.context)
        for name, parameter in PARAMETERS.items()
        if any(matches(name) for matches in matchers)
    }


def _set(session: Session, name: bytes, value: bytes, *more: bytes) -> Reply:
    require(len(more) % 2 == 0)
    names, values = (name, *more[::2]), (value, *more[1::2])
    changes = list(map(_change, names, values))
    for place, each in enumerate(names):
        if each.lower() in map(bytes.lower, names[:place]):
            raise CommandError(invalid_parameter(each, b"duplicate parameter"))
    for write, changed in changes:
        write(session.context, changed)
    return OK


_SUBCOMMANDS = Subcommands(b"CONFIG", {b"HELP": _help, b"GET": _get, b"SET": _set, b"RESETSTAT": _reset_statistics})


def _change(name: bytes, value: bytes) -> tuple[Callable[[ServerContext, object], None], object]:
    parameter = PARAMETERS.get(name.lower())
    if parameter is None:
        raise CommandError(unknown_parameter(name))
    if parameter.write is None:
        raise CommandError(immutable_parameter(name))
    try:
        return parameter.write, parameter.check(value)
    except ValueError as problem:
        raise CommandError(invalid_parameter(name, str(problem).encode())) from None


def _number(fewest: int, most: int = LARGEST) -> Callable[[bytes], int]:
    def check(value: bytes) -> int:
        try:
            number = parse_integer(value)
        except CommandError:
            raise ValueError("argument couldn't be parsed into an integer") from None
        if not fewest <= number <= most:
            raise ValueError(f"argument must be between {fewest} and {most} inclusive")
        return number

    return check


def _level(value: bytes) -> str:
    if value.lower() not in LOG_LEVELS:
        raise ValueError("argument must be one of " + ", ".join(level.decode() for level in LOG_LEVELS))
    return value.decode().upper()


def _set_slower_than(context: ServerContext, microseconds: object) -> None:
    assert isinstance(microseconds, int)
    context.engine.statistics.slower_than = inf if microseconds < 0 else microseconds * 1000


def _slower_than(context: ServerContext) -> bytes:
    slower_than = context.engine.statistics.slower_than
    return b"-1" if slower_than == inf else b"%d" % (slower_than // 1000)


def _set_slow_length(context: ServerContext, length: object) -> None:
    assert isinstance(length, int)
    context.engine.statistics.slow_log(lambda log: log.resize(length))


def _set_max_bulk(context: ServerContext, size: object) -> None:
    assert isinstance(size, int)
    larger = max(size, context.limits.max_request)
    context.limits = dataclasses.replace(context.limits, max_bulk=size, max_request=larger)


def _set_max_clients(context: ServerContext, limit: object) -> None:
    assert isinstance(limit, int)
    context.clients.limit = limit


def _set_log_level(_: ServerContext, level: object) -> None:
    assert isinstance(level, str)
    logging.getLogger().setLevel(level)


def _always(value: bytes) -> Parameter:
    return Parameter(lambda _: value)


PARAMETERS: dict[bytes, Parameter] = {
    b"appendonly": _always(b"no"),
    b"bind": Parameter(lambda context: context.host.encode()),
    b"databases": _always(b"1"),
    b"loglevel": Parameter(
        lambda _: logging.getLevelName(logging.getLogger().level).lower().encode(), _level, _set_log_level
    ),
    b"maxclients": Parameter(
        lambda context: b"%d" % context.clients.limit, _number(1, LARGEST_MAX_CLIENTS), _set_max_clients
    ),
    b"maxmemory": _always(b"0"),
    b"maxmemory-policy": _always(b"noeviction"),
    b"port": Parameter(lambda context: b"%d" % (context.ports[0] if context.ports else 0)),
    b"proto-max-bulk-len": Parameter(lambda context: b"%d" % context.limits.max_bulk, _number(1), _set_max_bulk),
    b"save": _always(b""),
    b"slowlog-log-slower-than": Parameter(
        _slower_than,
        _number(-1),
        _set_slower_than,
    ),
    b"slowlog-max-len": Parameter(
        lambda context: context.engine.statistics.slow_log(lambda log: b"%d" % (log.calls.maxlen or 0)),
        _number(0),
        _set_slow_length,
    ),
    b"timeout": _always(b"0"),
}
"""By name. The limits of connections that are open do not change."""
