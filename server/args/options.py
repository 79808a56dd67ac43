"""Parse the options of a command: the arguments after the required ones, in any order and any case."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from common.errors import SYNTAX_ERROR, CommandError


def parse_options(
    args: Sequence[bytes],
    flags: Collection[bytes] = (),
    valued: Collection[bytes] = (),
    exclusive: Sequence[Collection[bytes]] = (),
) -> dict[bytes, bytes]:
    """Return the options in capitals with their values: an empty one for a flag, the last of a repeated option.

    Raises `CommandError` for an option that is in neither ``flags`` nor ``valued``, for a missing value, and for more
    than one option of a group in ``exclusive``.

    >>> parse_options([b"ex", b"10", b"NX"], flags=[b"NX", b"XX"], valued=[b"EX", b"PX"])
    {b'EX': b'10', b'NX': b''}
    """
    options: dict[bytes, bytes] = {}
    rest = iter(args)
    for arg in rest:
        option = arg.upper()
        if option in flags:
            options[option] = b""  # repeated flags are accepted, as in Redis
        elif option in valued:
            # The next argument is the value even if it is the name of an option, as in Redis: `SET k v EX NX`.
            value = next(rest, None)
            require(value is not None)
            options[option] = value or b""
        else:
            raise CommandError(SYNTAX_ERROR)
    # After all of them are parsed. The error is the same for every mistake, so the order cannot be seen.
    for group in exclusive:
        require(sum(option in options for option in group) <= 1)
    return options


def require(condition: bool) -> None:
    """Raise `CommandError` with Redis's syntax error unless the condition is true."""
    if not condition:
        raise CommandError(SYNTAX_ERROR)
