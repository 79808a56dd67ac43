"""Which arguments of a request are keys, and what its command does with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Flag as EnumFlag
from enum import auto
from typing import Any, TypeVar

from common.codec import Args

A = TypeVar("A")


class KeyFlag(EnumFlag):
    """What a command does with a key. The names and meanings are Redis's (COMMAND INFO, key specifications)."""

    RO = auto()
    """Only reads the key."""

    RW = auto()
    """Changes what is stored, and depends on it."""

    OW = auto()
    """Overwrites what is stored, without reading it."""

    RM = auto()
    """Removes the key."""

    ACCESS = auto()
    """The value may be returned or copied, and not only something about it."""

    UPDATE = auto()
    """May change a value that exists."""

    INSERT = auto()
    """Adds a value, and changes none."""

    DELETE = auto()
    """Removes the value."""

    NOT_KEY = auto()
    """Is no key, but decides about the slot in a cluster like one: a shard channel."""

    VARIABLE_FLAGS = auto()
    """The other flags depend on the arguments."""

    @property
    def names(self) -> list[str]:
        """The names as Redis writes them: the first four in capitals, in its order."""
        named = [each.name or "" for each in KeyFlag if each in self]
        return [name if len(name) == 2 else name.lower() for name in named]


NO_FLAGS = KeyFlag(0)


@dataclass(frozen=True, slots=True)
class KeySpec:
    """Which arguments are keys, as COMMAND INFO reports it: from ``first`` to ``last``, every ``step``-th.

    The command's name is argument 0. A negative ``last`` counts from the end. ``movable`` finds the keys of a request
    if their positions depend on its other arguments.
    """

    first: int
    last: int
    step: int
    movable: Callable[[Any], Any] | None = None
    flags: KeyFlag = NO_FLAGS
    """What the command does with them. None stands for the usual flags of a command that reads or writes."""

    count_at: int = 0
    """The place of the argument that says how many keys follow it; 0 if they are not counted."""

    without: tuple[bytes, KeyFlag] | None = None
    """Other flags, for requests without an option: what VARIABLE_FLAGS announces."""

    def of(self, args: list[A]) -> list[A]:
        """Return the keys among a request's arguments, or the columns of keys among those of a batch."""
        if self.count_at:
            return args[self.count_at + 1 : self.count_at + 1 + _count(args[self.count_at])]
        if self.movable is not None:
            found: list[A] = self.movable(args)
            return found
        if not self.first:
            return []
        last = self.last if self.last > 0 else len(args) + self.last
        return args[self.first : last + 1 : self.step]

    @property
    def exist(self) -> bool:
        """Whether a request can have keys."""
        return bool(self.first or self.count_at)

    def used(self, flags: KeyFlag, without: tuple[bytes, KeyFlag] | None = None) -> KeySpec:
        """Return the same keys with these flags."""
        return replace(self, flags=flags, without=without)

    def without_flags(self) -> KeySpec:
        """Return the same keys without flags: `ONE_KEY` itself for one key, so that a comparison finds it at once."""
        plain = replace(self, flags=NO_FLAGS, without=None)
        return ONE_KEY if plain == ONE_KEY else plain

    def flags_in(self, args: Args) -> KeyFlag:
        """Return what a request does with the keys."""
        after_value = args[self.last + 2 :]
        if self.without is not None and self.without[0] not in map(bytes.upper, after_value):
            return self.without[1]
        return self.flags & ~KeyFlag.VARIABLE_FLAGS


def _count(arg: Any) -> int:
    """Return a number of keys, or 0 if it is not valid."""
    return int(arg) if isinstance(arg, bytes) and arg.isdigit() and len(arg) < 10 else 0


NO_KEYS = KeySpec(0, 0, 0)
ONE_KEY = KeySpec(1, 1, 1)
SECOND_KEY = KeySpec(2, 2, 1)
ALL_KEYS = KeySpec(1, -1, 1)

READ = KeyFlag.RO | KeyFlag.ACCESS
EXAMINE = KeyFlag.RO
CHANGE = KeyFlag.RW | KeyFlag.ACCESS | KeyFlag.UPDATE
UPDATE = KeyFlag.RW | KeyFlag.UPDATE
OVERWRITE = KeyFlag.OW | KeyFlag.UPDATE
ADD = KeyFlag.OW | KeyFlag.INSERT
TAKE = KeyFlag.RW | KeyFlag.ACCESS | KeyFlag.DELETE
REMOVE = KeyFlag.RM | KeyFlag.DELETE
"""What commands do with their keys. READ and CHANGE are the usual flags of commands that read and that write."""
