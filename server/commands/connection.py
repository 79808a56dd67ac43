"""Commands about the connection itself. CLIENT, which also tells of the others, is in `clients`."""

from __future__ import annotations

from common import __version__
from common.errors import (
    DATABASE_OUT_OF_RANGE,
    INVALID_CLIENT_NAME,
    NO_PASSWORD,
    PROTOCOL_NOT_A_NUMBER,
    UNSUPPORTED_PROTOCOL,
    CommandError,
    invalid_hello_option,
)
from common.replies import OK, PONG, Reply, SimpleString
from server.args.integers import parse_integer
from server.args.options import require
from server.registry import CommandGroup
from server.session.session import Session

group = CommandGroup("connection")


@group.session("PING [message]", "Answer PONG, or the message.")
def ping(session: Session, message: bytes | None = None) -> Reply:
    return PONG if message is None else message


@group.session("ECHO message", "Answer the message.")
def echo(session: Session, message: bytes) -> Reply:
    return message


@group.session("SELECT index", "Use a database; 0 is the only one.")
def select(session: Session, index: int) -> Reply:
    if index:
        raise CommandError(DATABASE_OUT_OF_RANGE)
    return OK


@group.session("AUTH [username] password", "Be refused, since there is no password.")
def auth(session: Session, arg: bytes, *more: bytes) -> Reply:
    require(len(more) <= 1)
    raise CommandError(NO_PASSWORD)


@group.session(
    "HELLO [protover [AUTH username password] [SETNAME clientname]]",
    "Agree on the version of RESP, 2 or 3, and describe the server.",
)
def hello(session: Session, protover: bytes | None = None, *args: bytes) -> Reply:
    version = session.resp_version if protover is None else _version(protover)
    name = _hello_name(args)
    if name is not None:
        session.client.name = checked_name(name)
    session.use_resp(version)
    return {
        b"server": b"kvline",
        b"version": __version__.encode(),
        b"proto": session.resp_version,
        b"id": session.client.number,
        b"mode": b"standalone",
        b"role": b"master",
        b"modules": [],
    }


def _version(arg: bytes) -> int:
    try:
        version = parse_integer(arg)
    except CommandError:
        raise CommandError(PROTOCOL_NOT_A_NUMBER) from None
    if version not in (2, 3):
        raise CommandError(UNSUPPORTED_PROTOCOL)
    return version


def _hello_name(args: tuple[bytes, ...]) -> bytes | None:
    """Return the name that HELLO's options give. Raises `CommandError`, for AUTH too."""
    name: bytes | None = None
    rest = iter(args)
    for arg in rest:
        match arg.upper(), next(rest, None):
            case b"SETNAME", bytes() as name:
                pass
            case b"AUTH", bytes() if next(rest, None) is not None:
                raise CommandError(NO_PASSWORD)
            case _:
                raise CommandError(invalid_hello_option(arg))
    return name


def checked_name(name: bytes) -> bytes:
    """Return a client's name if it may be one: printable ASCII without blanks. Raises `CommandError`."""
    if not all(ord("!") <= byte <= ord("~") for byte in name):
        raise CommandError(INVALID_CLIENT_NAME)
    return name


@group.session("RESET", "Return to the state of a new connection.", immediate=True)
def reset(session: Session) -> Reply:
    session.reset()
    return SimpleString(b"RESET")


@group.session("QUIT", "Close the connection; nothing that was sent after it runs.", immediate=True)
def quit_(session: Session) -> Reply:
    session.closing = True
    return OK


@group.session("DISCONNECT", "Close the connection; nothing that was sent after it runs.", immediate=True)
def disconnect(session: Session) -> Reply:
    return quit_(session)
