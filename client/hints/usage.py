"""The grammar of usage lines, such as ``SET key value [NX | XX] [EX seconds | KEEPTTL]``.

    token     a keyword (in capitals, or only punctuation) or the name of an argument (anything else)
    [a | b]   optional, one of the alternatives
    <a | b>   required, one of the alternatives. An alternative may be several elements: ``<ID | KILL address>``.
    [a ...]   may be repeated

A usage line is parsed into a tree once. Each argument that is typed then consumes the element that it matches, so the
rest of the tree is what may still follow. A keyword matches itself in any case. The name of an argument matches any
argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

_LEXEME = re.compile(r"[][<>|]|[^][<>|\s]+")


@dataclass(frozen=True, slots=True)
class Token:
    """A keyword or the name of an argument."""

    text: str

    @property
    def is_keyword(self) -> bool:
        return self.text == self.text.upper()  # true of punctuation too, such as "*" in XADD

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Group:
    """The content of a pair of brackets: optional in ``[…]``, required in ``<…>``."""

    alternatives: tuple[Elements, ...]
    optional: bool
    repeated: bool = False

    def __str__(self) -> str:
        inside = " | ".join(map(render, self.alternatives)) + (" ..." if self.repeated else "")
        return f"[{inside}]" if self.optional else f"<{inside}>"


Element: TypeAlias = Token | Group
Elements: TypeAlias = tuple[Element, ...]


# ---------------------------------------------------------------- parsing and printing


# Cached, because the hint is computed again after each key.
@lru_cache(maxsize=1024)
def parse_usage(usage: str, names: int = 1) -> Elements:
    """Parse a usage line and return the elements after the command's name. Unbalanced brackets are tolerated.

    ``names`` is 2 for a subcommand, whose name is two words.
    """
    lexemes = iter(_LEXEME.findall(usage)[names:])
    whole = _parse_group(lexemes, optional=False)
    # Without alternatives at the top level, the group that was parsed is not part of the line.
    return whole.alternatives[0] if len(whole.alternatives) == 1 else (whole,)


def _parse_group(lexemes: Iterator[str], *, optional: bool) -> Group:
    """Parse to the closing bracket, or to the end of the line."""
    alternatives: list[list[Element]] = [[]]
    repeated = False
    for lexeme in lexemes:
        # Recursion ends with the nesting of the line. A closing bracket ends the innermost group, whatever its kind.
        if lexeme in "[<":
            alternatives[-1].append(_parse_group(lexemes, optional=lexeme == "["))
        elif lexeme in "]>":
            break
        elif lexeme == "|":
            alternatives.append([])
        elif lexeme == "...":
            repeated = True
        else:
            alternatives[-1].append(Token(lexeme))
    return Group(tuple(map(tuple, alternatives)), optional, repeated)


def render(elements: Elements) -> str:
    """Print elements in the notation of usage lines."""
    return " ".join(map(str, elements))


# ---------------------------------------------------------------- matching


def elements_after(elements: Elements, argument: str) -> Elements | None:
    """Consume the element that an argument matches. Return what may follow, or None if no element matches.

    Keywords are tried first: in ``[key ...] <LEFT | RIGHT>`` the argument LEFT is not a key.
    """
    by_keyword = _consume(elements, argument, keywords_only=True)
    return _consume(elements, argument, keywords_only=False) if by_keyword is None else by_keyword


def _consume(elements: Elements, argument: str, *, keywords_only: bool) -> Elements | None:
    for position, element in enumerate(elements):
        rest = _consume_element(element, argument, keywords_only=keywords_only)
        if rest is not None:
            # Options may be given in any order, so those that were skipped may still follow. They may not follow an
            # argument that is known by its position.
            skipped = elements[:position] if keywords_only and _is_optional(element) else ()
            return rest + skipped + elements[position + 1 :]
        if not _is_optional(element):  # a required element is in the way
            return None
    return None


def _consume_element(element: Element, argument: str, *, keywords_only: bool) -> Elements | None:
    if isinstance(element, Token):
        matches = argument.upper() == element.text if element.is_keyword else not keywords_only
        return () if matches else None
    for alternative in element.alternatives:
        rest = _consume(alternative, argument, keywords_only=keywords_only)
        if rest is not None:
            # One more round may follow. It is optional, even if the first one was required.
            return (*rest, replace(element, optional=True)) if element.repeated else rest
    return None


def next_tokens(elements: Elements) -> Iterator[Token]:
    """Yield every token that the next argument may match."""
    for element in elements:
        if isinstance(element, Token):
            yield element
        else:
            for alternative in element.alternatives:
                yield from next_tokens(alternative)
        if not _is_optional(element):
            return


def is_complete(elements: Elements) -> bool:
    """Return whether nothing has to follow."""
    return all(map(_is_optional, elements))


def _is_optional(element: Element) -> bool:
    return isinstance(element, Group) and element.optional
