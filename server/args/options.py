"""Read a command's options: the words behind its arguments, in any order and any case, as Redis takes them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from common.errors import SYNTAX_ERROR, CommandError


def read_options(
    args: Sequence[bytes],
    flags: Collection[bytes] = (),
    valued: Collection[bytes] = (),
    exclusive: Sequence[Collection[bytes]] = (),
) -> dict[bytes, bytes]:
    """Return the options, in capitals, each with its value: an empty one for a flag, the last of those repeated.

    Raises `CommandError` for an option that is neither in ``flags`` nor in ``valued``, for a value that is missing, and
    for more than one option of a group in ``exclusive``.

    >>> read_options([b"ex", b"10", b"NX"], flags=[b"NX", b"XX"], valued=[b"EX", b"PX"])
    {b'EX': b'10', b'NX': b''}
    """
    options: dict[bytes, bytes] = {}
    rest = iter(args)
    for arg in rest:
        option = arg.upper()
        if option in flags:
            options[option] = b""
        elif option in valued:
            value = next(rest, None)
            require(value is not None)
            options[option] = value or b""
        else:
            raise CommandError(SYNTAX_ERROR)
    for group in exclusive:
        require(sum(option in options for option in group) <= 1)
    return options


def require(condition: bool) -> None:
    """Raise `CommandError` with Redis's syntax error unless the condition holds."""
    if not condition:
        raise CommandError(SYNTAX_ERROR)
