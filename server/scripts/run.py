"""One run of a script: the commands that it calls, and what it may do."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any, Protocol

from common.codec import Args
from common.errors import (
    INTERNAL_ERROR,
    NOT_ALLOWED_IN_SCRIPT,
    OUT_OF_MEMORY,
    READ_ONLY_SCRIPT,
    SCRIPT_HAS_WRITTEN,
    SCRIPT_KILLED,
    UNKNOWN_COMMAND_IN_SCRIPT,
    WRONG_ARITY_IN_SCRIPT,
    CommandError,
    log_failing,
    script_writes_too_much,
)
from common.limits import KIB, Limits, size_of_args
from common.replies import OK, Reply
from server.args.integers import parse_int
from server.clients.inspection import Inspection
from server.clients.monitor import MonitorHub
from server.clients.registry import ClientInfo
from server.engines.base import Engine
from server.engines.memory_limit import note_use
from server.keyspace.store import Store
from server.registry import ArityError, Command, CommandTable, Flag

CONTROL_COMMANDS = frozenset({b"ECHO", b"PING", b"PUBLISH", b"SPUBLISH", b"TIME"})
"""Commands that scripts can call although they do not access the keyspace. Others take locks, or read files."""

MAX_LOG_LENGTH = KIB
"""Bytes of a text that a script writes to the server's log, as in Redis (``LOG_MAX_LEN``). The rest is cut off."""

LOG_LEVELS = (logging.DEBUG, logging.DEBUG, logging.INFO, logging.WARNING)
"""The levels of ``redis.LOG_DEBUG`` and so on."""

logger = logging.getLogger(__name__)


class Context(Protocol):
    """What a run needs of the server."""

    engine: Engine[Any]
    commands: CommandTable
    limits: Limits
    inspection: Inspection
    monitors: MonitorHub


class Caller(Protocol):
    """The session that runs a script."""

    client: ClientInfo

    @property
    def context(self) -> Context:
        """What it shares with other sessions."""
        ...

    def observed(self, command: Command) -> Command:
        """Return a command that does the same, for the features that observe commands."""
        ...


class ScriptRun:
    """Executes the commands of one script on a store, under the keyspace lock.

    A script that ``reads_only`` may not write. ``is_out_of_memory`` refuses commands that may use more memory until the
    script has written, as in Redis: then it is too late to refuse. ``check`` is called regularly while it runs.
    """

    def __init__(
        self, caller: Caller, store: Store, check: Callable[[], object], *, reads_only: bool, is_out_of_memory: bool
    ) -> None:
        self.started = time.monotonic()
        self.has_written = False
        """Whether it has executed a command that writes, so that SCRIPT KILL is refused."""
        self.killed = False
        """Whether it must end."""
        self._state = threading.Lock()  # so that a script is not killed while it begins to write
        self._caller = caller
        self._context = caller.context
        self._store = store
        self._check = check
        self._reads_only = reads_only
        self._is_out_of_memory = is_out_of_memory
        self._written = 0  # bytes of the arguments of writes

    def call(self, args: Args) -> Reply:
        """Execute a command, and return its reply or its error."""
        try:
            return self._execute(self._resolve(args), args)
        except CommandError as problem:
            return problem.reply
        except Exception:
            logger.exception("a command of a script failed unexpectedly")
            return INTERNAL_ERROR

    def kill(self, *, always: bool = False) -> None:
        """End the script. Raises `CommandError` if it has written, unless this is to be done ``always``."""
        with self._state:
            if self.has_written and not always:
                raise CommandError(SCRIPT_HAS_WRITTEN)
            self.killed = True

    def is_killed(self) -> bool:
        """Return whether the script must end."""
        self._check()
        return self.killed

    def log(self, level: int, text: bytes) -> None:
        """Write a line to the server's log."""
        logger.log(LOG_LEVELS[level], "%s", text[:MAX_LOG_LENGTH].decode(errors="replace"))

    def _resolve(self, args: Args) -> Command:
        """Return the command of a call, in the order of the checks of Redis (`scriptCall`). Raises `CommandError`."""
        try:
            command = self._context.commands.resolve(args)
        except ArityError:
            raise CommandError(WRONG_ARITY_IN_SCRIPT) from None
        except CommandError:
            raise CommandError(UNKNOWN_COMMAND_IN_SCRIPT) from None
        is_available = command.targets_keyspace or command.name in CONTROL_COMMANDS or Flag.SELECTS in command.flags
        if Flag.NOSCRIPT in command.flags or not is_available:
            raise CommandError(NOT_ALLOWED_IN_SCRIPT)
        if Flag.WRITE in command.flags:
            self._begin_write(args)
        if command.grows and self._is_out_of_memory and not self.has_written:
            raise CommandError(OUT_OF_MEMORY)
        if Flag.WRITE in command.flags and not self.has_written:
            with self._state:
                if self.killed:
                    raise CommandError(SCRIPT_KILLED)
                self.has_written = True
        return command

    def _begin_write(self, args: Args) -> None:
        """Raise `CommandError` if the script may not write."""
        if self._reads_only:
            raise CommandError(READ_ONLY_SCRIPT)
        persistence = self._context.engine.persistence
        if persistence is not None and persistence.problem is not None:
            raise CommandError(log_failing(persistence.problem))
        # What a script writes cannot go to the disk before it ends, so it needs the bound that a transaction has.
        self._written += size_of_args(args)
        if self._written > self._context.limits.max_request:
            raise CommandError(script_writes_too_much(self._context.limits.max_request))

    def _execute(self, command: Command, args: Args) -> Reply:
        client, monitors = self._caller.client, self._context.monitors
        if monitors.has_subscribers:
            monitors.publish(command.redacted(args), client, by_script=True)
        stat = client.stats.by_command[command]
        started = perf_counter_ns()
        try:
            if Flag.SELECTS in command.flags:  # for the rest of the script, as in Redis
                self._store = self._store.other(parse_int(args[1]))
                return OK
            if not command.targets_keyspace:
                return command.run(self._caller, *args[1:])
            note_use(self._store, command, args, client.call)
            observed = self._caller.observed(command) if self._context.inspection.needed else command
            reply = observed.run(self._store, *args[1:])
        except Exception:
            stat.failed += 1
            raise
        finally:
            nanoseconds = perf_counter_ns() - started
            stat.buckets[nanoseconds.bit_length()] += 1
            stat.nanoseconds += nanoseconds
        if reply is None:
            stat.nulls += 1
        return reply
