"""Transactions: MULTI opens a session's queue, EXEC executes it atomically, WATCH makes it depend on keys."""

from __future__ import annotations

from common.errors import (
    DISCARD_WITHOUT_MULTI,
    EXEC_ABORTED,
    EXEC_WITHOUT_MULTI,
    NESTED_MULTI,
    WATCH_INSIDE_MULTI,
    CommandError,
)
from common.replies import OK, Reply
from server.registry import ALL_KEYS, CONTROL, EXAMINE, CommandGroup, Flag
from server.session.exec import execute_transaction
from server.session.session import Session

group = CommandGroup("transactions", "transaction")

FLAGS = CONTROL | Flag.NOSCRIPT | Flag.FAST | Flag.ALLOW_BUSY


@group.control("MULTI", "Start a transaction: queue the commands that follow.", FLAGS | Flag.NOT_QUEUED, since="1.2.0")
def multi(session: Session) -> Reply:
    # An error, but the transaction stays open and can still be executed, as in Redis. The same is true of WATCH.
    if session.transaction is not None:
        raise CommandError(NESTED_MULTI)
    session.begin_transaction()
    return OK


@group.control(
    "EXEC",
    "Execute the queued commands atomically.",
    # SKIP_SLOWLOG: the slow log lists the commands of the transaction themselves.
    CONTROL | Flag.NOSCRIPT | Flag.SKIP_SLOWLOG | Flag.NOT_QUEUED | Flag.ENDS_TRANSACTION,
    since="1.2.0",
    complexity="Depends on the commands in the transaction.",
)
def exec_(session: Session) -> Reply:
    transaction = session.transaction
    if transaction is None:
        raise CommandError(EXEC_WITHOUT_MULTI)
    # Closed first, so that no error below leaves the session in a transaction.
    session.discard_transaction()
    # Before the watch is looked at: if both are dirty, Redis replies EXECABORT and not null (`execCommand`).
    if transaction.dirty:
        session.watched.clear()
        raise CommandError(EXEC_ABORTED)
    return execute_transaction(session, transaction)


@group.control(
    "DISCARD",
    "Discard the queued commands, and unwatch all keys.",
    FLAGS | Flag.NOT_QUEUED,
    since="2.0.0",
    complexity="O(N) where N is the number of queued commands and watched keys",
)
def discard(session: Session) -> Reply:
    if session.transaction is None:
        raise CommandError(DISCARD_WITHOUT_MULTI)
    # The watch belongs to the transaction that it protects, so it ends with it (`discardTransaction`).
    session.discard_transaction()
    session.watched.clear()
    return OK


@group.control(
    "WATCH key [key ...]",
    "Execute the next transaction only if none of these keys has changed until then.",
    FLAGS | Flag.NOT_QUEUED,
    keys=ALL_KEYS.used(EXAMINE),
    since="2.2.0",
    complexity="O(N) where N is the number of keys",
)
def watch(session: Session, key: bytes, *more: bytes) -> Reply:
    if session.transaction is not None:
        raise CommandError(WATCH_INSIDE_MULTI)
    # In addition to keys that are watched already.
    session.watched.add([key, *more], session.context.limits.max_watched)
    return OK


# Without NOT_QUEUED, unlike WATCH: in a transaction it is queued, as in Redis. When it runs, EXEC has ended the watch.
@group.control(
    "UNWATCH", "Unwatch all keys.", FLAGS, since="2.2.0", complexity="O(N) where N is the number of watched keys"
)
def unwatch(session: Session) -> Reply:
    session.watched.clear()
    return OK
