"""The command table: each command is one function and one decorator that describes it.

    group = CommandGroup("string")

    @group.reads("GET key", "Return the value of a key.", Flag.FAST)
    def get(store: Store, key: bytes) -> Reply:
        return store.get(key)

Everything else is derived. The usage line gives the name, and, if its second part is in capitals too (``CLIENT KILL
...``), makes the entry a subcommand. The function's parameters give the number of arguments. A parameter annotated
``int`` is converted, with Redis's error if the argument is not an integer. HELP, COMMAND INFO and DOCS, the checks of
MULTI, redaction in MONITOR and SLOWLOG, and the client's completion read the table.

The function of a keyspace command runs under the keyspace lock. A command that has much to do beside its access to the
keyspace runs in stages instead. Its function is a generator with one ``yield``, and gets no store:

    @group.reads_in_stages("KEYS pattern", "Return all keys that match a pattern.")
    def keys(pattern: bytes) -> Stages[Store, list[bytes]]:
        matches = matcher(pattern)                      # before the lock is taken
        found = yield Store.all_keys                    # the yielded function is called with the store, under the lock
        return [key for key in found if matches(key)]   # after it is released
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Flag as EnumFlag
from enum import auto
from functools import wraps
from typing import Any, Generic, TypeAlias, TypeVar

from common.codec import Args
from common.errors import CommandError, unknown_command, unknown_subcommand, wrong_arity
from common.replies import Lines, Reply
from server.args.integers import parse_integer

Function: TypeAlias = Callable[..., Reply]

S = TypeVar("S")
T = TypeVar("T")

Stages: TypeAlias = Generator[Callable[[S], T], T, Reply]
"""A command in stages: what its generator yields is called with the store, and its result is sent back."""

StagedFunction: TypeAlias = Callable[..., Stages[Any, Any]]

UNBOUNDED = 2**63


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

    NOSCRIPT = auto()
    """Not available in scripts."""

    BLOCKING = auto()
    """May wait for an event."""

    LOADING = auto()
    """Allowed while the keyspace is being loaded."""

    STALE = auto()
    """Allowed on a replica with stale data."""

    SKIP_SLOWLOG = auto()
    """Never listed by SLOWLOG."""

    FAST = auto()
    """Takes constant or logarithmic time."""

    NO_AUTH = auto()
    """Allowed before authentication."""

    NO_MULTI = auto()
    """Refused in a transaction when it is queued."""

    ALLOW_BUSY = auto()
    """Allowed while a script runs for too long."""

    NOT_QUEUED = auto()
    """Runs at once in a transaction (EXEC, DISCARD ...). Not a flag of Redis, so not reported."""

    SENSITIVE = auto()
    """Its arguments contain secrets. MONITOR and SLOWLOG redact them. Not a flag of Redis, so not reported."""


NO_FLAGS = Flag(0)
CONTROL = Flag.LOADING | Flag.STALE
"""The flags of Redis's commands that do not access the keyspace."""

_INTERNAL_FLAGS = Flag.NOT_QUEUED | Flag.SENSITIVE

REDACTED = b"(redacted)"
"""Replaces an argument of a SENSITIVE command in MONITOR and SLOWLOG, as in Redis."""


@dataclass(frozen=True, slots=True)
class KeySpec:
    """Which arguments are keys, as COMMAND INFO reports it: from ``first`` to ``last``, every ``step``-th.

    The command's name is argument 0. A negative ``last`` counts from the end.
    """

    first: int
    last: int
    step: int

    def of(self, args: Args) -> Args:
        """Return the keys among a request's arguments."""
        if not self.first:
            return []
        last = self.last if self.last > 0 else len(args) + self.last
        return args[self.first : last + 1 : self.step]


NO_KEYS = KeySpec(0, 0, 0)
ONE_KEY = KeySpec(1, 1, 1)
ALL_KEYS = KeySpec(1, -1, 1)


