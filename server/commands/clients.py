"""CLIENT: who is connected, under what name, and the end of it."""

from __future__ import annotations

import time
from collections.abc import Callable

from common.replies import NO_REPLY, OK, Block, Reply
from server.clients import Client
from server.commands.connection import checked_name
from server.errors import (
    INVALID_CLIENT_NAME,
    NO_SUCH_CLIENT,
    SYNTAX_ERROR,
    CommandError,
    unknown_client_option,
    unknown_subcommand,
    wrong_arity,
)
from server.integers import parse_integer
from server.options import read_options, require
from server.registry import Group
from server.session import Session

group = Group("connection")


@group.session(
    "CLIENT ID | GETNAME | SETNAME | SETINFO | LIST | INFO | KILL | REPLY | NO-EVICT | NO-TOUCH | HELP [argument ...]",
    "Tell of this connection and the others, name them, end them.",
)
def client(session: Session, subcommand: bytes, *words: bytes) -> Reply:
    entry = _SUBCOMMANDS.get(subcommand.upper())
    if entry is None:
        raise CommandError(unknown_subcommand(b"CLIENT", subcommand))
    fewest, most, function = entry
    if not fewest <= len(words) <= most:
        raise CommandError(wrong_arity(b"client|" + subcommand))
    return function(session, *words)


def _help(session: Session) -> Reply:
    return Block(
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
    return Block([_line(session.client)])


def _list(session: Session, *words: bytes) -> Reply:
    clients = session.instance.clients.all()
    match [word.upper() for word in words[:1]]:
        case []:
            pass
        case [b"TYPE"] if len(words) == 2 and words[1].lower() in (b"normal", b"master", b"replica", b"pubsub"):
            clients = clients if words[1].lower() == b"normal" else []
        case [b"ID"] if len(words) > 1:
            numbers = set(map(parse_integer, words[1:]))
            clients = [each for each in clients if each.number in numbers]
        case _:
            raise CommandError(SYNTAX_ERROR)
    return Block([_line(each) for each in clients])


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


def _kill(session: Session, *words: bytes) -> Reply:
    if len(words) == 1:
        return _kill_address(session, words[0])
    options = read_options(words, valued=(b"ID", b"ADDR", b"LADDR", b"SKIPME", b"TYPE", b"USER"))
    skip = options.get(b"SKIPME", b"yes").lower()
    require(skip in (b"yes", b"no"))
    wanted = _filter(options)
    killed = [
        each
        for each in session.instance.clients.all()
        if wanted(each) and (skip == b"no" or each is not session.client)
    ]
    for each in killed:
        _end(session, each)
    return len(killed)


def _filter(options: dict[bytes, bytes]) -> Callable[[Client], bool]:
    number = parse_integer(options[b"ID"]) if b"ID" in options else None
    address, local = options.get(b"ADDR"), options.get(b"LADDR")
    kind, user = options.get(b"TYPE", b"normal").lower(), options.get(b"USER", b"default")

    def wanted(client: Client) -> bool:
        return (
            number in (None, client.number)
            and address in (None, client.address.encode())
            and local in (None, client.local_address.encode())
            and kind == b"normal"
            and user == b"default"
        )

    return wanted


def _kill_address(session: Session, address: bytes) -> Reply:
    for each in session.instance.clients.all():
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


_SUBCOMMANDS: dict[bytes, tuple[int, int, Callable[..., Reply]]] = {
    b"HELP": (0, 0, _help),
    b"ID": (0, 0, _id),
    b"GETNAME": (0, 0, _get_name),
    b"SETNAME": (1, 1, _set_name),
    b"SETINFO": (2, 2, _set_info),
    b"INFO": (0, 0, _info),
    b"LIST": (0, 2**20, _list),
    b"KILL": (1, 2**20, _kill),
    b"REPLY": (1, 1, _reply),
    b"NO-EVICT": (1, 1, _accept_switch),
    b"NO-TOUCH": (1, 1, _accept_switch),
}
