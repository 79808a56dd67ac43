"""Records: what a change of the keyspace did, as a request that does it again.

    SET key value [PXAT milliseconds]   the key has this value, and this expiry or none
    SETRANGE key offset part            APPEND and SETRANGE changed a part of the value
    PEXPIREAT key milliseconds          the key has another expiry
    PERSIST key                         it has none
    DEL key                             it was deleted, or it expired
    FLUSHDB                             every key of the database was removed
    SWAPDB index index                  two databases have exchanged their contents
    SELECT index                        the records that follow apply to another database

A record says what a change did, not which command did it, so replaying it twice is the same as replaying it once,
except for SWAPDB (see `server.engines.log.rewrite`). Every Redis and every kvline understands all of them, so a log can
be sent to any server. A batch begins and ends in database 0. Logs that are older than databases have FLUSHALL for
FLUSHDB.

A record is a line of text if its arguments are printable and not long, otherwise a RESP request. The text is what a
person can read and repair; RESP takes any bytes without escapes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from common.codec import Args
from common.limits import KIB
from common.resp import bulk_header
from common.text import format_command
from server.engines.log.trailer import TRAILER_LINE
from server.keyspace.store import Store

Record: TypeAlias = tuple[bytes, ...]

MAX_LINE = 32 * KIB
"""Bytes of the arguments of a record that is written as text. A line must stay below a server's ``--max-line``."""

CHUNK = 256
"""Records that are encoded at a time."""

_PLAIN = re.compile(rb"(?:[!#-&)-~][!#-&(-~]*+[ \n])*+")
"""Lines of arguments that need no quotes. See `common.text`."""


class NotARecord(ValueError):
    """A request in a log that is not one of the records above."""


def select_record(database: int) -> Record:
    """Return the record after which others apply to a database."""
    return (b"SELECT", b"%d" % database)


def in_database(database: int, records: Sequence[Record]) -> Sequence[Record]:
    """Return a batch of records that apply to a database."""
    return [select_record(database), *records, select_record(0)] if database else records


# ---------------------------------------------------------------- encoding


def encode(records: Sequence[Record]) -> Iterator[bytes]:
    """Encode records, in pieces."""
    for at in range(0, len(records), CHUNK):
        chunk = records[at : at + CHUNK]
        plain = _encode_plain(chunk)
        if plain is not None:
            yield plain
        else:
            for record in chunk:
                yield from _encode_one(record)


def _encode_plain(chunk: Sequence[Record]) -> bytes | None:
    """Encode records whose arguments all need no quotes. Return None if one does.

    Looking at the lines as a whole takes a third of the time of looking at each argument.
    """
    # The longest argument is the third one, if there are so many: a value.
    if any([len(record) > 2 and len(record[2]) > MAX_LINE for record in chunk]):  # noqa: C419  # faster than a generator
        return None
    lines = b"\n".join(map(b" ".join, chunk)) + b"\n"
    # As many blanks and line breaks as were put in: no argument contains one. Then the parts are the arguments.
    blanks = sum(map(len, chunk)) - len(chunk)
    if lines.count(b"\n") != len(chunk) or lines.count(b" ") != blanks or not _PLAIN.fullmatch(lines):
        return None
    return lines if len(lines) <= MAX_LINE or max(map(len, lines.split(b"\n"))) <= MAX_LINE else None


def _encode_one(record: Record) -> Iterator[bytes]:
    is_long = sum(map(len, record)) > MAX_LINE
    if (not is_long and all(map(_is_printable, record))) or any(
        b"# " in argument and TRAILER_LINE.search(argument) for argument in record
    ):
        yield format_command(record) + b"\n"
    else:
        yield b"*%d\r\n" % len(record)
        for argument in record:
            yield bulk_header(len(argument)) + b"\r\n"
            yield argument  # not copied, because it may have half a gigabyte
            yield b"\r\n"


def _is_printable(argument: bytes) -> bool:
    try:
        return argument.decode().isprintable()
    except UnicodeDecodeError:
        return False


# ---------------------------------------------------------------- replay


def apply(store: Store, args: Args) -> None:
    """Repeat what a record did. The step of the store must be at time 0, so that nothing expires.

    Raises `NotARecord`.
    """
    try:
        _REPLAY[args[0]](store, *args[1:])
    except (KeyError, TypeError, ValueError):
        raise NotARecord from None


def _set(store: Store, key: bytes, value: bytes, option: bytes = b"", time: bytes = b"") -> None:
    if option not in (b"", b"PXAT"):
        raise NotARecord
    store.set(key, value, int(time) if option else None)


def _set_range(store: Store, key: bytes, offset: bytes, part: bytes) -> None:
    store.write_range(key, int(offset), part)


def _expire_at(store: Store, key: bytes, time: bytes) -> None:
    # The key may be missing: a snapshot has what came after the rotation, perhaps the deletion of the key.
    if key in store:
        store.expire_at(key, int(time))


def _persist(store: Store, key: bytes) -> None:
    if key in store:
        store.persist(key)


def _flush(store: Store) -> None:
    store.clear().free()


def _flush_all(store: Store) -> None:
    for each in store.all():
        each.clear().free()


def _swap(store: Store, first: bytes, second: bytes) -> None:
    store.databases.swap(store.other(int(first)).index, store.other(int(second)).index)


_REPLAY: dict[bytes, Callable[..., Any]] = {
    b"SET": _set,
    b"SETRANGE": _set_range,
    b"PEXPIREAT": _expire_at,
    b"PERSIST": _persist,
    b"DEL": Store.delete,
    b"FLUSHDB": _flush,
    b"FLUSHALL": _flush_all,
    b"SWAPDB": _swap,
}
