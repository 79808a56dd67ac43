"""EXEC: execute the queued commands of a transaction.

queue -> parts, one for each database -> Engine.execute_all (one atomic step) -> control commands -> replies
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter_ns

from common.codec import Args
from common.errors import SCRIPT_BUSY, CommandError
from common.replies import NO_REPLY, NULL_ARRAY, OK, Reply
from server.args.integers import parse_int
from server.engines.base import QueuedCommand, ReplyBudget, TransactionPart
from server.registry import Command, Flag
from server.session.session import Session
from server.session.transaction import Transaction


def execute_transaction(session: Session, transaction: Transaction) -> Reply:
    """Execute the queued commands, unless a watched key has changed. Raises `CommandError`.

    The keyspace commands run as one atomic step. Control commands (CLIENT, INFO ...) do not access the keyspace, and
    may read files or take other locks, so they run after it, without the keyspace lock.
    """
    context, client, call = session.context, session.client, session.client.call
    call.durations.clear()
    call.budget = ReplyBudget(context.limits.max_replies)
    try:
        parts = _parts(session, transaction)
        outcomes = context.engine.execute_all(parts, session.watched.by_database, call)
    finally:
        session.watched.clear()
        if context.inspection.needed:
            context.publish_changes()
    if outcomes is None:
        return NULL_ARRAY
    of_engine = zip(outcomes, call.durations, strict=True)
    replies: list[Reply] = []
    for command, args in transaction.queue:
        if command.targets_keyspace:
            reply, nanoseconds = next(of_engine)
            if isinstance(reply, Exception):
                reply = context.recorder.record_failure(client, command, reply)
            context.recorder.record(client, command, args, reply, nanoseconds)
        else:
            reply = _run_control(session, command, args)
        replies.append(reply)
    call.durations.clear()  # a million commands take 36 MB
    # An exception refers to this list through its traceback. The cycle would keep the replies and the output.
    outcomes.clear()
    return replies


def _parts(session: Session, transaction: Transaction) -> Sequence[TransactionPart]:
    """Return the keyspace commands by the database that is selected when they run, as the engine can execute them."""
    is_inspected = session.context.inspection.needed
    if transaction.is_plain and not is_inspected:
        return [(session.client.database, transaction.queue)]
    part: list[QueuedCommand] = []
    parts = [(session.client.database, part)]
    for command, args in transaction.queue:
        if command.targets_keyspace:
            part.append((session.observed(command) if is_inspected else command, args))
        elif Flag.SELECTS in command.flags and (index := _selected_by(session, args)) is not None:
            part = []
            parts.append((index, part))
    return [(index, part) for index, part in parts if part]


def _selected_by(session: Session, args: Args) -> int | None:
    """Return the database that a queued SELECT selects, or None if it will fail.

    Raises `CommandError` while a slow script runs: the SELECT could succeed when it is executed.
    """
    try:
        index = parse_int(args[1])
        session.context.engine.database(index)
    except CommandError as problem:
        if problem.reply is SCRIPT_BUSY:
            raise
        return None
    return index


def _run_control(session: Session, command: Command, args: Args) -> Reply:
    """Run a queued control command. One without a reply gets OK: every command has an element in the array."""
    context, client = session.context, session.client
    started = perf_counter_ns()
    try:
        reply = session.run_control(command, args)
        client.call.budget.charge(reply)
    except Exception as problem:
        reply = context.recorder.record_failure(client, command, problem)
    context.recorder.record(client, command, args, reply, perf_counter_ns() - started)
    return OK if reply is NO_REPLY else reply
