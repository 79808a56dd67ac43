"""MIGRATE: move keys to another server, or copy them with COPY.

Redis stops for all clients meanwhile. Here the keyspace lock is held only to read the keys and, when the target has
them, to delete them. So other clients can change a key in between. Such a key is kept, and MIGRATE replies an error:
nothing is lost, and the client can repeat it with REPLACE. Keys are migrated in groups of `KEYS_AT_ONCE`, each of which
is read at one point in time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from common.codec import Args
from common.errors import CHANGED_DURING_MIGRATE, KEY_AND_KEYS, CommandError, target_error
from common.replies import OK, SimpleString
from server.args.integers import parse_integer
from server.args.options import require
from server.keyspace.store import Store
from server.rdb.payload import dump
from server.registry import REDACTED, TAKE, CommandGroup, Flag, KeySpec, Stages
from server.target import Target

group = CommandGroup("generic", "keyspace")

KEYS_AT_ONCE = 100
"""Keys that are read, sent and deleted together. Their replies fit into the buffers of every target."""

DEFAULT_TIMEOUT = 1000
"""Milliseconds for which a timeout of 0 or less stands, as in Redis."""

MAX_TIMEOUT = 3600 * 1000
"""Milliseconds that a longer timeout becomes. `socket` refuses some of them."""

NO_KEY = SimpleString(b"NOKEY")

FIRST_OPTION = 6
"""The place of the first option among the arguments, with the command's name."""

LOGIN_ARGUMENTS = {b"AUTH": 1, b"AUTH2": 2}
"""How many arguments follow each option: a password, or a user name and a password."""


@dataclass(slots=True)
class _Options:
    """The options of a request."""

    keys: Sequence[bytes]
    copy: bool = False
    replace: bool = False
    login: Args | None = None
    """The arguments of AUTH, if there are any."""


def _parse(key: bytes, args: Sequence[bytes]) -> _Options:
    """Parse the options. Raises `CommandError`."""
    options = _Options([key])
    rest = iter(args)
    for arg in rest:
        match arg.upper():
            case b"COPY":
                options.copy = True
            case b"REPLACE":
                options.replace = True
            case b"AUTH" | b"AUTH2" as name:
                options.login = list(islice(rest, LOGIN_ARGUMENTS[name]))
                require(len(options.login) == LOGIN_ARGUMENTS[name])
            case b"KEYS":
                if key:
                    raise CommandError(KEY_AND_KEYS)
                options.keys = list(rest)
            case _:
                require(False)
    return options


def _migrated_keys(args: Args) -> Args:
    """Return the keys of a request: its third argument, or the arguments after KEYS if that is empty."""
    try:
        return list(_parse(args[3], args[FIRST_OPTION:]).keys)
    except CommandError:
        return args[3:4]


def _redact(args: Args) -> Args:
    """Replace the user name and the password, as in Redis."""
    shown = args[:FIRST_OPTION]
    rest = iter(args[FIRST_OPTION:])
    for arg in rest:
        shown.append(arg)
        if arg.upper() == b"KEYS":
            break
        shown += [REDACTED for _ in islice(rest, LOGIN_ARGUMENTS.get(arg.upper(), 0))]
    return [*shown, *rest]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A key as it was when it was read."""

    key: bytes
    value: bytes
    expires_at: int | None
    ttl: int
    """Milliseconds, 0 without an expiry."""

    def request(self, *, replace: bool) -> Args:
        """Return the request that creates the key on the target."""
        args = [b"RESTORE", self.key, b"%d" % self.ttl, dump(self.value)]
        return [*args, b"REPLACE"] if replace else args


@group.writes_in_several_steps(
    "MIGRATE host port key destination-db timeout [COPY] [REPLACE] [AUTH password | AUTH2 username password] "
    "[KEYS key [key ...]]",
    "Move a key to another server, or several keys after KEYS, with an empty key.",
    Flag.MOVABLEKEYS | Flag.NO_MULTI | Flag.NOSCRIPT | Flag.SENSITIVE,
    keys=KeySpec(3, 3, 1, _migrated_keys, TAKE),
    redact=_redact,
    since="2.6.0",
    complexity="O(N) where N is the length of the values together",
    types={"port": "integer"},
    categories=("dangerous",),
)
def migrate(
    host: bytes, port: bytes, key: bytes, destination_db: bytes, timeout: bytes, *args: bytes
) -> Stages[Store, Any]:
    options = _parse(key, args)
    milliseconds = parse_integer(timeout)
    database = parse_integer(destination_db)
    seconds = min(milliseconds, MAX_TIMEOUT) / 1000 if milliseconds > 0 else DEFAULT_TIMEOUT / 1000
    target: Target | None = None
    error: CommandError | None = None
    with ExitStack() as stack:
        for at in range(0, max(1, len(options.keys)), KEYS_AT_ONCE):  # a generator must yield, also without keys
            entries: list[_Entry] = yield partial(_read, keys=options.keys[at : at + KEYS_AT_ONCE])
            if not entries:
                continue
            if target is None:
                target = Target(host, port, seconds)
                stack.callback(target.close)
                _log_in(target, options.login, database)
            transfer = _Transfer(target, entries, replace=options.replace)
            error = error or transfer.error
            if not options.copy and (yield partial(_delete, entries=transfer.restored)):
                error = error or CommandError(CHANGED_DURING_MIGRATE)
            if transfer.is_broken:
                break
    if error is not None:
        raise error
    return NO_KEY if target is None else OK


def _read(store: Store, keys: Sequence[bytes]) -> list[_Entry]:
    """Return the keys that exist, under the lock."""
    entries = []
    for key in keys:
        value = store.get(key)
        if value is not None:
            expires_at = store.expires_at(key)
            ttl = 0 if expires_at is None else expires_at - store.now()
            entries.append(_Entry(key, value, expires_at, ttl))
    return entries


def _delete(store: Store, entries: Sequence[_Entry]) -> bool:
    """Delete keys that the target has, under the lock. Return whether one has changed since it was read, and is kept.

    Values are immutable, so a key that has the same object has not changed.
    """
    changed = False
    for each in {each.key: each for each in entries}.values():  # a request may name a key twice
        if store.get(each.key) is each.value and store.expires_at(each.key) == each.expires_at:
            store.delete(each.key)
        elif each.expires_at is None or each.expires_at > store.now():  # otherwise it has expired on both servers
            changed = True
    return changed


def _log_in(target: Target, login: Args | None, database: int) -> None:
    """Send the password and choose the database. Raises `CommandError`."""
    requests = [[b"SELECT", b"%d" % database]]
    if login is not None:
        requests.insert(0, [b"AUTH", *login])
    for problem in list(target.ask(requests)):
        if problem is not None:
            raise CommandError(target_error(problem))


class _Transfer:
    """Entries that were sent to the target. ``restored`` are those that it has taken."""

    def __init__(self, target: Target, entries: Sequence[_Entry], *, replace: bool) -> None:
        self.restored: list[_Entry] = []
        self.error: CommandError | None = None
        """The first error of the target, or that of the connection."""
        self.is_broken = False
        """Whether the connection has failed."""
        replies: Iterator[bytes | None] = target.ask(each.request(replace=replace) for each in entries)
        try:
            for entry, problem in zip(entries, replies, strict=True):
                if problem is None:
                    self.restored.append(entry)
                elif self.error is None:
                    self.error = CommandError(target_error(problem))
        except CommandError as failure:
            self.error = self.error or failure
            self.is_broken = True
