"""CLIENT: list, name and close connections."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns

from common.errors import (
    CLIENT_ID_TOO_LOW,
    INVALID_CLIENT_ID,
    INVALID_CLIENT_NAME,
    INVALID_PAUSE_MODE,
    INVALID_UNBLOCK_REASON,
    NO_SUCH_CLIENT,
    SYNTAX_ERROR,
    TIMEOUT_NEGATIVE,
    TIMEOUT_NOT_AN_INTEGER,
    CommandError,
    invalid_client_attribute,
    no_such_user,
    unknown_client_option,
    unknown_client_type,
)
from common.replies import NO_REPLY, OK, ErrorReply, Lines, Reply
from server.args.integers import parse_integer
from server.args.options import parse_options, require
from server.clients.registry import ClientInfo
from server.commands.connection import checked_name
from server.registry import CONTROL, CommandGroup, Flag
from server.session.auth import DEFAULT_USER
from server.session.output import ReplyMode
from server.session.session import Session

group = CommandGroup("connection", "connection")

FLAGS = CONTROL | Flag.NOSCRIPT
ADMIN_FLAGS = FLAGS | Flag.ADMIN

NORMAL = b"normal"
PUBSUB = b"pubsub"
CLIENT_TYPES = (NORMAL, b"master", b"replica", b"slave", PUBSUB)
"""Redis's types of clients. Here every client is a normal one, or one with subscriptions."""

group.container("CLIENT", "Inspect, name or close client connections.", since="2.4.0")


@group.control("CLIENT ID", "Return the ID of this connection.", FLAGS, since="5.0.0")
def client_id(session: Session) -> Reply:
    return session.client.id


@group.control("CLIENT GETNAME", "Return the name of this connection.", FLAGS, since="2.6.9")
def client_getname(session: Session) -> Reply:
    return session.client.name or None  # an empty name is no name: CLIENT SETNAME "" removes it, as in Redis


@group.control("CLIENT SETNAME connection-name", "Set the name of this connection.", FLAGS, since="2.6.9")
def client_setname(session: Session, name: bytes) -> Reply:
    session.client.name = checked_name(name, INVALID_CLIENT_NAME)
    return OK


@group.control(
    "CLIENT SETINFO <LIB-NAME name | LIB-VER version>",
    "Set the client library of this connection.",
    FLAGS,
    since="7.2.0",
)
def client_setinfo(session: Session, attribute: bytes, value: bytes) -> Reply:
    # A command of Redis 7.2, because redis-py 5 and later send it with every new connection.
    match attribute.upper():
        case b"LIB-NAME":
            session.client.library_name = checked_name(value, invalid_client_attribute(attribute))
        case b"LIB-VER":
            session.client.library_version = checked_name(value, invalid_client_attribute(attribute))
        case _:
            raise CommandError(unknown_client_option(attribute))
    return OK


@group.control("CLIENT INFO", "Describe this connection.", FLAGS, since="6.2.0")
def client_info(session: Session) -> Reply:
    return Lines([_describe(session.client)], terminated=True)


@group.control(
    "CLIENT LIST [TYPE type | ID id [id ...]]",
    "Describe connections, one line each.",
    ADMIN_FLAGS,
    since="2.4.0",
    complexity="O(N) where N is the number of connections",
)
def client_list(session: Session, *args: bytes) -> Reply:
    clients = session.context.clients.all()
    match [arg.upper() for arg in args[:1]]:
        case []:
            pass
        case [b"TYPE"] if len(args) == 2:
            kind = _client_type(args[1])
            clients = [each for each in clients if _type_of(each) == kind]
        case [b"ID"] if len(args) > 1:
            # An id that does not exist is no error, and gets no line, as in Redis.
            ids = {_parse_id(arg, INVALID_CLIENT_ID) for arg in args[1:]}
            clients = [each for each in clients if each.id in ids]
        case _:
            raise CommandError(SYNTAX_ERROR)
    return Lines([_describe(each) for each in clients], terminated=True)  # some clients lose a last line without an end


def _type_of(client: ClientInfo) -> bytes:
    return PUBSUB if any(client.subscriptions) else NORMAL


def _client_type(arg: bytes) -> bytes:
    """Return a type of clients in lower case. Raises `CommandError` if Redis has no such type."""
    kind = arg.lower()
    if kind not in CLIENT_TYPES:
        raise CommandError(unknown_client_type(arg))
    return kind