# eq=False: a command is compared and hashed by identity. It is the key of the statistics, which each request updates.
@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """A command or a subcommand. ``run`` gets its target and all arguments after the command's own name."""

    name: bytes  # in capitals, a subcommand's with its container's: CLIENT|KILL
    usage: bytes
    summary: bytes
    group: str
    flags: Flag
    keys: KeySpec
    targets_keyspace: bool  # its function gets the store, under the keyspace lock; otherwise the session
    min_args: int  # the name included
    max_args: int
    run: Function
    stages: StagedFunction | None = None  # the same in stages: it gets the arguments alone
    subcommands: dict[bytes, Command] = field(default_factory=dict)  # by the second argument, in capitals

    is_single_step: bool = field(init=False)  # a keyspace command that does everything under the lock

    def __post_init__(self) -> None:
        # Stored, because the session looks at it for every request.
        object.__setattr__(self, "is_single_step", self.targets_keyspace and self.stages is None)

    @property
    def reads(self) -> bool:
        """Whether it reads the keyspace and never changes it."""
        return Flag.READONLY in self.flags

    @property
    def writes(self) -> bool:
        """Whether it may change the keyspace."""
        return Flag.WRITE in self.flags

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

    def redacted(self, args: Args) -> Args:
        """Return the arguments as MONITOR and SLOWLOG may show them."""
        if Flag.SENSITIVE not in self.flags:
            return args
        shown = 1 + self.name.count(b"|")  # the names are no secret: one, or two of a subcommand
        return args[:shown] + [REDACTED] * (len(args) - shown)


class StagedCall(Generic[S]):
    """One execution of a command in stages. The caller takes the lock for `run_step` alone.

    Making one runs the first stage. It and `finish` raise what the command raises.
    """

    __slots__ = ("_result", "_stages", "_step")

    def __init__(self, stages: StagedFunction, args: Sequence[bytes]) -> None:
        self._stages: Stages[S, Any] = stages(*args)
        self._step: Callable[[S], Any] = next(self._stages)
        self._result: Any = None

    def run_step(self, store: S) -> None:
        """Run the stage that accesses the keyspace, under the lock."""
        self._result = self._step(store)

    def finish(self) -> Reply:
        """Run the last stage, and return the reply."""
        try:
            self._stages.send(self._result)
        except StopIteration as end:
            reply: Reply = end.value
            return reply
        raise RuntimeError("a command in stages yields once")


class ArityError(CommandError):
    """Raised for a request with the wrong number of arguments for ``command``."""

    def __init__(self, command: Command) -> None:
        super().__init__(wrong_arity(command.name))
        self.command = command


