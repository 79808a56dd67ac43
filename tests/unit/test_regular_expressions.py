"""Every regular expression of the server takes linear time: no two of its repeats can share out the same bytes.

``[0-9]+\\.?[0-9]*`` takes quadratic time on digits before a letter: every position can end the first repeat.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.harness.cases import case
from tests.harness.sources import module_files, syntax_tree

parser: Any = re._parser  # type: ignore[attr-defined]

EVERY_BYTE = frozenset(range(256))
CATEGORIES = {"DIGIT": rb"\d", "SPACE": rb"\s", "WORD": rb"\w"}


def regular_expressions() -> Iterator[tuple[str, str | bytes]]:
    """Yield what is passed to the functions of `re` as a constant, each with its module and line."""
    for module, path in module_files("common", "server").items():
        for node in ast.walk(syntax_tree(path)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            if getattr(node.func.value, "id", "") == "re" and isinstance(node.args[0], ast.Constant):
                yield f"{module}, line {node.lineno}", node.args[0].value


@dataclass(frozen=True)
class Part:
    """Bytes that a regular expression accepts, once or any number of times."""

    accepts: frozenset[int]
    is_optional: bool = False
    is_unbounded: bool = False
    gives_back: bool = True  # it is not possessive


def accepted_bytes(code: Any, argument: Any) -> frozenset[int]:
    match str(code):
        case "LITERAL":
            return frozenset(bytes([argument]).lower() + bytes([argument]).upper())
        case "NOT_LITERAL":
            return EVERY_BYTE - {argument}
        case "RANGE":
            return frozenset(range(argument[0], argument[1] + 1))
        case "CATEGORY":
            name = str(argument).removeprefix("CATEGORY_")
            inside = frozenset(
                byte for byte in EVERY_BYTE if re.match(CATEGORIES[name.removeprefix("NOT_")], bytes([byte]))
            )
            return EVERY_BYTE - inside if name.startswith("NOT_") else inside
        case "IN":
            inside = frozenset[int]().union(*(accepted_bytes(*each) for each in argument if str(each[0]) != "NEGATE"))
            return EVERY_BYTE - inside if str(argument[0][0]) == "NEGATE" else inside
    return EVERY_BYTE


def ways(items: Iterable[tuple[Any, Any]]) -> list[list[Part]]:
    """Return every sequence of parts that alternatives and optional groups allow."""
    sequences: list[list[Part]] = [[]]
    for code, argument in items:
        choices = [[*more] for more in choices_of(str(code), code, argument)]
        sequences = [sequence + more for sequence in sequences for more in choices]
    return sequences


def choices_of(name: str, code: Any, argument: Any) -> list[list[Part]]:
    if name in ("AT", "ASSERT", "ASSERT_NOT"):
        return [[]]
    if name == "BRANCH":
        return [way for branch in argument[1] for way in ways(branch)]
    if name in ("SUBPATTERN", "ATOMIC_GROUP"):
        return ways(argument[-1] if name == "SUBPATTERN" else argument)
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        low, high, body = argument
        gives_back = name != "POSSESSIVE_REPEAT"
        if high != parser.MAXREPEAT:
            return [*([] if low else [[]]), *ways(body)]
        inner = [part for way in ways(body) for part in way]
        if gives_back and any(part.is_unbounded and part.gives_back for part in inner):
            raise AssertionError("a repeat of a repeat")
        accepts = frozenset[int]().union(*(part.accepts for part in inner))
        return [[Part(accepts, low == 0, is_unbounded=True, gives_back=gives_back)]]
    return [[Part(accepted_bytes(code, argument))]]


def check_linear(pattern: str | bytes) -> None:
    """Raise AssertionError if two repeats can share out the same bytes."""
    for sequence in ways(parser.parse(pattern)):
        for place, part in enumerate(sequence):
            if part.is_unbounded and part.gives_back:
                for later in sequence[place + 1 :]:
                    if not later.accepts & part.accepts:
                        if later.is_optional:
                            continue
                        break
                    assert not later.is_unbounded, f"{pattern!r} repeats the same bytes twice in a row"


def test_every_regular_expression_is_linear() -> None:
    found = list(regular_expressions())
    assert len(found) > 20
    for place, pattern in found:
        with case(place):
            check_linear(pattern)


@pytest.mark.parametrize(
    "pattern", [rb"[0-9]+\.?[0-9]*", rb"(?:a+)*", rb'"(?:[^"]|\\.)*x[^"]*"', r"\s*(?:x|)\s+", rb".*a.*b"]
)
def test_one_that_is_not_linear_is_found(pattern: str | bytes) -> None:
    with pytest.raises(AssertionError, match="repeat"):
        check_linear(pattern)
