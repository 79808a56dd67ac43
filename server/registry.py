"""How a command is entered: one function, and one line above it that says the rest.

    group = Group("string")

    @group.reads("GET key", "Return the value of a key.")
    def get(store: Store, key: bytes) -> Reply:
        return store.get(key)

Everything else is derived. The name and the arguments' names come from the usage line; how many words a command takes
comes from the function's parameters; a parameter that is annotated ``int`` gets its word converted, with Redis's error
where it is no integer. HELP, COMMAND and the client's completion read the table, so they know a command at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeAlias

from common.codec import Args
from common.replies import Reply
from server.args.integers import parse_integer

Function: TypeAlias = Callable[..., Reply]

UNBOUNDED = 2**63


@dataclass(frozen=True, slots=True)
class Keys:
    """Which of a command's words are keys, as COMMAND reports it: from ``first`` to ``last``, every ``step``-th.

    The command's name is word 0; a negative ``last`` counts from the end.
    """

    first: int
    last: int
    step: int

    def of(self, args: Args) -> Args:
        """Return the keys among a request's words."""
        if not self.first:
            return []
        last = self.last if self.last > 0 else len(args) + self.last
        return args[self.first : last + 1 : self.step]


NO_KEYS = Keys(0, 0, 0)
ONE_KEY = Keys(1, 1, 1)
ALL_KEYS = Keys(1, -1, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """What the server knows of one command."""

    name: bytes  # in capitals
    usage: bytes
    summary: bytes
    group: str
    on_store: bool  # its function gets the store, under the lock; else the session that sent it
    flags: tuple[str, ...]
    keys: Keys
    immediate: bool  # runs inside MULTI at once, where any other is queued
    fewest: int  # words, its name included
    most: int
    run: Function

    @property
    def reads(self) -> bool:
        """Whether it works on the store and changes nothing."""
        return "readonly" in self.flags

    @property
    def writes(self) -> bool:
        """Whether it may change the store."""
        return "write" in self.flags

    @property
    def arity(self) -> int:
        """The number of words in Redis's way: exact, or negative for "at least so many"."""
        return self.fewest if self.fewest == self.most else -self.fewest


class CommandGroup:
    """A family of commands, one to a module."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.commands: list[Command] = []

    def reads(self, usage: str, summary: str, *, keys: Keys = ONE_KEY) -> Callable[[Function], Function]:
        """Enter a command that reads the store."""
        return self._enter(usage, summary, ("readonly",), on_store=True, keys=keys)

    def writes(self, usage: str, summary: str, *, keys: Keys = ONE_KEY) -> Callable[[Function], Function]:
        """Enter a command that may change the store."""
        return self._enter(usage, summary, ("write",), on_store=True, keys=keys)

    def session(
        self, usage: str, summary: str, *, keys: Keys = NO_KEYS, immediate: bool = False
    ) -> Callable[[Function], Function]:
        """Enter a command that works on the session and leaves the store alone."""
        return self._enter(usage, summary, ("fast",), on_store=False, keys=keys, immediate=immediate)

    def _enter(
        self,
        usage: str,
        summary: str,
        flags: tuple[str, ...],
        *,
        on_store: bool,
        keys: Keys = NO_KEYS,
        immediate: bool = False,
    ) -> Callable[[Function], Function]:
        def enter(function: Function) -> Function:
            fewest, most = _arity(function)
            self.commands.append(
                Command(
                    name=usage.split(maxsplit=1)[0].upper().encode(),
                    usage=usage.encode(),
                    summary=summary.encode(),
                    group=self.name,
                    on_store=on_store,
                    flags=flags,
                    keys=keys,
                    immediate=immediate,
                    fewest=fewest,
                    most=most,
                    run=_converting(function),
                )
            )
            return function

        return enter


class CommandTable:
    """Every command that the server knows, found by name in any case."""

    def __init__(self, groups: Iterable[CommandGroup]) -> None:
        self._commands: dict[bytes, Command] = {}
        for command in sorted((each for group in groups for each in group.commands), key=lambda each: each.name):
            if command.name in self._commands:
                raise ValueError(f"two commands are called {command.name!r}")
            self._commands[command.name] = command
        lower = {name.lower(): command for name, command in self._commands.items()}
        self.by_spelling = self._commands | lower
        """The two usual spellings, so that the common case is one look-up."""

    def find(self, name: bytes) -> Command | None:
        """Return the command of that name, in whatever case it is written."""
        return self.by_spelling.get(name) or self._commands.get(name.upper())

    def __iter__(self) -> Iterator[Command]:
        return iter(self._commands.values())

    def __len__(self) -> int:
        return len(self._commands)


def _parameters(function: Function) -> list[inspect.Parameter]:
    """Return the parameters that stand for words; the first is the store or the session."""
    return list(inspect.signature(function, eval_str=True).parameters.values())[1:]


def _arity(function: Function) -> tuple[int, int]:
    args = _parameters(function)
    named = [each for each in args if each.kind is not each.VAR_POSITIONAL]
    fewest = 1 + sum(each.default is each.empty for each in named)
    most = 1 + len(named) if len(named) == len(args) else UNBOUNDED
    return fewest, most


def _converting(function: Function) -> Function:
    """Convert the words of parameters that are annotated ``int`` before the function sees them."""
    places = [place for place, each in enumerate(_parameters(function)) if each.annotation is int]
    if not places:
        return function

    @wraps(function)
    def converted(target: Any, *args: Any) -> Reply:
        arguments = list(args)
        for place in places:
            if place < len(arguments):
                arguments[place] = parse_integer(arguments[place])
        return function(target, *arguments)

    return converted
