"""Commands about the connection itself."""

from __future__ import annotations

from common import __version__
from common.replies import OK, PONG, Reply
from server.errors import PROTOCOL_NOT_A_NUMBER, SYNTAX_ERROR, UNSUPPORTED_PROTOCOL, CommandError
from server.integers import parse_integer
from server.registry import Group
from server.session import Session

group = Group("connection")


@group.session("PING [message]", "Answer PONG, or the message.")
def ping(session: Session, message: bytes | None = None) -> Reply:
    return PONG if message is None else message


@group.session("ECHO message", "Answer the message.")
def echo(session: Session, message: bytes) -> Reply:
    return message


@group.session("HELLO [protover]", "Agree on the version of RESP, 2 or 3, and describe the server.")
def hello(session: Session, protover: bytes | None = None, *options: bytes) -> Reply:
    if options:
        raise CommandError(SYNTAX_ERROR)
    if protover is not None:
        session.use_resp(_version(protover))
    return {
        b"server": b"kvline",
        b"version": __version__.encode(),
        b"proto": session.resp_version,
        b"id": session.number,
        b"mode": b"standalone",
        b"role": b"master",
        b"modules": [],
    }


def _version(word: bytes) -> int:
    try:
        version = parse_integer(word)
    except CommandError:
        raise CommandError(PROTOCOL_NOT_A_NUMBER) from None
    if version not in (2, 3):
        raise CommandError(UNSUPPORTED_PROTOCOL)
    return version


@group.session("QUIT", "Close the connection; nothing that was sent after it runs.", immediate=True)
def quit_(session: Session) -> Reply:
    session.closing = True
    return OK


@group.session("DISCONNECT", "Close the connection; nothing that was sent after it runs.", immediate=True)
def disconnect(session: Session) -> Reply:
    return quit_(session)
