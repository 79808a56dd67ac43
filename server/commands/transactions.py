"""Transactions: MULTI opens a session's queue, EXEC runs it as one step, DISCARD drops it."""

from __future__ import annotations

from common.replies import OK, Reply
from server.errors import (
    DISCARD_WITHOUT_MULTI,
    EXEC_ABORTED,
    EXEC_WITHOUT_MULTI,
    NESTED_MULTI,
    CommandError,
)
from server.registry import Group
from server.session import Session, Transaction

group = Group("transactions")


@group.session("MULTI", "Begin a transaction: the commands that follow wait for EXEC.", immediate=True)
def multi(session: Session) -> Reply:
    if session.transaction is not None:
        raise CommandError(NESTED_MULTI)
    session.transaction = Transaction()
    return OK


@group.session("EXEC", "Run the transaction's commands as one step.", immediate=True)
def exec_(session: Session) -> Reply:
    transaction = session.transaction
    if transaction is None:
        raise CommandError(EXEC_WITHOUT_MULTI)
    session.transaction = None
    if transaction.spoiled:
        raise CommandError(EXEC_ABORTED)
    return session.run_all(transaction.queue)


@group.session("DISCARD", "Drop the transaction's commands.", immediate=True)
def discard(session: Session) -> Reply:
    if session.transaction is None:
        raise CommandError(DISCARD_WITHOUT_MULTI)
    session.transaction = None
    return OK
