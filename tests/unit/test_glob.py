"""Glob patterns as KEYS and SCAN take them."""

from __future__ import annotations

import pytest

from server.args.glob import MAX_COMPILED_LENGTH, matcher


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        (b"", [b""], [b"a"]),
        (b"*", [b"", b"a", b"\r\n\xff"], []),
        (b"hello", [b"hello"], [b"hell", b"hello!", b"Hello", b" hello"]),
        (b"h?llo", [b"hello", b"h\nllo", b"h\xffllo"], [b"hllo", b"heello"]),
        (b"h*llo", [b"hllo", b"heeeello", b"hllollo"], [b"hell", b"hllox"]),
        (b"h[ae]llo", [b"hello", b"hallo"], [b"hillo", b"hllo"]),
        (b"h[^e]llo", [b"hallo", b"h^llo"], [b"hello"]),
        (b"h[a-c]llo", [b"hallo", b"hbllo", b"hcllo"], [b"hdllo", b"h-llo"]),
        (b"h[c-a]llo", [b"hallo", b"hcllo"], [b"hdllo"]),
        (b"[a-]", [b"a", b"]", b"_"], [b"b", b"-"]),
        (b"[\\]]", [b"]"], [b"\\", b"\\]"]),
        (b"[\\a-c]", [b"a", b"-", b"c"], [b"b"]),
        (b"[^a-]", [b"b", b"-"], [b"a", b"]", b""]),
        (b"[]", [], [b"", b"]", b"a"]),
        (b"[^]", [b"a", b"]"], [b"", b"aa"]),
        (b"[abc", [b"a", b"c"], [b"[abc", b"d"]),
        (b"\\*", [b"*"], [b"\\*", b"a"]),
        (b"\\a\\?", [b"a?"], [b"ab"]),
        (b"a\\", [b"a\\"], [b"a"]),
        (b"a.c", [b"a.c"], [b"abc"]),
        (b"(a|b)+$", [b"(a|b)+$"], [b"a"]),
        (b"a*b*c", [b"abc", b"axxbxxc", b"abcbc"], [b"ab", b"acb"]),
        (b"*ab", [b"ab", b"abab", b"aab"], [b"aba"]),
        (b"ab*ab", [b"abab", b"abxab"], [b"ab", b"aba"]),
        (b"**a**", [b"a", b"bab"], [b"", b"b"]),
        (b"*[ab]?", [b"ax", b"xxbx"], [b"a", b"xx"]),
        (b"[\xf0-\xff]", [b"\xf5"], [b"\xef"]),
    ],
)
def test_a_pattern_matches_these_and_not_those(pattern: bytes, matching: list[bytes], others: list[bytes]) -> None:
    """As in Redis, where a bracket may end a range, and a class need not be closed."""
    matches = matcher(pattern)
    assert [key for key in matching + others if matches(key)] == matching


@pytest.mark.parametrize(
    ("pattern", "key", "matching"),
    [
        (b"a*" * 5000 + b"b", b"a" * 100_000, False),
        (b"a*" * 5000 + b"b", b"a" * 100_000 + b"b", True),
        (b"*" * 16_000 + b"b", b"a" * 100_000, False),
        (b"*a" * 8000, b"a" * 8000, True),
        (b"*?" * 8000, b"a" * 7999, False),
        (b"[a" * 8000, b"a" * 16_000, False),
        (b"*[^b]" * 2000 + b"c", b"a" * 50_000, False),
        (b"\\" * 16_001, b"\\" * 8001, True),
    ],
    ids=["stars", "stars that match", "a row of stars", "letters", "marks", "open classes", "classes", "backslashes"],
)
def test_a_hostile_pattern_is_decided_in_time(pattern: bytes, key: bytes, matching: bool) -> None:
    """Where matching tried every length for every star, each of these would outlast the universe."""
    assert matcher(pattern)(key) is matching


LONG = MAX_COMPILED_LENGTH + 1


@pytest.mark.parametrize(
    ("pattern", "key", "matching"),
    [
        (b"?" * LONG, b"a", False),
        (b"?" * LONG, b"a" * LONG, True),
        (b"?" * LONG, b"a" * (LONG + 1), False),
        (b"*" * LONG, b"a", True),
        (b"[" + b"a" * LONG + b"]", b"a", True),
        (b"[^" + b"a" * LONG + b"]", b"a", False),
        (b"a*" * LONG + b"b", b"a" * (LONG + 10), False),
        (b"a*" * LONG + b"b", b"a" * (LONG + 10) + b"b", True),
        (b"*" + b"a" * LONG + b"b*", b"a" * 2 * LONG, False),
        (b"*" + b"[ab]" * LONG + b"c*", b"a" * 2 * LONG + b"cd", True),
    ],
    ids=["marks", "all", "too few", "stars", "a set", "not in a set", "letters", "found", "no end", "sets"],
)
def test_a_pattern_that_is_too_long_to_be_compiled_matches_too(pattern: bytes, key: bytes, matching: bool) -> None:
    assert matcher(pattern)(key) is matching
