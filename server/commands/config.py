"""CONFIG: read the settings under Redis's names, and change those that can change while the server runs.

The parameters are entries of the table in `server.settings`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from common.codec import Args
from common.errors import (
    BACKEND_STORES_DATA,
    CommandError,
    duplicate_parameter,
    immutable_parameter,
    invalid_parameter,
    unknown_parameter,
)
from common.replies import OK, Reply
from server.args.glob import matcher
from server.args.options import require
from server.registry import CONTROL, REDACTED, CommandGroup, Flag
from server.session.context import ServerContext
from server.session.session import Session
from server.settings import PARAMETERS, Setting
from server.settings.kinds import PartialKind

group = CommandGroup("server")

FLAGS = CONTROL | Flag.ADMIN | Flag.NOSCRIPT

group.container("CONFIG", "Read or change the server's settings.", since="2.0.0")


@group.control(
    "CONFIG RESETSTAT",
    "Reset the statistics of INFO and /metrics.",
    FLAGS,
    since="2.0.0",
    complexity="O(N) where N is the number of connections",
)
def config_resetstat(session: Session) -> Reply:
    # What sessions do not count: expired keys, failures of a backing Redis. First, because a slow script refuses it.
    session.context.engine.reset_stats()
    session.context.stats.reset()
    session.context.clients.reset_counts()
    session.context.auth.reset_stats()
    return OK


@group.control(
    "CONFIG GET pattern [pattern ...]",
    "Return the settings whose names match.",
    FLAGS,
    since="2.0.0",
    complexity="O(N) where N is the number of parameters",
)
def config_get(session: Session, pattern: bytes, *more: bytes) -> Reply:
    return get_config(session.context, (pattern, *more))


SECRETS = {name.encode() for name, parameter in PARAMETERS.items() if parameter.secret}


def _redact(args: Args) -> Args:
    """Replace the values of secret parameters."""
    # After the name at any place, because a request with a missing value is shown too.
    return [REDACTED if before.lower() in SECRETS else arg for before, arg in zip([b"", *args], args, strict=False)]


@group.control(
    "CONFIG SET parameter value [parameter value ...]",
    "Change settings: all of them or none.",
    FLAGS | Flag.SENSITIVE,
    redact=_redact,
    since="2.0.0",
    complexity="O(N) where N is the number of parameters",
)
def config_set(session: Session, name: bytes, value: bytes, *more: bytes) -> Reply:
    # A syntax error and not an arity error, as in Redis 7.
    require(len(more) % 2 == 0)
    set_config(session.context, [(name, value), *zip(more[::2], more[1::2], strict=True)])
    return OK


group.may_take_long("CONFIG|SET", lambda *_: True)  # it may wait for a script, which has the keyspace lock


def get_config(context: ServerContext, patterns: Sequence[bytes]) -> dict[bytes, Reply]:
    """Return the parameters whose names match one of the patterns, with their values as text."""
    # In any case, as in Redis. A dict, so a parameter that several patterns match appears once.
    matchers = [matcher(pattern.lower()) for pattern in patterns]
    settings = context.settings  # read once: a CONFIG SET meanwhile replaces the object, so this one is consistent
    return {
        name.encode(): parameter.text(settings).encode()
        for name, parameter in PARAMETERS.items()
        if any(matches(name.encode()) for matches in matchers)
    }


def set_config(context: ServerContext, pairs: Sequence[tuple[bytes, bytes]]) -> None:
    """Change parameters: all of them or none. Raises `CommandError` for the first one that cannot be changed.

    Names may be in any case. A limit on input applies to new connections, everything else at once.
    """
    values: dict[str, Any] = {}
    # All or none: everything is parsed before anything is changed (Redis 7 restores the old values instead).
    parsed = [_parse(context, name, text) for name, text in pairs]
    for (name, _), (parameter, value) in zip(pairs, parsed, strict=True):
        if parameter.embedded and context.settings.backend is not None:
            raise CommandError(invalid_parameter(name, BACKEND_STORES_DATA))
        # By field, because the same name may be given in two cases.
        if parameter.name in values:
            raise CommandError(duplicate_parameter(name))
        values[parameter.name] = value
    context.change_settings(values)


def _parse(context: ServerContext, name: bytes, text: bytes) -> tuple[Setting, Any]:
    """Return a parameter and its new value."""
    parameter = PARAMETERS.get(name.lower().decode(errors="replace"))
    if parameter is None:
        raise CommandError(unknown_parameter(name))
    if not parameter.mutable:
        raise CommandError(immutable_parameter(name))
    try:
        # Strict decoding would raise a UnicodeDecodeError, which is a ValueError, and its text would become the reason.
        decoded = text.decode(errors="surrogateescape")
        if isinstance(parameter.kind, PartialKind):
            return parameter, parameter.kind.parse_change(decoded, getattr(context.settings, parameter.name))
        return parameter, parameter.kind.parse_config(decoded)
    except ValueError as problem:
        raise CommandError(invalid_parameter(name, str(problem))) from None
