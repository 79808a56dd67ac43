"""What the command table says about a command: flags, keys, number of arguments, and the function that runs it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from enum import Flag as EnumFlag
from enum import auto
from typing import Any, Generic, TypeAlias, TypeVar

from common.codec import Args
from common.errors import CommandError, wrong_arity
from common.replies import ErrorReply, Reply
from server.registry.keys import NO_KEYS, KeySpec
from server.registry.usage import Argument

Function: TypeAlias = Callable[..., Reply]

A = TypeVar("A")
S = TypeVar("S")
T = TypeVar("T")

Stages: TypeAlias = Generator[Callable[[S], T], T, Reply]
"""A command in stages: what its generator yields is called with the store, and its result is sent back.

It yields once, or several times if it is registered with ``several_steps``.
"""

StagedFunction: TypeAlias = Callable[..., Stages[Any, Any]]

ColumnsFunction: TypeAlias = Callable[..., list[Any] | None]
"""A command for several requests: it gets the store and a column of each argument, and returns a new list of outcomes.

Each is a reply, or the exception that the call would raise. It may return None instead, before it has any effect. Then
the command is called for each request.
"""

ShortTest: TypeAlias = Callable[[Any, Args], bool]
"""Returns whether a request of a command in stages is short, given the store under the lock, and the arguments."""

UNBOUNDED = 2**63

MAX_QUICK_ARGS = 1024
"""Arguments up to which a command is short: DEL with 1024 keys took 0.3 ms of CPU time."""


class Flag(EnumFlag):
    """What a command does and when it may run. The meanings are Redis's (COMMAND INFO)."""

    WRITE = auto()
    """May change the keyspace."""

    READONLY = auto()
    """Reads the keyspace and never changes it."""

    DENYOOM = auto()
    """May use more memory, so it is refused when the memory limit is reached."""

    ADMIN = auto()
    """For the administration of the server."""

    PUBSUB = auto()
    """Belongs to publish/subscribe."""

    NOSCRIPT = auto()
    """Not available in scripts."""

    BLOCKING = auto()
    """May wait for an event."""

    LOADING = auto()
    """Allowed while the keyspace is being loaded."""

    STALE = auto()
    """Allowed on a replica with stale data."""

    SKIP_MONITOR = auto()
    """Not shown by MONITOR in the usual way: the command shows itself, before what it executes."""

    SKIP_SLOWLOG = auto()
    """Never listed by SLOWLOG."""

    FAST = auto()
    """Takes constant or logarithmic time."""

    NO_AUTH = auto()
    """Allowed before authentication."""

    NO_MANDATORY_KEYS = auto()
    """Can be sent without keys, although it has arguments that are keys."""

    NO_ASYNC_LOADING = auto()
    """Refused while a replica loads a keyspace and serves another one."""

    NO_MULTI = auto()
    """Refused in a transaction when it is queued."""

    MOVABLEKEYS = auto()
    """Which arguments are keys depends on the other arguments."""

    ALLOW_BUSY = auto()
    """Allowed while a script runs for too long."""

    NOT_QUEUED = auto()
    """Runs at once in a transaction (EXEC, DISCARD ...). Not a flag of Redis, so not reported."""

    ENDS_TRANSACTION = auto()
    """Ends the transaction even with a wrong number of arguments (EXEC). Not a flag of Redis, so not reported."""

    SELECTS = auto()
    """Selects the database of the commands after it (SELECT). Not a flag of Redis, so not reported."""

    SENSITIVE = auto()
    """Its arguments may contain secrets. MONITOR and SLOWLOG redact them. Not a flag of Redis, so not reported."""

    NO_TOUCH = auto()
    """Does not count as a use of its keys (Redis: LOOKUP_NOTOUCH). Not a flag of Redis's commands, so not reported."""

    WHILE_SUBSCRIBED = auto()
    """Allowed in RESP2 while the connection is subscribed to channels. Not a flag of Redis, so not reported."""

    NULL_IS_MISS = auto()
    """Each call reads one key, and replies null if it is missing. INFO derives keyspace hits and misses from the
    replies, because counting in the store would cost a GET a tenth of its time. Not a flag of Redis, so not reported.
    """

    MAY_WRITE = auto()
    """Whether it changes the keyspace depends on its arguments (EVAL). Not a flag of Redis, so not reported."""

    NO_BATCH = auto()
    """Copies a stored value, so pipelined requests are executed one by one. Not a flag of Redis, so not reported."""


