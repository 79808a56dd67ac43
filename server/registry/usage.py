"""Parse a usage line into the tree of arguments that COMMAND DOCS reports, as in Redis 7.

    SET key value [NX | XX] [EX seconds | KEEPTTL]
    MSET key value [key value ...]
    COMMAND LIST [FILTERBY <MODULE module-name | PATTERN pattern>]

Capitals are tokens, which are sent as they are. Other names are values. The values after a token belong to it. ``[ ]``
is optional, ``< >`` groups, ``|`` separates alternatives. ``...`` repeats its group, together with the same arguments
before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

KEY_NAMES = frozenset({"key", "newkey", "key1", "key2", "source", "destination", "destkey"})
"""Names of arguments that are keys, in a command that has keys."""

TYPES = {
    **dict.fromkeys(("pattern",), "pattern"),
    **dict.fromkeys(("unix-time-seconds", "unix-time-milliseconds"), "unix-time"),
    **dict.fromkeys(
        ("seconds", "milliseconds", "timeout", "increment", "decrement", "offset", "start", "len"), "integer"
    ),
    **dict.fromkeys(
        ("end", "index", "cursor", "count", "id", "protover", "destination-db", "version", "bit", "ttl", "frequency"),
        "integer",
    ),
}
"""The types of values by their names, where it is not a string. A command can have others: `CommandGroup`."""


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument, or a group of arguments. The names of the fields and types are those of Redis."""

    name: str
    type: str
    """``pure-token`` for a token, ``oneof`` and ``block`` for a group, otherwise the type of a value."""

    token: str = ""
    """What is sent before the value or the group, or alone."""

    key_spec_index: int | None = None
    """Which of the command's key specifications finds it, if it is a key."""

    optional: bool = False
    multiple: bool = False
    arguments: tuple[Argument, ...] = ()
    """The members of a group."""


def parse_usage(usage: str, key_specs: int, types: Mapping[str, str]) -> tuple[Argument, ...]:
    """Return the arguments of a usage line, from which the names of the command were removed.

    ``key_specs`` is the number of the command's key specifications, ``types`` has the types of values by their names.
    Raises `ValueError` for a line that cannot be parsed.
    """
    return _Parser(usage, key_specs, types).parse()


_WORD = re.compile(r"\.\.\.|[][<>|]|[^][<>|\s]+")
_TOKEN = re.compile(r"[A-Z][A-Z-]*")
_END = ""


class _Parser:
    def __init__(self, usage: str, key_specs: int, types: Mapping[str, str]) -> None:
        self._words: list[str] = [*_WORD.findall(usage), _END]
        self._at = 0
        self._types = {**TYPES, **types}
        self._key_specs = key_specs
        self._keys: dict[str, int] = {}  # the indexes of the key specifications, by the names of the keys

    def parse(self) -> tuple[Argument, ...]:
        arguments, is_repeated = self._sequence()
        if self._word is not _END or is_repeated:
            raise ValueError(f"a usage line has {self._word or '...'!r} at the wrong place")
        return tuple(arguments)

    @property
    def _word(self) -> str:
        return self._words[self._at]

    def _next(self) -> str:
        word = self._word
        self._at += 1
        return word

    def _sequence(self) -> tuple[list[Argument], bool]:
        """Parse arguments up to the end of a group or an alternative. Return them, and whether they are repeated."""
        arguments: list[Argument] = []
        is_repeated = False
        while self._word not in ("]", ">", "|", _END):
            word = self._next()
            if word == "...":
                is_repeated = True
            elif word == "[":
                group, repeats = self._group("]")
                first = len(arguments) - len(group.arguments or (group,))
                if repeats and [each.name for each in arguments[first:]] == list(_names(group)):
                    arguments[first:] = [replace(group, multiple=True, token=arguments[first].token)]
                else:
                    arguments.append(replace(group, optional=True, multiple=repeats or group.multiple))
            elif word == "<":
                arguments.append(self._group(">")[0])
            elif _TOKEN.fullmatch(word):
                arguments.append(self._after_token(word))
            else:
                arguments.append(self._value(word))
        return arguments, is_repeated

    def _group(self, end: str) -> tuple[Argument, bool]:
        """Parse alternatives up to the end of a group. Return the group, and whether it is repeated."""
        alternatives: list[Argument] = []
        while True:
            arguments, is_repeated = self._sequence()
            alternatives.append(_joined("block", arguments))
            word = self._next()
            if word == end:
                return _joined("oneof", alternatives), is_repeated
            if word != "|":
                raise ValueError(f"a usage line has {word!r} instead of {end!r}")

    def _after_token(self, token: str) -> Argument:
        """Return a token with the values or the group that belong to it, or alone."""
        if self._word == "<":
            self._next()
            return replace(self._group(">")[0], token=token)
        values: list[Argument] = []
        while re.match(r"[a-z]", self._word):
            values.append(self._value(self._next()))
        return (
            replace(_joined("block", values), token=token) if values else Argument(token.lower(), "pure-token", token)
        )

    def _value(self, name: str) -> Argument:
        if self._key_specs and name in KEY_NAMES:
            index = self._keys.setdefault(name, min(len(self._keys), self._key_specs - 1))
            return Argument(name, "key", key_spec_index=index)
        return Argument(name, self._types.get(name, "string"))


def _joined(kind: str, arguments: list[Argument]) -> Argument:
    """Return the only argument, or a group. As in Redis, a group is named after its members."""
    if len(arguments) == 1:
        return arguments[0]
    if not arguments:
        raise ValueError("a usage line has an empty group")
    return Argument("_".join(each.name for each in arguments), kind, arguments=tuple(arguments))


def _names(group: Argument) -> Iterator[str]:
    return (each.name for each in group.arguments or (group,))