class CommandGroup:
    """A family of commands, one per module. ``name`` is the group that COMMAND DOCS reports, such as ``string``.

    The decorators take the usage line, which gives the name, and a summary of one sentence. ``flags`` are added to
    those that the decorator implies. ``keys`` says which arguments are keys.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.commands: list[Command] = []

    def reads(
        self, usage: str, summary: str, flags: Flag = NO_FLAGS, *, keys: KeySpec = ONE_KEY
    ) -> Callable[[Function], Function]:
        """Register a command that reads the keyspace. Its function gets the store."""
        return self._register(usage, summary, Flag.READONLY | flags, keys, targets_keyspace=True)

    def writes(
        self, usage: str, summary: str, flags: Flag = NO_FLAGS, *, keys: KeySpec = ONE_KEY
    ) -> Callable[[Function], Function]:
        """Register a command that may change the keyspace. Its function gets the store."""
        return self._register(usage, summary, Flag.WRITE | flags, keys, targets_keyspace=True)

    def reads_in_stages(
        self, usage: str, summary: str, flags: Flag = NO_FLAGS, *, keys: KeySpec = ONE_KEY
    ) -> Callable[[StagedFunction], StagedFunction]:
        """Register a command that reads the keyspace, in stages."""
        return self._register_staged(usage, summary, Flag.READONLY | flags, keys)

    def writes_in_stages(
        self, usage: str, summary: str, flags: Flag = NO_FLAGS, *, keys: KeySpec = ONE_KEY
    ) -> Callable[[StagedFunction], StagedFunction]:
        """Register a command that may change the keyspace, in stages."""
        return self._register_staged(usage, summary, Flag.WRITE | flags, keys)

    def control(
        self, usage: str, summary: str, flags: Flag = NO_FLAGS, *, keys: KeySpec = NO_KEYS
    ) -> Callable[[Function], Function]:
        """Register a command that works on the session or the server. Its function gets the session, without lock."""
        return self._register(usage, summary, flags, keys, targets_keyspace=False)

    def container(self, name: str, summary: str) -> None:
        """Describe a command that consists of subcommands alone."""
        self.commands.append(
            Command(
                name=name.encode(),
                usage=name.encode(),
                summary=summary.encode(),
                group=self.name,
                flags=NO_FLAGS,
                keys=NO_KEYS,
                targets_keyspace=False,
                min_args=2,
                max_args=0,  # no request fits it, so that each is resolved to a subcommand
                run=_not_runnable,
            )
        )

    def _register(
        self, usage: str, summary: str, flags: Flag, keys: KeySpec, *, targets_keyspace: bool
    ) -> Callable[[Function], Function]:
        def register(function: Function) -> Function:
            depth = _depth(usage)
            run = _converting(function)
            self._add(
                usage,
                summary,
                flags,
                keys,
                _parameters(function)[1:],
                targets_keyspace=targets_keyspace,
                run=run if depth == 1 else _without_subcommand_name(run),
            )
            return function

        return register

    def _register_staged(
        self, usage: str, summary: str, flags: Flag, keys: KeySpec
    ) -> Callable[[StagedFunction], StagedFunction]:
        if _depth(usage) > 1:
            raise ValueError("a subcommand cannot run in stages")

        def register(function: StagedFunction) -> StagedFunction:
            stages = _converting(function)
            self._add(
                usage,
                summary,
                flags,
                keys,
                _parameters(function),
                targets_keyspace=True,
                run=_in_single_step(stages),
                stages=stages,
            )
            return function

        return register

    def _add(
        self,
        usage: str,
        summary: str,
        flags: Flag,
        keys: KeySpec,
        parameters: Sequence[inspect.Parameter],
        *,
        targets_keyspace: bool,
        run: Function,
        stages: StagedFunction | None = None,
    ) -> None:
        """Add an entry. ``parameters`` are those of the function that take arguments."""
        min_args, max_args = _arity(parameters, _depth(usage))
        self.commands.append(
            Command(
                name=_name_of(usage).encode(),
                usage=usage.encode(),
                summary=summary.encode(),
                group=self.name,
                flags=flags,
                keys=keys,
                targets_keyspace=targets_keyspace,
                min_args=min_args,
                max_args=max_args,
                run=run,
                stages=stages,
            )
        )


class CommandTable:
    """Every command of the server. Immutable after construction, so safe to use from any thread.

    Raises `ValueError` if two commands have the same name.
    """

    def __init__(self, groups: Iterable[CommandGroup]) -> None:
        entries = sorted((each for group in groups for each in group.commands), key=lambda each: each.name)
        self._commands: dict[bytes, Command] = {}
        subcommands: dict[bytes, dict[bytes, Command]] = {}
        for entry in entries:
            container, _, name = entry.name.partition(b"|")
            table = subcommands.setdefault(container, {}) if name else self._commands
            # A second entry would silently replace the first, in the order of the modules' imports.
            if table.setdefault(name or container, entry) is not entry:
                raise ValueError(f"two commands are called {entry.name!r}")
        for container, children in subcommands.items():
            self._commands[container] = _with_subcommands(self._commands[container], children)
        lower = {name.lower(): command for name, command in self._commands.items()}
        self.by_common_case = self._commands | lower
        """The two common spellings of each name, so that the usual lookup is one access to a dict."""

    def find(self, name: bytes) -> Command | None:
        """Return the command of that name, in any case, or None."""
        return self.by_common_case.get(name) or self._commands.get(name.upper())

    def find_subcommand(self, name: bytes) -> Command | None:
        """Return a command or, for a name such as ``client|kill``, a subcommand, in any case, or None."""
        container, _, subcommand = name.partition(b"|")
        command = self.find(container)
        if command is None or not subcommand:
            return command
        return command.subcommands.get(subcommand.upper())

    def resolve(self, args: Args) -> Command:
        """Return the command or subcommand that a request runs.

        Raises `ArityError` for a wrong number of arguments, and `CommandError` for an unknown command or subcommand.
        """
        command = self.find(args[0])
        if command is None:
            raise CommandError(unknown_command(args))
        if command.subcommands and len(args) > 1:
            subcommand = command.subcommands.get(args[1].upper())
            if subcommand is None:
                raise CommandError(unknown_subcommand(command.name, args[1]))
            command = subcommand
        # After the subcommand: its arity counts, and Redis's error names it (`client|kill`).
        if not command.min_args <= len(args) <= command.max_args:
            raise ArityError(command)
        return command

    def __iter__(self) -> Iterator[Command]:
        """Iterate over the commands by name, without subcommands."""
        return iter(self._commands.values())

    def __len__(self) -> int:
        return len(self._commands)


# ---------------------------------------------------------------- subcommands


def _with_subcommands(container: Command, children: dict[bytes, Command]) -> Command:
    """Return the container with its subcommands, with HELP among them, and with a usage line that shows them."""
    help_ = _help_command(container, children.values())
    children = dict(sorted((children | {b"HELP": help_}).items()))
    takes_none = container.max_args == 1  # COMMAND can also be sent alone
    usages = b" | ".join(child.usage.split(b" ", 1)[1] for child in children.values())
    usage = (b"%b [%b]" if takes_none else b"%b <%b>") % (container.name, usages)
    return replace(container, usage=usage, subcommands=children)


def _help_command(container: Command, children: Iterable[Command]) -> Command:
    """Make the HELP subcommand of a container, in the form of Redis's."""
    lines = [b"%b <subcommand> [<arg> [value] [opt] ...]. Subcommands are:" % container.name]
    for child in sorted(children, key=lambda each: each.name):
        lines += [child.usage.split(b" ", 1)[1], b"    " + child.summary]
    lines += [b"HELP", b"    Print this help."]
    return Command(
        name=container.name + b"|HELP",
        usage=container.name + b" HELP",
        summary=b"Print this help.",
        group=container.group,
        flags=CONTROL,
        keys=NO_KEYS,
        targets_keyspace=False,
        min_args=2,
        max_args=2,
        run=lambda *_: Lines(lines),
    )


