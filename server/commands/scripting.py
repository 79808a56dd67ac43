"""Lua scripts: EVAL and its variants, and SCRIPT.

A script is checked and its SHA-1 computed before the keyspace lock is taken. It runs with the lock, as one step, and
its reply is decoded after it. With a backing Redis all of these are forwarded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from common.codec import Args
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


def _run_text(session: Session, request: Args) -> Stages[Store, Outcome]:
    """Run the script that is the first argument of EVAL or EVAL_RO. The request has the command's full name."""
    key_count = _key_count(request)
    scripts = session.context.scripts
    return _run(session, request, key_count, partial(scripts.compiled, scripts.prepare(request[1])))


def _run_known(session: Session, request: Args) -> Stages[Store, Outcome]:
    """Run the script whose SHA-1 is the first argument of EVALSHA or EVALSHA_RO."""
    sha1 = request[1]
    if len(sha1) != DIGEST_LENGTH:  # before the other arguments are looked at, as in Redis
        raise CommandError(NO_SCRIPT)
    return _run(session, request, _key_count(request), partial(session.context.scripts.find, sha1))


def _key_count(request: Args) -> int:
    """Return how many of the arguments after ``numkeys`` are keys. Raises `CommandError`."""
    count = parse_integer(request[2])
    if count > len(request) - 3:
        raise CommandError(TOO_MANY_SCRIPT_KEYS)
    if count < 0:
        raise CommandError(NEGATIVE_SCRIPT_KEYS)
    return count


def _run(session: Session, request: Args, key_count: int, find: Find) -> Stages[Store, Outcome]:
    """Run a script by the stages of its command."""
    keys_end = 3 + key_count

    def step(store: Store) -> Outcome:
        if session.context.monitors.has_subscribers:  # first, as in Redis, so that what the script calls follows it
            session.context.monitors.publish(request, session.client)
        reads_only = request[0].endswith(b"_RO")
        keys, argv = request[3:keys_end], request[keys_end:]
        return session.context.scripts.run(find(), keys, argv, session, store, reads_only=reads_only)

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
    return _run_text(session, [b"EVAL", script, numkeys, *args])


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
    return _run_text(session, [b"EVAL_RO", script, numkeys, *args])


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
    return _run_known(session, [b"EVALSHA", sha1, numkeys, *args])


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
    return _run_known(session, [b"EVALSHA_RO", sha1, numkeys, *args])


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
