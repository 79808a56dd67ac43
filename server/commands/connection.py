"""Commands on the connection itself. CLIENT, which also shows the others, is in `client`."""

from __future__ import annotations

from common import REDIS_VERSION, __version__
from common.errors import (
    HELLO_NOT_AUTHENTICATED,
    INVALID_CLIENT_NAME,
    NO_PASSWORD,
    PROTOCOL_NOT_A_NUMBER,
    UNSUPPORTED_PROTOCOL,
    CommandError,
    invalid_hello_option,
    name_too_long,
    wrong_arity,
)
from common.replies import OK, PONG, ErrorReply, Reply, SimpleString
from server.args.integers import parse_int, parse_integer
from server.args.options import require
from server.registry import CONTROL, CommandGroup, Flag
from server.session.auth import DEFAULT_USER
from server.session.session import Session

group = CommandGroup("connection", "connection")

FAST_CONTROL = CONTROL | Flag.FAST
MAX_NAME_SIZE = 1024
"""Bytes of a name that a client gives itself or its library. Every CLIENT LIST contains the names of all clients."""

BEFORE_AUTH = FAST_CONTROL | Flag.NOSCRIPT | Flag.NO_AUTH | Flag.ALLOW_BUSY
"""The flags of commands that a client may send before it has authenticated."""

ALWAYS = BEFORE_AUTH | Flag.NOT_QUEUED | Flag.WHILE_SUBSCRIBED
"""The flags of commands that end a state of the connection, whatever that is."""


@group.control("PING [message]", "Return PONG, or the message.", Flag.FAST | Flag.WHILE_SUBSCRIBED, since="1.0.0")
def ping(session: Session, *args: bytes) -> Reply:
    # Checked here and not by the table, as in Redis: MULTI queues a PING with too many arguments.
    if len(args) > 1:
        raise CommandError(wrong_arity(b"ping"))
    if session.is_restricted:
        return [b"pong", *(args or (b"",))]  # in the form of a message, as in Redis
    return args[0] if args else PONG


@group.control("ECHO message", "Return the message.", FAST_CONTROL, since="1.0.0")
def echo(session: Session, message: bytes) -> Reply:
    return message


@group.control("SELECT index", "Select the database of this connection.", FAST_CONTROL | Flag.SELECTS, since="1.0.0")
def select(session: Session, index: bytes) -> Reply:
    session.select(parse_int(index))
    return OK


@group.control(
    "AUTH [username] password",
    "Authenticate with the server's password.",
    BEFORE_AUTH | Flag.SENSITIVE,
    since="1.0.0",
    complexity="O(N) where N is the length of the password",
)
def auth(session: Session, arg: bytes, *more: bytes) -> Reply:
    require(len(more) <= 1)
    # An error only in the old form, without a user name, as in Redis (`authCommand`).
    if not more and not session.context.auth.required:
        raise CommandError(NO_PASSWORD)
    user, password = (arg, *more) if more else (DEFAULT_USER, arg)
    session.authenticate(user, password)
    return OK


@group.control(
    "HELLO [protover [AUTH username password] [SETNAME clientname]]",
    "Negotiate the version of RESP, 2 or 3, and describe the server.",
    BEFORE_AUTH | Flag.SENSITIVE,
    since="6.0.0",
)
def hello(session: Session, protover: bytes | None = None, *args: bytes) -> Reply:
    # Everything is parsed before anything is changed. Redis 7.0 keeps the name of a HELLO that fails in a later option.
    version = session.client.protocol_version if protover is None else _parse_version(protover)
    login, name = _parse_hello_options(args)
    if name is not None:
        checked_name(name, INVALID_CLIENT_NAME)
    if login is not None:
        session.authenticate(*login)
    if session.must_authenticate():
        raise CommandError(HELLO_NOT_AUTHENTICATED)
    if name is not None:
        session.client.name = name
    # Before the reply is encoded: the reply to HELLO is in the new version already, as in Redis.
    session.set_protocol_version(version)
    return {
        b"server": b"kvline",
        b"version": REDIS_VERSION.encode(),
        b"kvline_version": __version__.encode(),
        b"proto": version,
        b"id": session.client.id,
        b"mode": b"standalone",
        b"role": b"master",
        b"modules": [],
    }


def _parse_version(arg: bytes) -> int:
    try:
        # Two errors, as in Redis. Only a version that is a number gets NOPROTO, which means "try another one".
        version = parse_integer(arg)
    except CommandError:
        raise CommandError(PROTOCOL_NOT_A_NUMBER) from None
    if version not in (2, 3):
        raise CommandError(UNSUPPORTED_PROTOCOL)
    return version


def _parse_hello_options(args: tuple[bytes, ...]) -> tuple[tuple[bytes, bytes] | None, bytes | None]:
    """Return the user name with the password, and the client's name, None if missing. Raises `CommandError`."""
    login: tuple[bytes, bytes] | None = None
    name: bytes | None = None
    rest = iter(args)
    for arg in rest:
        match arg.upper(), next(rest, None):
            case b"SETNAME", bytes() as name:
                pass
            case b"AUTH", bytes() as user if (password := next(rest, None)) is not None:
                login = user, password
            case _:  # unknown, or without its value
                raise CommandError(invalid_hello_option(arg))
    return login, name


def checked_name(name: bytes, error: ErrorReply) -> bytes:
    """Return a name if it is printable ASCII without blanks. Otherwise raise `CommandError` with this error.

    It is also raised for a name that is longer than `MAX_NAME_SIZE`.
    """
    if len(name) > MAX_NAME_SIZE:
        raise CommandError(name_too_long(MAX_NAME_SIZE))
    # As in Redis (`clientSetNameOrReply`): a blank or a line break would add fields or lines to CLIENT LIST.
    if not all(ord("!") <= byte <= ord("~") for byte in name):
        raise CommandError(error)
    return name


@group.control("RESET", "Return to the state of a new connection.", ALWAYS, since="6.2.0")
def reset(session: Session) -> Reply:
    session.reset()
    return SimpleString(b"RESET")


@group.control(
    "QUIT",
    "Close the connection; nothing that was sent after it is executed.",
    ALWAYS,
    since="1.0.0",
)
def quit_(session: Session, *_: bytes) -> Reply:  # any arguments, as in Redis
    session.closing = True  # the reply is still sent
    return OK


@group.control(
    "DISCONNECT",
    "Close the connection; nothing that was sent after it is executed.",
    ALWAYS,
    since="0.1.0",
)
def disconnect(session: Session) -> Reply:
    return quit_(session)