def _without_subcommand_name(run: Function) -> Function:
    """Remove the subcommand's name, which `Command.run` gets as the first argument."""

    @wraps(run)
    def run_subcommand(target: Any, _: bytes, *args: bytes) -> Reply:
        return run(target, *args)

    return run_subcommand


def _in_single_step(stages: StagedFunction) -> Function:
    """Run all stages with the store at hand, for an engine that takes the lock for the whole command."""

    def run(store: Any, *args: bytes) -> Reply:
        call: StagedCall[Any] = StagedCall(stages, args)
        call.run_step(store)
        return call.finish()

    return run


def _not_runnable(*_: object) -> Reply:
    raise AssertionError("a container's requests are resolved to its subcommands")


# ---------------------------------------------------------------- usage lines and parameters

_CAPITALS = re.compile(r"[A-Z][A-Z-]*")


def _name_of(usage: str) -> str:
    """Return a command's name by its usage line: ``GET`` for ``GET key``, ``CLIENT|KILL`` for ``CLIENT KILL ...``."""
    name, *rest = usage.split()
    return f"{name}|{rest[0]}" if rest and _CAPITALS.fullmatch(rest[0]) else name


def _depth(usage: str) -> int:
    """Return how many names a command has: 1, or 2 for a subcommand."""
    return 1 + _name_of(usage).count("|")


def _parameters(function: Callable[..., Any]) -> Sequence[inspect.Parameter]:
    """Return the parameters. The first is the store or the session, except for a command in stages."""
    return list(inspect.signature(function, eval_str=True).parameters.values())


def _arity(parameters: Sequence[inspect.Parameter], depth: int) -> tuple[int, int]:
    """Return the minimum and maximum number of arguments, with the ``depth`` names before them."""
    named = [each for each in parameters if each.kind is not each.VAR_POSITIONAL]
    minimum = depth + sum(each.default is each.empty for each in named)
    maximum = depth + len(named) if len(named) == len(parameters) else UNBOUNDED
    return minimum, maximum


def _converting(function: Callable[..., T]) -> Callable[..., T]:
    """Convert the arguments of parameters that are annotated ``int`` before the function is called."""
    places = [place for place, each in enumerate(_parameters(function)) if each.annotation is int]
    if not places:
        return function

    @wraps(function)
    def converted(*args: Any) -> T:
        arguments = list(args)
        for place in places:
            if place < len(arguments):
                arguments[place] = parse_integer(arguments[place])
        return function(*arguments)

    return converted
