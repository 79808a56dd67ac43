"""CLIENT: who is connected, under what name, and the end of it."""

from __future__ import annotations

import time
from collections.abc import Callable

from common.errors import (
    CLIENT_ID_TOO_LOW,
    INVALID_CLIENT_ID,
    INVALID_CLIENT_NAME,
    NO_SUCH_CLIENT,
    SYNTAX_ERROR,
    CommandError,
    no_such_user,
    unknown_client_option,
    unknown_client_type,
)
from common.replies import NO_REPLY, OK, ErrorReply, Lines, Reply
from server.args.integers import parse_integer
from server.args.options import read_options, require
from server.clients.registry import Client
from server.commands.connection import checked_name
from server.commands.subcommands import Subcommands
from server.registry import CommandGroup
from server.session.session import Session

group = CommandGroup("connection")

NORMAL = b"normal"
KINDS = (NORMAL, b"master", b"replica", b"slave", b"pubsub")
"""The kinds of clients that Redis has; here all are normal."""

USER = b"default"
"""The only user, who is everybody."""


@group.session(
    "CLIENT ID | GETNAME | SETNAME | SETINFO | LIST | INFO | KILL | REPLY | NO-EVICT | NO-TOUCH | HELP [argument ...]",
    "Tell of this connection and the others, name them, end them.",
)
def client(session: Session, subcommand: bytes, *args: bytes) -> Reply:
    return _SUBCOMMANDS.run(session, subcommand, *args)


def _help(session: Session) -> Reply:
    return Lines(
        [
            b"CLIENT ID: this connection's number.",
            b"CLIENT GETNAME, CLIENT SETNAME name: this connection's name.",
            b"CLIENT SETINFO LIB-NAME | LIB-VER value: the library that made this connection.",
            b"CLIENT LIST [TYPE NORMAL] [ID number ...], CLIENT INFO: a line a connection.",
            b"CLIENT KILL address, CLIENT KILL [ID number] [ADDR address] [LADDR address] [SKIPME YES | NO]: end them.",
            b"CLIENT REPLY ON | OFF | SKIP: whether this connection is answered.",
            b"CLIENT NO-EVICT ON | OFF, CLIENT NO-TOUCH ON | OFF: accepted, and without effect.",
        ]
    )


def _id(session: Session) -> Reply:
    return session.client.number


def _get_name(session: Session) -> Reply:
    return session.client.name or None


def _set_name(session: Session, name: bytes) -> Reply:
    session.client.name = checked_name(name)
    return OK


def _set_info(session: Session, attribute: bytes, value: bytes) -> Reply:
    match attribute.upper():
        case b"LIB-NAME":
            session.client.library_name = _checked_info(attribute, value)
        case b"LIB-VER":
            session.client.library_version = _checked_info(attribute, value)
        case _:
            raise CommandError(unknown_client_option(attribute))
    return OK


def _checked_info(attribute: bytes, value: bytes) -> bytes:
    try:
        return checked_name(value)
    except CommandError:
        text = INVALID_CLIENT_NAME.text.replace(b"Client names", attribute)
        raise CommandError(type(INVALID_CLIENT_NAME)(text)) from None


def _info(session: Session) -> Reply:
    return Lines([_line(session.client)])


def _list(session: Session, *args: bytes) -> Reply:
    clients = session.context.clients.all()
    match [arg.upper() for arg in args[:1]]:
        case []:
            pass
        case [b"TYPE"] if len(args) == 2:
            clients = clients if _kind(args[1]) == NORMAL else []
        case [b"ID"] if len(args) > 1:
            numbers = {_number(arg, INVALID_CLIENT_ID) for arg in args[1:]}
            clients = [each for each in clients if each.number in numbers]
        case _:
            raise CommandError(SYNTAX_ERROR)
    return Lines([_line(each) for each in clients])


def _kind(arg: bytes) -> bytes:
    """Return a kind of clients in small letters. Raises `CommandError` where Redis has no such."""
    kind = arg.lower()
    if kind not in KINDS:
        raise CommandError(unknown_client_type(arg))
    return kind


def _number(arg: bytes, error: ErrorReply) -> int:
    try:
        return parse_integer(arg)
    except CommandError:
        raise CommandError(error) from None


def _line(client: Client) -> bytes:
    """Describe a connection as Redis's CLIENT LIST does, in the fields that mean something here."""
    now = time.perf_counter_ns()
    fields = {
        "id": client.number,
        "addr": client.address,
        "laddr": client.local_address,
        "name": client.name.decode(),
        "age": (now - client.connected) // 10**9,
        "idle": (now - client.active) // 10**9,
        "flags": "N",
        "db": 0,
        "multi": client.queued,
        "watch": client.watching,
        "cmd": client.command.name.decode().lower() if client.command else "NULL",
        "user": "default",
        "lib-name": client.library_name.decode(),
        "lib-ver": client.library_version.decode(),
        "resp": client.resp,
    }
    return " ".join(f"{name}={value}" for name, value in fields.items()).encode()


def _kill(session: Session, arg: bytes, *args: bytes) -> Reply:
    if not args:
        return _kill_address(session, arg)
    options = read_options((arg, *args), valued=(b"ID", b"ADDR", b"LADDR", b"SKIPME", b"TYPE", b"USER"))
    skip = options.get(b"SKIPME", b"yes").lower()
    require(skip in (b"yes", b"no"))
    wanted = _filter(options)
    killed = [
        each for each in session.context.clients.all() if wanted(each) and (skip == b"no" or each is not session.client)
    ]
    for each in killed:
        _end(session, each)
    return len(killed)


def _filter(options: dict[bytes, bytes]) -> Callable[[Client], bool]:
    number = _number(options[b"ID"], CLIENT_ID_TOO_LOW) if b"ID" in options else None
    if number is not None and number <= 0:
        raise CommandError(CLIENT_ID_TOO_LOW)
    address, local = options.get(b"ADDR"), options.get(b"LADDR")
    kind = _kind(options.get(b"TYPE", NORMAL))
    user = options.get(b"USER", USER)
    if user != USER:
        raise CommandError(no_such_user(user))

    def wanted(client: Client) -> bool:
        return (
            number in (None, client.number)
            and address in (None, client.address.encode())
            and local in (None, client.local_address.encode())
            and kind == NORMAL
        )

    return wanted


def _kill_address(session: Session, address: bytes) -> Reply:
    for each in session.context.clients.all():
        if each.address.encode() == address:
            _end(session, each)
            return OK
    raise CommandError(NO_SUCH_CLIENT)


def _end(session: Session, client: Client) -> None:
    if client is session.client:
        session.closing = True  # so that this very reply is still sent
    elif client.peer is not None:
        client.peer.kill()


def _reply(session: Session, mode: bytes) -> Reply:
    match mode.upper():
        case b"ON":
            session.speak()
            return OK
        case b"OFF":
            session.be_silent()
        case b"SKIP":
            session.be_silent(once=True)
        case _:
            raise CommandError(SYNTAX_ERROR)
    return NO_REPLY


def _accept_switch(session: Session, mode: bytes) -> Reply:
    require(mode.upper() in (b"ON", b"OFF"))
    return OK


_SUBCOMMANDS = Subcommands(
    b"CLIENT",
    {
        b"HELP": _help,
        b"ID": _id,
        b"GETNAME": _get_name,
        b"SETNAME": _set_name,
        b"SETINFO": _set_info,
        b"INFO": _info,
        b"LIST": _list,
        b"KILL": _kill,
        b"REPLY": _reply,
        b"NO-EVICT": _accept_switch,
        b"NO-TOUCH": _accept_switch,
    },
)
