"""The structure of a JSON text is bounded before it is parsed, and what is in its strings does not count."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.limits import DEFAULT_LIMITS
from server.protocols import strict_json
from server.protocols.strict_json import MAX_CONTAINERS, MAX_DEPTH, MAX_VALUES, UnreadableJSON, parse_json
from tests.harness.memory import traced_memory

TOO_MANY_VALUES = "it has more than 1048576 values"
TOO_MANY_CONTAINERS = "it has more than 131072 arrays and objects"
TOO_DEEP = "it is nested more than 256 deep"


def array(*items: bytes) -> bytes:
    return b"[" + b",".join(items) + b"]"


def full(item: bytes) -> bytes:
    """Return an array of as many items as fit into the longest frame."""
    return array(*[item] * ((DEFAULT_LIMITS.max_frame - 1) // (len(item) + 1)))


class NoParser:
    """Takes the place of the parser in tests of what is refused before it is called."""

    def decode(self, text: str) -> Any:
        pytest.fail("the text was parsed")


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (b"[]", TOO_MANY_VALUES),
        (b"{}", TOO_MANY_VALUES),
        (b'["a"]', TOO_MANY_VALUES),
        (b'"a"', TOO_MANY_VALUES),
        (rb'"\\"', TOO_MANY_VALUES),
        (rb'"\""', TOO_MANY_VALUES),
        (b'{"a":0}', TOO_MANY_VALUES),
        (b"0", TOO_MANY_VALUES),
        (b"1.5", TOO_MANY_VALUES),
        (b"[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]", TOO_MANY_CONTAINERS),
    ],
    ids=repr,
)
def test_a_text_with_too_many_values_is_refused_before_it_is_parsed(item: bytes, reason: str) -> None:
    text = full(item)
    with (
        traced_memory() as memory,
        patch.object(strict_json, "_DECODER", NoParser()),
        pytest.raises(UnreadableJSON, match=reason),
    ):
        parse_json(text)
    assert memory.peak < 10 * len(text)


def test_strings_are_not_removed_one_by_one_if_they_are_too_many() -> None:
    text = full(b'"a"')
    with traced_memory() as memory, pytest.raises(UnreadableJSON):
        parse_json(text)
    assert memory.peak < len(text)


@pytest.mark.parametrize(
    ("new", "limit"),
    [
        pytest.param(lambda count: array(*[b"0"] * count), MAX_VALUES, id="values"),
        pytest.param(lambda count: array(*[b"[]"] * (count - 1)), MAX_CONTAINERS, id="arrays"),
        pytest.param(lambda count: array(*[b'{"a":0}'] * (count - 1)), MAX_CONTAINERS, id="objects"),
        pytest.param(lambda depth: b"[" * depth + b"]" * depth, MAX_DEPTH, id="depth of arrays"),
        pytest.param(lambda depth: b'{"a":' * depth + b"0" + b"}" * depth, MAX_DEPTH, id="depth of objects"),
    ],
)
def test_the_bounds_are_exact(new: Callable[[int], bytes], limit: int) -> None:
    text = new(limit)
    assert parse_json(text) == json.loads(text)
    with pytest.raises(UnreadableJSON):
        parse_json(new(limit + 1))


@pytest.mark.parametrize(
    "part",
    ['[{"', ",:", '\\"[', "\\\\", '\\\\"[{,', "]}", "é{", "[" * 1000, "," * MAX_VALUES],
    ids=lambda part: ascii(part[:10]),
)
def test_what_is_in_strings_does_not_count(part: str) -> None:
    value = [part, {part: part}, *[[part[:10]]] * (MAX_DEPTH + 1)]
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize("prefix", [b'"]]]]",', rb'"\"]",', rb'"\\]",', rb'"\\\"]",', rb'"]\\",'])
def test_brackets_in_strings_do_not_hide_the_depth(prefix: bytes) -> None:
    text = b"[" + prefix * 400 + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"]"
    with pytest.raises(UnreadableJSON, match=TOO_DEEP):
        parse_json(text)


@pytest.mark.parametrize(
    "text", [b'"' * 1001, b'["a' + b"[" * 1000, b"]" * 1000 + b"[" * 2000, b"\\" * 1000 + b"[" * 9]
)
def test_a_malformed_text_is_refused_with_a_reason(text: bytes) -> None:
    with pytest.raises(UnreadableJSON):
        parse_json(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('[]{},:"\\aé', max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text('[]{},:"\\a', max_size=3), inner, max_size=4),
    max_leaves=20,
)


def count(value: object) -> tuple[int, int]:
    """Return the number of values and names, and the depth, counted in the plainest way. Only scalars are values."""
    match value:
        case list():
            parts, names = value, 0
        case dict():
            parts, names = list(value.values()), len(value)
        case _:
            return 1, 0
    counts = [count(part) for part in parts]
    values = sum(each[0] for each in counts) + names
    return max(1, values), 1 + max((each[1] for each in counts), default=0)


@given(value=json_values, limit=st.integers(0, 20), ascii_only=st.booleans())
@pytest.mark.parametrize("bound", ["MAX_VALUES", "MAX_DEPTH"])
def test_any_text_is_parsed_if_and_only_if_its_structure_is_within_the_bounds(
    bound: str, value: object, limit: int, ascii_only: bool
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    values, depth = count(value)
    found = {"MAX_VALUES": values, "MAX_DEPTH": depth}[bound]
    with patch.object(strict_json, bound, limit):
        if found <= limit:
            assert parse_json(text) == value
        else:
            with pytest.raises(UnreadableJSON):
                parse_json(text)
