"""CONFIG: the settings, under Redis's names, and the change of those that can change while the server runs."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from common.errors import (
    NOT_PARSED_AS_INTEGER,
    CommandError,
    duplicate_parameter,
    immutable_parameter,
    invalid_parameter,
    not_one_of,
    out_of_range,
    unknown_parameter,
)
from common.replies import OK, Reply
from server.args.glob import matcher
from server.args.integers import MAX_INTEGER, parse_integer
from server.args.options import require
from server.clients.registry import MAX_MAX_CLIENTS
from server.registry import CONTROL, CommandGroup, Flag
from server.session.context import ServerContext
from server.session.session import Session

group = CommandGroup("server")

FLAGS = CONTROL | Flag.ADMIN | Flag.NOSCRIPT

LOG_LEVELS = (b"debug", b"info", b"warning", b"error")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A setting. ``check`` turns a new value into what ``write`` takes, or raises ValueError with the reason.

    One without ``write`` is as the command line said, or as it always is.
    """

    read: Callable[[ServerContext], bytes]
    check: Callable[[bytes], object] = bytes
    write: Callable[[ServerContext, object], None] | None = None


group.container("CONFIG", "Read or change the server's settings.")


@group.control("CONFIG RESETSTAT", "Reset the statistics of INFO and /metrics.", FLAGS)
def config_resetstat(session: Session) -> Reply:
    session.context.stats.reset()
    session.context.engine.reset_stats()
    return OK


@group.control("CONFIG GET pattern [pattern ...]", "Return the settings whose names match.", FLAGS)
def config_get(session: Session, pattern: bytes, *more: bytes) -> Reply:
    matchers = [matcher(each.lower()) for each in (pattern, *more)]
    return {
        name: parameter.read(session.context)
        for name, parameter in PARAMETERS.items()
        if any(matches(name) for matches in matchers)
    }


@group.control("CONFIG SET parameter value [parameter value ...]", "Change settings: all of them or none.", FLAGS)
def config_set(session: Session, name: bytes, value: bytes, *more: bytes) -> Reply:
    require(len(more) % 2 == 0)
    names, values = (name, *more[::2]), (value, *more[1::2])
    changes = list(map(_change, names, values))
    for place, each in enumerate(names):
        if each.lower() in map(bytes.lower, names[:place]):
            raise CommandError(duplicate_parameter(each))
    for write, changed in changes:
        write(session.context, changed)
    return OK


def _change(name: bytes, value: bytes) -> tuple[Callable[[ServerContext, object], None], object]:
    parameter = PARAMETERS.get(name.lower())
    if parameter is None:
        raise CommandError(unknown_parameter(name))
    if parameter.write is None:
        raise CommandError(immutable_parameter(name))
    try:
        return parameter.write, parameter.check(value)
    except ValueError as problem:
        raise CommandError(invalid_parameter(name, str(problem))) from None


def _number(fewest: int, most: int = MAX_INTEGER) -> Callable[[bytes], int]:
    def check(value: bytes) -> int:
        try:
            number = parse_integer(value)
        except CommandError:
            raise ValueError(NOT_PARSED_AS_INTEGER) from None
        if not fewest <= number <= most:
            raise ValueError(out_of_range(fewest, most))
        return number

    return check


def _level(value: bytes) -> str:
    if value.lower() not in LOG_LEVELS:
        raise ValueError(not_one_of([level.decode() for level in LOG_LEVELS]))
    return value.decode().upper()


def _set_slower_than(context: ServerContext, microseconds: object) -> None:
    assert isinstance(microseconds, int)
    context.slowlog.threshold = inf if microseconds < 0 else microseconds * 1000


def _slower_than(context: ServerContext) -> bytes:
    slower_than = context.slowlog.threshold
    return b"-1" if slower_than == inf else b"%d" % (slower_than // 1000)


def _set_slow_length(context: ServerContext, length: object) -> None:
    assert isinstance(length, int)
    context.slowlog.max_length = length


def _set_max_bulk(context: ServerContext, size: object) -> None:
    assert isinstance(size, int)
    larger = max(size, context.limits.max_request)
    context.limits = dataclasses.replace(context.limits, max_bulk=size, max_request=larger)
    context.engine.apply_limits(context.limits)


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
        lambda context: b"%d" % context.clients.limit, _number(1, MAX_MAX_CLIENTS), _set_max_clients
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
        lambda context: b"%d" % context.slowlog.max_length,
        _number(0),
        _set_slow_length,
    ),
    b"timeout": _always(b"0"),
}
"""By name. The limits of connections that are open do not change."""