def _parse_id(arg: bytes, error: ErrorReply) -> int:
    try:
        return parse_integer(arg)
    except CommandError:
        raise CommandError(error) from None


def _describe(client: ClientInfo) -> bytes:
    """Describe a connection as Redis's CLIENT LIST does. What is not measured of a connection is 0."""
    # A monotonic clock: ages do not change when the system's time is set. Another thread may be writing to the client,
    # so the fields may be from slightly different times.
    now = perf_counter_ns()
    tracker = client.tracker
    fields = {
        "id": client.id,
        "addr": client.address,
        "laddr": client.local_address,
        "fd": client.fd,
        "name": client.name.decode(),
        "age": (now - client.connected_at) // 10**9,
        # This command counts, so a connection that asks about itself is not idle.
        "idle": (now - client.active_at) // 10**9,
        "flags": _flags(client),
        "db": client.database,
        "sub": client.subscriptions.channels,
        "psub": client.subscriptions.patterns,
        "ssub": client.subscriptions.shard_channels,
        "multi": client.multi_commands,
        "watch": client.watched_keys,
        # Bytes in the buffers of the connection, which belong to the thread that serves it: not measured.
        "qbuf": 0,
        "qbuf-free": 0,
        "argv-mem": 0,
        "multi-mem": client.multi_bytes,
        "rbs": 0,
        "rbp": 0,
        "obl": 0,
        "oll": 0,
        "omem": 0,
        "tot-mem": 0,
        "events": "r",
        "cmd": client.last_command.name.decode().lower() if client.last_command else "NULL",
        "user": "default",
        "redir": -1 if tracker is None else tracker.options.redirect,
        "resp": client.protocol_version,
        "lib-name": client.library_name.decode(),
        "lib-ver": client.library_version.decode(),
    }
    return " ".join(f"{name}={value}" for name, value in fields.items()).encode()


def _flags(client: ClientInfo) -> str:
    """Return Redis's letters, in its order. N is for none of the others.

    O is for MONITOR, P for subscriptions, x for an open transaction, t for tracking, R for a redirection to a client
    that has disconnected, B for BCAST, U for a Unix socket.
    """
    tracker = client.tracker  # read once: its own thread may clear it
    letters = {
        "O": client.is_monitoring,
        "P": any(client.subscriptions),
        "x": client.multi_commands >= 0,
        "t": tracker is not None,
        "R": tracker is not None and tracker.is_broken,
        "B": tracker is not None and tracker.options.broadcast,
        "U": client.has_unix_socket,
    }
    return "".join(letter for letter, is_set in letters.items() if is_set) or "N"


@group.control(
    "CLIENT KILL <ip:port | [ID id] [TYPE type] [USER user] [ADDR ip:port] [LADDR ip:port] [SKIPME yes/no]>",
    "Close connections; return how many, or OK if the address alone is given.",
    ADMIN_FLAGS,
    since="2.4.0",
    complexity="O(N) where N is the number of connections",
)
def client_kill(session: Session, arg: bytes, *args: bytes) -> Reply:
    # The form of Redis before 2.8.12. It replies OK or an error, the form with filters replies the number of clients.
    if not args:
        return _kill_address(session, arg)
    options = parse_options((arg, *args), valued=(b"ID", b"ADDR", b"LADDR", b"SKIPME", b"TYPE", b"USER"))
    skip_me = options.get(b"SKIPME", b"yes").lower()
    require(skip_me in (b"yes", b"no"))
    # Every filter is checked before the first client is killed.
    matches = _filter(options)
    killed = [
        each
        for each in session.context.clients.all()
        if matches(each) and (skip_me == b"no" or each is not session.client)
    ]
    # A killed client is deregistered later, by its own thread, so the number is that of the clients found.
    for each in killed:
        _kill(session, each)
    return len(killed)


def _filter(options: dict[bytes, bytes]) -> Callable[[ClientInfo], bool]:
    id_ = _parse_id(options[b"ID"], CLIENT_ID_TOO_LOW) if b"ID" in options else None
    # Redis 7 has the same text for an id that is not a number as for one that is not positive.
    if id_ is not None and id_ <= 0:
        raise CommandError(CLIENT_ID_TOO_LOW)
    address, local = options.get(b"ADDR"), options.get(b"LADDR")
    kind = _client_type(options[b"TYPE"]) if b"TYPE" in options else None
    # Redis refuses a user that does not exist, instead of matching nothing.
    user = options.get(b"USER", DEFAULT_USER)
    if user != DEFAULT_USER:
        raise CommandError(no_such_user(user))

    def matches(client: ClientInfo) -> bool:
        return (
            id_ in (None, client.id)
            and address in (None, client.address.encode())
            and local in (None, client.local_address.encode())
            and kind in (None, _type_of(client))
        )

    return matches


