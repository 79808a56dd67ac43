"""Transactions: MULTI opens a session's queue, EXEC runs it as one step, WATCH makes it depend on keys."""

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
from server.registry import ALL_KEYS, CommandGroup
from server.session.session import Session

group = CommandGroup("transactions")


@group.session("MULTI", "Begin a transaction: the commands that follow wait for EXEC.", immediate=True)
def multi(session: Session) -> Reply:
    if session.transaction is not None:
        raise CommandError(NESTED_MULTI)
    session.begin_transaction()
    return OK


@group.session("EXEC", "Run the transaction's commands as one step.", immediate=True)
def exec_(session: Session) -> Reply:
    transaction = session.transaction
    if transaction is None:
        raise CommandError(EXEC_WITHOUT_MULTI)
    session.end_transaction()
    if transaction.spoiled:
        session.unwatch()
        raise CommandError(EXEC_ABORTED)
    return session.run_transaction(transaction.queue)


@group.session("DISCARD", "Drop the transaction's commands, and watch no key any more.", immediate=True)
def discard(session: Session) -> Reply:
    if session.transaction is None:
        raise CommandError(DISCARD_WITHOUT_MULTI)
    session.end_transaction()
    session.unwatch()
    return OK


@group.session(
    "WATCH key [key ...]",
    "Let the next EXEC run only if none of these keys has changed by then.",
    immediate=True,
    keys=ALL_KEYS,
)
def watch(session: Session, key: bytes, *more: bytes) -> Reply:
    if session.transaction is not None:
        raise CommandError(WATCH_INSIDE_MULTI)
    session.watch_keys([key, *more])
    return OK


@group.session("UNWATCH", "Watch no key any more.")
def unwatch(session: Session) -> Reply:
    session.unwatch()
    return OK