NO_FLAGS = Flag(0)
CONTROL = Flag.LOADING | Flag.STALE
"""The flags of Redis's commands that do not access the keyspace."""

_INTERNAL_FLAGS = (
    Flag.NOT_QUEUED
    | Flag.ENDS_TRANSACTION
    | Flag.SELECTS
    | Flag.SENSITIVE
    | Flag.WHILE_SUBSCRIBED
    | Flag.NO_TOUCH
    | Flag.NULL_IS_MISS
    | Flag.MAY_WRITE
    | Flag.NO_BATCH
)

_CATEGORIES = {
    Flag.WRITE: {"write"},
    Flag.READONLY: {"read"},
    Flag.ADMIN: {"admin", "dangerous"},
    Flag.FAST: {"fast"},
    Flag.PUBSUB: {"pubsub"},
    Flag.BLOCKING: {"blocking"},
}
"""The ACL categories that follow from a flag."""

REDACTED = b"(redacted)"
"""Replaces an argument of a SENSITIVE command in MONITOR and SLOWLOG, as in Redis."""


# eq=False: a command is compared and hashed by identity. It is the key of the statistics, which each request updates.
@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """A command or a subcommand. ``run`` gets its target and all arguments after the command's own name."""

    name: bytes  # in capitals, a subcommand's with its container's: CLIENT|KILL
    usage: bytes
    summary: bytes
    group: str
    flags: Flag
    keys: KeySpec  # all of them
    key_specs: tuple[KeySpec, ...]  # the same by what the command does with them
    targets_keyspace: bool  # its function gets the store, under the keyspace lock; otherwise the session
    min_args: int  # the name included
    max_args: int
    run: Function
    stages: StagedFunction | None = None  # the same in stages: it gets the arguments alone
    may_take_long: Callable[..., bool] | None = None  # of a control command, which may; it gets what ``run`` gets
    is_short: ShortTest | None = None  # whether it takes so little time now that it needs no worker thread
    needs_session: bool = False  # its stages get the session before the arguments
    several_steps: bool = False  # its stages yield several times, and each step takes the lock again
    by_columns: ColumnsFunction | None = None  # the same for several requests, each with ``min_args``
    redact: Callable[[Args], Args] | None = None  # redacts some arguments of a SENSITIVE command instead of all
    event: bytes = b"set"  # what keyspace notifications call the change of a value
    subcommands: dict[bytes, Command] = field(default_factory=dict)  # by the second argument, in capitals
    since: bytes = b""  # the version of Redis that had it first; for kvline's own commands the version of kvline
    complexity: bytes = b""
    arguments: tuple[Argument, ...] = ()  # the usage line as a tree
    categories: tuple[str, ...] = ()  # the ACL categories that do not follow from the flags

    is_single_step: bool = field(init=False)  # a keyspace command that does everything under the lock
    is_whole_in_multi: bool = field(init=False)  # a transaction, which takes the lock once, executes it by ``run``
    max_quick_args: int = field(init=False)  # with more, or if it has stages, it may take long; 0 if it always may
    max_batch_args: int = field(init=False)  # the same, but 0 if pipelined requests are executed one by one
    grows: bool = field(init=False)  # may use more memory, so it is refused when the memory limit is reached
    reads: bool = field(init=False)  # reads the keyspace and never changes it
    writes: bool = field(init=False)  # may change the keyspace
    is_queued: bool = field(init=False)  # waits for EXEC in a transaction, if it is not refused there
    is_refused_in_multi: bool = field(init=False)
    used_keys: KeySpec = field(init=False)  # the keys that a call counts as a use of: `ONE_KEY` itself if it is one

    def __post_init__(self) -> None:
        # Stored, because the session looks at them for every request. A look at flags takes 0.3 us, and 2 us at two.
        object.__setattr__(self, "is_single_step", self.targets_keyspace and self.stages is None)
        object.__setattr__(self, "is_whole_in_multi", self.is_single_step or self.several_steps)
        object.__setattr__(self, "max_quick_args", min(self.max_args, MAX_QUICK_ARGS) if self.is_single_step else 0)
        object.__setattr__(self, "max_batch_args", 0 if Flag.NO_BATCH in self.flags else self.max_quick_args)
        object.__setattr__(self, "grows", Flag.DENYOOM in self.flags)
        object.__setattr__(self, "reads", Flag.READONLY in self.flags)
        object.__setattr__(self, "writes", Flag.WRITE in self.flags or Flag.MAY_WRITE in self.flags)
        object.__setattr__(self, "is_queued", Flag.NOT_QUEUED not in self.flags)
        object.__setattr__(self, "is_refused_in_multi", Flag.NO_MULTI in self.flags)
        object.__setattr__(self, "used_keys", NO_KEYS if Flag.NO_TOUCH in self.flags else self.keys.without_flags())

    @property
    def arity(self) -> int:
        """The number of arguments as Redis reports it: exact, or negative for a minimum."""
        if self.subcommands:  # as Redis reports containers: -2, and COMMAND -1
            return -self.min_args
        return self.min_args if self.min_args == self.max_args else -self.min_args

    @property
    def flag_names(self) -> list[str]:
        """The names of the flags that COMMAND INFO reports, in Redis's order."""
        return [flag.name.lower() for flag in Flag if flag in self.flags & ~_INTERNAL_FLAGS and flag.name]

    @property
    def acl_categories(self) -> list[str]:
        """The ACL categories that COMMAND INFO reports, by the rules of Redis (`setImplicitACLCategories`)."""
        found = set(self.categories)
        for flag, categories in _CATEGORIES.items():
            if flag in self.flags:
                found |= categories
        if "scripting" in found:  # whatever the script does
            found -= _CATEGORIES[Flag.READONLY]
        if "fast" not in found:
            found.add("slow")
        return sorted(found)

    def redacted(self, args: Args) -> Args:
        """Return the arguments as MONITOR and SLOWLOG may show them."""
        if Flag.SENSITIVE not in self.flags:
            return args
        if self.redact is not None:
            return self.redact(args)
        shown = 1 + self.name.count(b"|")  # the names are no secret: one, or two of a subcommand
        return args[:shown] + [REDACTED] * (len(args) - shown)


