"""Usage lines, such as ``SET key value [NX | XX] [EX seconds | KEEPTTL]``: what a command takes, and what is left.

A line is read into a tree once. Each word that is typed then takes away what it stands for, so that what remains is at
every moment what may still follow. A word in capitals (or of signs alone) stands for itself in any case; any other is
the name of an argument, for which any word may stand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

_TOKEN = re.compile(r"[][<>|]|[^][<>|\s]+")


@dataclass(frozen=True, slots=True)
class Word:
    """A keyword or the name of an argument."""

    text: str

    @property
    def is_keyword(self) -> bool:
        return self.text == self.text.upper()

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Group:
    """What stands in brackets, ``[…]`` for what may be left out and ``<…>`` for what may not."""

    alternatives: tuple[Arguments, ...]
    optional: bool
    repeated: bool = False

    def __str__(self) -> str:
        inside = " | ".join(map(render, self.alternatives)) + (" ..." if self.repeated else "")
        return f"[{inside}]" if self.optional else f"<{inside}>"


Element: TypeAlias = Word | Group
Arguments: TypeAlias = tuple[Element, ...]


# ---------------------------------------------------------------- reading and printing


@lru_cache(maxsize=1024)
def parse_usage(usage: str) -> Arguments:
    """Read a usage line; return what stands behind the command's name. Brackets that do not match are put up with."""
    tokens = iter(_TOKEN.findall(usage))
    next(tokens, None)  # the name
    whole = _parse_group(tokens, optional=False)
    *others, last = whole.alternatives
    if not others:
        return last
    if all(len(each) == 1 for each in others):
        # CONFIG GET | SET | HELP [parameter ...]: subcommands that share what stands behind the last of them.
        return Group((*others, last[:1]), optional=False), *last[1:]
    return (whole,)


def _parse_group(tokens: Iterator[str], *, optional: bool) -> Group:
    """Read up to the closing bracket, or to the end."""
    alternatives: list[list[Element]] = [[]]
    repeated = False
    for token in tokens:
        if token in "[<":
            alternatives[-1].append(_parse_group(tokens, optional=token == "["))
        elif token in "]>":
            break
        elif token == "|":
            alternatives.append([])
        elif token == "...":
            repeated = True
        else:
            alternatives[-1].append(Word(token))
    return Group(tuple(map(tuple, alternatives)), optional, repeated)


def render(arguments: Arguments) -> str:
    """Print arguments as they stand in a usage line."""
    return " ".join(map(str, arguments))


# ---------------------------------------------------------------- typing


def arguments_after(arguments: Arguments, word: str) -> Arguments | None:
    """Return what may still follow once this word is typed; None where no such word can stand.

    A keyword is looked for first: in ``[key ...] <LEFT | RIGHT>`` the word LEFT is no key.
    """
    by_keyword = _after(arguments, word, keywords_only=True)
    return _after(arguments, word, keywords_only=False) if by_keyword is None else by_keyword


def _after(arguments: Arguments, word: str, *, keywords_only: bool) -> Arguments | None:
    for place, element in enumerate(arguments):
        rest = _after_element(element, word, keywords_only=keywords_only)
        if rest is not None:
            # Options may stand in any order, so those that were passed over may yet come. Behind an argument that is
            # known by its place they may not.
            passed = arguments[:place] if keywords_only and _is_optional(element) else ()
            return rest + passed + arguments[place + 1 :]
        if not _is_optional(element):
            return None
    return None


def _after_element(element: Element, word: str, *, keywords_only: bool) -> Arguments | None:
    if isinstance(element, Word):
        fits = word.upper() == element.text if element.is_keyword else not keywords_only
        return () if fits else None
    for alternative in element.alternatives:
        rest = _after(alternative, word, keywords_only=keywords_only)
        if rest is not None:
            return (*rest, replace(element, optional=True)) if element.repeated else rest
    return None


def next_words(arguments: Arguments) -> Iterator[Word]:
    """Yield the keywords and the names of arguments for which the next word may stand."""
    for element in arguments:
        if isinstance(element, Word):
            yield element
        else:
            for alternative in element.alternatives:
                yield from next_words(alternative)
        if not _is_optional(element):
            return


def _is_optional(element: Element) -> bool:
    return isinstance(element, Group) and element.optional
