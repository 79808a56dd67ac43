"""The decorators that make a table entry of a function. Its name, number of arguments and conversions are derived."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any, TypeAlias, TypedDict, TypeVar, Unpack

from common.codec import Args
from common.replies import Reply
from server.args.integers import parse_integer
from server.registry.command import (
    NO_FLAGS,
    UNBOUNDED,
    ColumnsFunction,
    Command,
    Flag,
    Function,
    ShortTest,
    StagedCall,
    StagedFunction,
)
from server.registry.keys import CHANGE, NO_KEYS, ONE_KEY, READ, KeySpec
from server.registry.usage import parse_usage

T = TypeVar("T")

SET_EVENT = "set"


class Documentation(TypedDict, total=False):
    """What a decorator takes besides the usage line, for COMMAND DOCS and COMMAND INFO."""

    since: str
    """The version of Redis that had the command first, or the version of kvline for a command of its own."""

    complexity: str
    """The time that it takes. O(1) if it is not given."""

    types: Mapping[str, str]
    """The types of values by their names in the usage line, if they are not those in `server.registry.usage`."""

    categories: tuple[str, ...]
    """The ACL categories that do not follow from the flags and the group."""

    event: str
    """What keyspace notifications call the change of a value. ``set`` if it is not given."""


KeySpecs: TypeAlias = KeySpec | tuple[KeySpec, ...]


class CommandGroup:
    """A family of commands, one per module. ``name`` is the group that COMMAND DOCS reports, such as ``string``.

    The decorators take the usage line, which gives the name, and a summary of one sentence. ``flags`` are added to
    those that the decorator implies. ``keys`` says which arguments are keys. ``categories`` are the ACL categories of
    all its commands, besides those that follow from the flags. ``redact`` is for a SENSITIVE command of whose arguments
    only some are secrets. ``is_short`` is for commands in stages: an I/O thread runs a short request itself.
    """

    def __init__(self, name: str, *categories: str) -> None:
        self.name = name
        self.categories = categories
        self.commands: list[Command] = []

    def reads(
        self,
        usage: str,
        summary: str,
        flags: Flag = NO_FLAGS,
        *,
        keys: KeySpecs = ONE_KEY,
        **docs: Unpack[Documentation],
    ) -> Callable[[Function], Function]:
        """Register a command that reads the keyspace. Its function gets the store."""
        return self._register(usage, summary, Flag.READONLY | flags, keys, docs, targets_keyspace=True)

    def writes(
        self,
        usage: str,
        summary: str,
        flags: Flag = NO_FLAGS,
        *,
        keys: KeySpecs = ONE_KEY,
        **docs: Unpack[Documentation],
    ) -> Callable[[Function], Function]:
        """Register a command that may change the keyspace. Its function gets the store."""
        return self._register(usage, summary, Flag.WRITE | flags, keys, docs, targets_keyspace=True)

    def reads_in_stages(
        self,
        usage: str,
        summary: str,
        flags: Flag = NO_FLAGS,
        *,
        keys: KeySpecs = ONE_KEY,
        is_short: ShortTest | None = None,
        **docs: Unpack[Documentation],
    ) -> Callable[[StagedFunction], StagedFunction]:
        """Register a command that reads the keyspace, in stages."""
        return self._register_staged(usage, summary, Flag.READONLY | flags, keys, docs, is_short)

    def writes_in_stages(
        self,
        usage: str,
        summary: str,
        flags: Flag = NO_FLAGS,
        *,
        keys: KeySpecs = ONE_KEY,
        is_short: ShortTest | None = None,
        **docs: Unpack[Documentation],
    ) -> Callable[[StagedFunction], StagedFunction]:
        """Register a command that may change the keyspace, in stages."""
        return self._register_staged(usage, summary, Flag.WRITE | flags, keys, docs, is_short)

    def writes_in_several_steps(
        self,
        usage: str,
        summary: str,
        flags: Flag = NO_FLAGS,
        *,
        keys: KeySpecs = ONE_KEY,
        is_short: ShortTest | None = None,
        redact: Callable[[Args], Args] | None = None,
        **docs: Unpack[Documentation],
    ) -> Callable[[StagedFunction], StagedFunction]:
        """Register a command that takes the lock several times. Other commands may run between its steps.

        In a transaction its steps, and what is between them, run under the lock of the transaction.
        """
        return self._register_staged(
            usage, summary, Flag.WRITE | flags, keys, docs, is_short, redact, several_steps=True
        )

    def in_session(
        self,
        usage: str,
        summary: str,
        flags: Flag = NO_FLAGS,
        *,
        keys: KeySpecs = NO_KEYS,
        **docs: Unpack[Documentation],
    ) -> Callable[[StagedFunction], StagedFunction]:
        """Register a command in stages that gets the session before its arguments, because it runs others (EVAL)."""
        return self._register_staged(usage, summary, flags, keys, docs, None, needs_session=True)

    def control(
        self,
        usage: str,
        summary: str,
        flags: Flag = NO_FLAGS,
        *,
        keys: KeySpecs = NO_KEYS,
        redact: Callable[[Args], Args] | None = None,
        **docs: Unpack[Documentation],
    ) -> Callable[[Function], Function]:
        """Register a command that works on the session or the server. Its function gets the session, without lock."""
        return self._register(usage, summary, flags, keys, docs, targets_keyspace=False, redact=redact)

    def by_columns(self, name: str, function: ColumnsFunction) -> None:
        """Execute several requests of a command by a function that is faster than one call for each.

        It is for requests that have the required arguments alone. It gets the store and a column of each argument, and
        returns their outcomes. It must not raise. See `server.registry.command.ColumnsFunction`.
        """
        self._change(name, by_columns=function)

    def may_take_long(self, name: str, function: Callable[..., bool]) -> None:
        """Let a function decide whether a request of a control command could delay other connections.

        It gets what the command's function gets, and returns at once.
        """
        self._change(name, may_take_long=function)

    def _change(self, name: str, **fields: Any) -> None:
        place = next(place for place, each in enumerate(self.commands) if each.name == name.encode())
        self.commands[place] = replace(self.commands[place], **fields)

    def container(self, name: str, summary: str, **docs: Unpack[Documentation]) -> None:
        """Describe a command that consists of subcommands alone."""
        # No number of arguments is allowed, so that each request is resolved to a subcommand or refused.
        docs = {"complexity": "Depends on the subcommand.", **docs}
        entry = self._entry(
            name, summary, NO_FLAGS, NO_KEYS, docs, arity=(2, 0), targets_keyspace=False, run=_not_runnable
        )
        self.commands.append(replace(entry, categories=()))  # its subcommands have them, as in Redis

    def _register(
        self,
        usage: str,
        summary: str,
        flags: Flag,
        keys: KeySpecs,
        docs: Documentation,
        *,
        targets_keyspace: bool,
        event: str = SET_EVENT,
        redact: Callable[[Args], Args] | None = None,
    ) -> Callable[[Function], Function]:
        def register(function: Function) -> Function:
            depth, parameters = _depth(usage), _parameters(function)
            arity = _arity(parameters[1:], depth)
            run = _converting(function, parameters)
            if depth > 1:
                run = _without_subcommand_name(run)
            entry = self._entry(
                usage, summary, flags, keys, docs, arity=arity, targets_keyspace=targets_keyspace, run=run
            )
            self.commands.append(replace(entry, redact=redact))
            return function

        return register

    def _register_staged(
        self,
        usage: str,
        summary: str,
        flags: Flag,
        keys: KeySpecs,
        docs: Documentation,
        is_short: ShortTest | None,
        redact: Callable[[Args], Args] | None = None,
        *,
        several_steps: bool = False,
        needs_session: bool = False,
        event: str = SET_EVENT,
    ) -> Callable[[StagedFunction], StagedFunction]:
        depth = _depth(usage)
        if depth > 1 and not needs_session:
            raise ValueError("a subcommand cannot run in stages")

        def register(function: StagedFunction) -> StagedFunction:
            parameters = _parameters(function)
            arity = _arity(parameters[needs_session:], depth)
            stages = _converting(function, parameters)
            if depth > 1:
                stages = _without_subcommand_name(stages)
            run = _in_single_step(stages)
            entry = self._entry(usage, summary, flags, keys, docs, arity=arity, targets_keyspace=True, run=run)
            self.commands.append(
                replace(
                    entry,
                    stages=stages,
                    is_short=is_short,
                    several_steps=several_steps,
                    needs_session=needs_session,
                    redact=redact,
                )
            )
            return function

        return register

    def _entry(
        self,
        usage: str,
        summary: str,
        flags: Flag,
        keys: KeySpecs,
        docs: Documentation,
        *,
        arity: tuple[int, int],
        targets_keyspace: bool,
        run: Function,
    ) -> Command:
        specs = _with_usual_flags(keys, Flag.WRITE in flags)
        min_args, max_args = arity
        return Command(
            name=_name_of(usage).encode(),
            usage=usage.encode(),
            summary=summary.encode(),
            group=self.name,
            flags=flags,
            keys=replace(specs[0], last=specs[-1].last) if specs else NO_KEYS,
            key_specs=specs,
            targets_keyspace=targets_keyspace,
            min_args=min_args,
            max_args=max_args,
            run=run,
            since=docs.get("since", "").encode(),
            complexity=docs.get("complexity", "O(1)").encode(),
            arguments=parse_usage(" ".join(usage.split()[_depth(usage) :]), len(specs), docs.get("types", {})),
            categories=self.categories + docs.get("categories", ()),
            event=docs.get("event", "set").encode(),
        )


def _with_usual_flags(keys: KeySpecs, writes: bool) -> tuple[KeySpec, ...]:
    """Return the key specifications, with flags."""
    specs = keys if isinstance(keys, tuple) else (keys,)
    return tuple(each if each.flags else each.used(CHANGE if writes else READ) for each in specs if each.exist)


# ---------------------------------------------------------------- how an entry calls its function


def _without_subcommand_name(run: Callable[..., T]) -> Callable[..., T]:
    """Remove the subcommand's name, which `Command.run` gets as the first argument."""

    @wraps(run)
    def run_subcommand(target: Any, _: bytes, *args: bytes) -> T:
        return run(target, *args)

    return run_subcommand


def _in_single_step(stages: StagedFunction) -> Function:
    """Run all stages with the store at hand, for an engine that takes the lock for the whole command."""

    def run(store: Any, *args: bytes) -> Reply:
        call: StagedCall[Any] = StagedCall(stages, args)
        call.run_step(store)
        while call.resume():
            call.run_step(store)
        return call.reply

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
    """Return the parameters. The first is the store or the session, except for a command in stages.

    Their annotations are not evaluated, which would take three times as long.
    """
    return list(inspect.signature(function).parameters.values())


def _arity(parameters: Sequence[inspect.Parameter], depth: int) -> tuple[int, int]:
    """Return the minimum and maximum number of arguments, with the ``depth`` names before them."""
    named = [each for each in parameters if each.kind is not each.VAR_POSITIONAL]
    minimum = depth + sum(each.default is each.empty for each in named)
    maximum = depth + len(named) if len(named) == len(parameters) else UNBOUNDED
    return minimum, maximum


def _converting(function: Callable[..., T], parameters: Sequence[inspect.Parameter]) -> Callable[..., T]:
    """Convert the arguments of parameters that are annotated ``int`` before the function is called."""
    places = [place for place, each in enumerate(parameters) if each.annotation in ("int", int)]
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