class StagedCall(Generic[S]):
    """One execution of a command in stages. The caller takes the lock for each `run_step` alone.

    Making one runs the first stage. It, `resume` and `finish` raise what the command raises.
    """

    __slots__ = ("_stages", "_step", "found", "reply")

    def __init__(self, stages: StagedFunction, args: Sequence[object]) -> None:
        self._stages: Stages[S, Any] = stages(*args)
        self._step: Callable[[S], Any] = next(self._stages)
        self.found: Any = None
        """What the last step under the lock has returned."""
        self.reply: Reply = None
        """The reply, after `resume` has returned false."""

    def run_step(self, store: S) -> None:
        """Run the next step that accesses the keyspace, under the lock."""
        self.found = self._step(store)

    def resume(self) -> bool:
        """Run the stage that follows a step, without the lock. Return whether another step follows it."""
        try:
            self._step = self._stages.send(self.found)
        except StopIteration as end:
            self.reply = end.value
            return False
        return True

    def finish(self) -> Reply:
        """Run the last stage of a command with one step, and return the reply."""
        if self.resume():
            raise RuntimeError("a command in stages yields once")
        return self.reply


class RejectedCommand(CommandError):
    """Raised for a request that may not run ``command``. It counts as rejected, as in Redis (`rejectCommand`)."""

    def __init__(self, command: Command, error: ErrorReply) -> None:
        super().__init__(error)
        self.command = command


class ArityError(RejectedCommand):
    """Raised for a request with the wrong number of arguments for ``command``."""

    def __init__(self, command: Command) -> None:
        super().__init__(command, wrong_arity(command.name))
