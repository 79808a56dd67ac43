"""Lua scripts: EVAL and its variants, and SCRIPT.

A script is checked and its SHA-1 computed before the keyspace lock is taken. It runs with the lock, as one step, and
its reply is decoded after it. With a backing Redis all of these are forwarded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from common.errors import (
    INVALID_SCRIPT_FLUSH,
    NEGATIVE_SCRIPT_KEYS,
    NO_SCRIPT,
    NO_SCRIPT_DEBUGGER,
    TOO_MANY_SCRIPT_KEYS,
    CommandError,
)
from common.replies import OK, Reply
from server.args.integers import parse_integer
from server.keyspace.store import Store
from server.registry import CHANGE, READ, CommandGroup, Flag, KeySpec, Stages
from server.scripts.cache import DIGEST_LENGTH, Script
from server.scripts.outcome import Outcome
from server.session.session import Session

group = CommandGroup("scripting", "scripting")

RUNS = Flag.NOSCRIPT | Flag.STALE | Flag.SKIP_MONITOR | Flag.NO_MANDATORY_KEYS | Flag.MOVABLEKEYS
KEYS = KeySpec(0, 0, 0, count_at=2)
COMPLEXITY = "Depends on the script that is executed."

Find: TypeAlias = Callable[[], Script]
"""Returns the script of a request, under the lock."""


def _run(
    session: Session, name: bytes, find: Find | None, text: bytes, count: bytes, args: Sequence[bytes]
) -> Stages[Store, Outcome]:
    """Run a script by the stages of its command. ``text`` is the first argument of the command ``name``.

    Without ``find``, it is the script.
    """
    keys = parse_integer(count)
    if keys > len(args):
        raise CommandError(TOO_MANY_SCRIPT_KEYS)
    if keys < 0:
        raise CommandError(NEGATIVE_SCRIPT_KEYS)
    if find is None:
        find = partial(session.context.scripts.compiled, session.context.scripts.prepare(text))

    def step(store: Store) -> Outcome:
        if session.context.monitors.has_subscribers:  # first, as in Redis, so that what the script calls follows it
            session.context.monitors.publish([name, text, count, *args], session.client)
        reads_only = name.endswith(b"_RO")
        return session.context.scripts.run(find(), args[:keys], args[keys:], session, store, reads_only=reads_only)

    return (yield step).reply()


@group.in_session(
    "EVAL script numkeys [key [key ...]] [arg [arg ...]]",
    "Run a Lua script.",
    RUNS | Flag.MAY_WRITE,
    keys=KEYS.used(CHANGE),
    since="2.6.0",
    complexity=COMPLEXITY,
    types={"numkeys": "integer"},
)
def eval_(session: Session, script: bytes, numkeys: bytes, *args: bytes) -> Stages[Store, Outcome]:
    return (yield from _run(session, b"EVAL", None, script, numkeys, args))


@group.in_session(
    "EVAL_RO script numkeys [key [key ...]] [arg [arg ...]]",
    "Run a Lua script that only reads.",
    RUNS | Flag.READONLY,
    keys=KEYS.used(READ),
    since="7.0.0",
    complexity=COMPLEXITY,
    types={"numkeys": "integer"},
)
def eval_ro(session: Session, script: bytes, numkeys: bytes, *args: bytes) -> Stages[Store, Outcome]:
    return (yield from _run(session, b"EVAL_RO", None, script, numkeys, args))


@group.in_session(
    "EVALSHA sha1 numkeys [key [key ...]] [arg [arg ...]]",
    "Run a Lua script that the server knows.",
    RUNS | Flag.MAY_WRITE,
    keys=KEYS.used(CHANGE),
    since="2.6.0",
    complexity=COMPLEXITY,
    types={"numkeys": "integer"},
)
def evalsha(session: Session, sha1: bytes, numkeys: bytes, *args: bytes) -> Stages[Store, Outcome]:
    if len(sha1) != DIGEST_LENGTH:  # before the other arguments are looked at, as in Redis
        raise CommandError(NO_SCRIPT)
    find = partial(session.context.scripts.find, sha1)
    return (yield from _run(session, b"EVALSHA", find, sha1, numkeys, args))


@group.in_session(
    "EVALSHA_RO sha1 numkeys [key [key ...]] [arg [arg ...]]",
    "Run a Lua script that the server knows, and that only reads.",
    RUNS | Flag.READONLY,
    keys=KEYS.used(READ),
    since="7.0.0",
    complexity=COMPLEXITY,
    types={"numkeys": "integer"},
)
def evalsha_ro(session: Session, sha1: bytes, numkeys: bytes, *args: bytes) -> Stages[Store, Outcome]:
    if len(sha1) != DIGEST_LENGTH:  # before the other arguments are looked at, as in Redis
        raise CommandError(NO_SCRIPT)
    find = partial(session.context.scripts.find, sha1)
    return (yield from _run(session, b"EVALSHA_RO", find, sha1, numkeys, args))


# ---------------------------------------------------------------- SCRIPT

group.container("SCRIPT", "Manage the scripts that the server knows.", since="2.6.0")


@group.in_session(
    "SCRIPT LOAD script",
    "Compile a script, so that EVALSHA finds it. Return its SHA-1.",
    Flag.NOSCRIPT | Flag.STALE,
    since="2.6.0",
    complexity="O(N) where N is the length of the script",
)
def script_load(session: Session, script: bytes) -> Stages[Store, bytes]:
    source = session.context.scripts.prepare(script)
    return (yield lambda _: session.context.scripts.compiled(source).source.digest)


@group.in_session(
    "SCRIPT EXISTS sha1 [sha1 ...]",
    "Return for each script whether the server knows it.",
    Flag.NOSCRIPT,
    since="2.6.0",
    complexity="O(N) where N is the number of scripts",
)
def script_exists(session: Session, sha1: bytes, *more: bytes) -> Stages[Store, list[bool]]:
    return [int(each) for each in (yield lambda _: session.context.scripts.exist([sha1, *more]))]


@group.in_session(
    "SCRIPT FLUSH [ASYNC | SYNC]",
    "Remove all scripts.",
    Flag.NOSCRIPT,
    since="2.6.0",
    complexity="O(N) where N is the number of scripts",
)
def script_flush(session: Session, *args: bytes) -> Stages[Store, None]:
    if len(args) > 1 or any(each.upper() not in (b"ASYNC", b"SYNC") for each in args):
        raise CommandError(INVALID_SCRIPT_FLUSH)
    yield lambda _: session.context.scripts.flush()
    return OK


@group.control(
    "SCRIPT KILL", "End the script that runs, unless it has written.", Flag.NOSCRIPT | Flag.ALLOW_BUSY, since="2.6.0"
)
def script_kill(session: Session) -> Reply:
    session.context.scripts.kill()
    return OK


@group.control("SCRIPT DEBUG <YES | SYNC | NO>", "Refuse the debugger of scripts.", Flag.NOSCRIPT, since="3.2.0")
def script_debug(session: Session, mode: bytes) -> Reply:
    if mode.upper() != b"NO":
        raise CommandError(NO_SCRIPT_DEBUGGER)
    return OK