def _kill_address(session: Session, address: bytes) -> Reply:
    # This form may kill its own connection: SKIPME is for the form with filters (Redis's CLIENT KILL documentation).
    for each in session.context.clients.all():
        if each.address.encode() == address:
            _kill(session, each)
            return OK
    raise CommandError(NO_SUCH_CLIENT)


def _kill(session: Session, client: ClientInfo) -> None:
    if client is session.client:
        session.closing = True  # so that the reply to this command is still sent
    elif (transport := client.transport) is not None:  # read once: its own thread clears it
        client.is_killed = True
        transport.kill()
        session.context.pause.wake()  # its request, which is refused


@group.control("CLIENT REPLY <ON | OFF | SKIP>", "Turn replies on or off, or skip the next one.", FLAGS, since="3.2.0")
def client_reply(session: Session, mode: bytes) -> Reply:
    match mode.upper():
        case b"ON":
            session.set_reply_mode(ReplyMode.ON)
            return OK  # the only mode with a reply of its own
        case b"OFF":
            session.set_reply_mode(ReplyMode.OFF)
        case b"SKIP":
            # As in Redis: SKIP does not end OFF, otherwise the request after the next one would get a reply.
            if session.reply_mode is not ReplyMode.OFF:
                session.set_reply_mode(ReplyMode.SKIP_NEXT)
        case _:
            raise CommandError(SYNTAX_ERROR)
    return NO_REPLY


@group.control(
    "CLIENT PAUSE timeout [WRITE | ALL]",
    "Let the requests of all clients wait for so many milliseconds, or those that write.",
    ADMIN_FLAGS,
    since="2.9.50",
)
def client_pause(session: Session, timeout: bytes, mode: bytes = b"ALL") -> Reply:
    # Parsed in the order of `clientCommand`: the mode first.
    if mode.upper() not in (b"WRITE", b"ALL"):
        raise CommandError(INVALID_PAUSE_MODE)
    try:
        milliseconds = parse_integer(timeout)
    except CommandError:
        raise CommandError(TIMEOUT_NOT_AN_INTEGER) from None
    if milliseconds < 0:
        raise CommandError(TIMEOUT_NEGATIVE)
    session.context.pause.begin(milliseconds / 1000, writes_only=mode.upper() == b"WRITE")
    return OK


@group.control(
    "CLIENT UNPAUSE",
    "End the pause of CLIENT PAUSE.",
    ADMIN_FLAGS,
    since="6.2.0",
    complexity="O(N) where N is the number of requests that wait",
)
def client_unpause(session: Session) -> Reply:
    session.context.pause.end()
    return OK


@group.control(
    "CLIENT UNBLOCK client-id [TIMEOUT | ERROR]",
    "Return 0, because no command of a client waits for another client.",
    ADMIN_FLAGS,
    types={"client-id": "integer"},
    since="5.0.0",
)
def client_unblock(session: Session, client_id: bytes, reason: bytes = b"TIMEOUT") -> Reply:
    # Parsed in the order of `clientCommand`: the reason first.
    if reason.upper() not in (b"TIMEOUT", b"ERROR"):
        raise CommandError(INVALID_UNBLOCK_REASON)
    parse_integer(client_id)
    return 0


@group.control(
    "CLIENT NO-EVICT <ON | OFF>", "Accepted without effect: no client is evicted.", ADMIN_FLAGS, since="7.0.0"
)
def client_no_evict(session: Session, mode: bytes) -> Reply:
    require(mode.upper() in (b"ON", b"OFF"))
    return OK


@group.control(
    "CLIENT NO-TOUCH <ON | OFF>",
    "Let no command except TOUCH count as a use of its keys.",
    FLAGS,
    since="7.2.0",
)
def client_no_touch(session: Session, mode: bytes) -> Reply:
    require(mode.upper() in (b"ON", b"OFF"))
    session.client.call.no_touch = mode.upper() == b"ON"
    return OK
