"""CONFIG: read the settings under Redis's names, and change those that can change while the server runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common.errors import CommandError, immutable_parameter, invalid_parameter, unknown_parameter
from common.replies import OK, Lines, Reply
from server.args.glob import matcher
from server.args.options import require
from server.commands.subcommands import Subcommands
from server.registry import CommandGroup
from server.session.context import ServerContext
from server.session.session import Session
from server.settings import PARAMETERS, Setting

group = CommandGroup("server")


@group.session("CONFIG GET | SET | RESETSTAT | HELP [parameter [value] ...]", "Read or change the server's settings.")
def config(session: Session, subcommand: bytes, *args: bytes) -> Reply:
    return _SUBCOMMANDS.run(session, subcommand, *args)


def _help(session: Session) -> Reply:
    return Lines(
        [
            b"CONFIG GET pattern [pattern ...]: the settings whose names match.",
            b"CONFIG SET parameter value [parameter value ...]: change settings, all of them or none.",
            b"CONFIG RESETSTAT: reset the counters that INFO shows.",
        ]
    )


def _reset_statistics(session: Session) -> Reply:
    session.context.engine.reset_records()
    return OK


def _get(session: Session, pattern: bytes, *more: bytes) -> Reply:
    return get_config(session.context, (pattern, *more))


def _set(session: Session, name: bytes, value: bytes, *more: bytes) -> Reply:
    require(len(more) % 2 == 0)
    set_config(session.context, [(name, value), *zip(more[::2], more[1::2], strict=True)])
    return OK


_SUBCOMMANDS = Subcommands(b"CONFIG", {b"HELP": _help, b"GET": _get, b"SET": _set, b"RESETSTAT": _reset_statistics})


def get_config(context: ServerContext, patterns: Sequence[bytes]) -> dict[bytes, Reply]:
    """Return the parameters whose names match one of the patterns, with their values as text."""
    matchers = [matcher(pattern.lower()) for pattern in patterns]
    settings = context.settings
    return {
        name.encode(): parameter.text(settings).encode()
        for name, parameter in PARAMETERS.items()
        if any(matches(name.encode()) for matches in matchers)
    }


def set_config(context: ServerContext, pairs: Sequence[tuple[bytes, bytes]]) -> None:
    """Change parameters, all of them or none. Raises `CommandError` for the first one that cannot be changed."""
    values: dict[str, Any] = {}
    parsed = [_parse(name, text) for name, text in pairs]
    for (name, _), (parameter, value) in zip(pairs, parsed, strict=True):
        if parameter.name in values:
            raise CommandError(invalid_parameter(name, b"duplicate parameter"))
        values[parameter.name] = value
    context.change_settings(values)


def _parse(name: bytes, text: bytes) -> tuple[Setting, Any]:
    """Return a parameter and its new value."""
    parameter = PARAMETERS.get(name.lower().decode(errors="replace"))
    if parameter is None:
        raise CommandError(unknown_parameter(name))
    if not parameter.mutable:
        raise CommandError(immutable_parameter(name))
    try:
        return parameter, parameter.kind.parse_config(text.decode(errors="surrogateescape"))
    except ValueError as problem:
        raise CommandError(invalid_parameter(name, str(problem).encode())) from None
