"""Glob patterns, held against a matcher that tries everything."""

from __future__ import annotations

from functools import cache

from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.args.glob import matcher
from server.args.long_glob import LongPattern
from tests.harness.profiles import examples

parts = st.sampled_from(
    [
        b"a",
        b"b",
        b"c",
        b"-",
        b"*",
        b"*",
        b"?",
        b"[",
        b"]",
        b"^",
        b"\\",
        b"[ab]",
        b"[^a]",
        b"[a-c]",
        b"[c-a]",
        b"\n",
        b".",
    ]
)
patterns = st.lists(parts, max_size=10).map(b"".join)
keys = st.lists(
    st.sampled_from([b"a", b"b", b"c", b"d", b"-", b"[", b"]", b"^", b"\\", b"*", b"\n", b"."]), max_size=8
).map(b"".join)


def matches(pattern: bytes, key: bytes) -> bool:
    """Return whether the key matches as Redis's stringmatchlen says, by trying every length for every star."""

    @cache
    def at(p: int, k: int) -> bool:
        if p == len(pattern):
            return k == len(key)
        mark = pattern[p : p + 1]
        if mark == b"*":
            return any(at(p + 1, end) for end in range(k, len(key) + 1))
        if k == len(key):
            return False
        if mark == b"?":
            return at(p + 1, k + 1)
        if mark == b"[":
            after, members = read_class(pattern, p + 1)
            return key[k] in members and at(after, k + 1)
        if mark == b"\\" and p + 1 < len(pattern):
            p += 1
        return pattern[p] == key[k] and at(p + 1, k + 1)

    return at(0, 0)


def read_class(pattern: bytes, p: int) -> tuple[int, set[int]]:
    """Return where a class in brackets ends, and the bytes that it takes."""
    negated = pattern[p : p + 1] == b"^"
    p += negated
    members: set[int] = set()
    while p < len(pattern) and pattern[p : p + 1] != b"]":
        if pattern[p : p + 1] == b"\\" and p + 1 < len(pattern):
            members.add(pattern[p + 1])
            p += 2
        elif pattern[p : p + 1] == b"\\":
            p += 1  # one that ends the pattern
        elif pattern[p + 1 : p + 2] == b"-" and p + 2 < len(pattern):
            low, high = sorted((pattern[p], pattern[p + 2]))
            members |= set(range(low, high + 1))
            p += 3
        else:
            members.add(pattern[p])
            p += 1
    return min(p + 1, len(pattern)), set(range(256)) - members if negated else members


@settings(max_examples=examples(300))
@given(patterns, keys)
@example(b"", b"")
@example(b"*", b"")
@example(b"a*a", b"a")
@example(b"*ab*ab", b"abab")
@example(b"\\", b"\\")
def test_a_key_matches_where_trying_everything_finds_a_way(pattern: bytes, key: bytes) -> None:
    assert matcher(pattern)(key) == LongPattern(pattern).matches(key) == matches(pattern, key)


@settings(max_examples=examples(100))
@given(keys, st.data())
def test_a_key_matches_a_pattern_that_was_made_of_it(key: bytes, data: st.DataObject) -> None:
    pieces = []
    for place in range(len(key)):
        byte = key[place : place + 1]
        pieces.append(
            data.draw(st.sampled_from([b"?", b"*", b"**", b"\\" + byte, b"[\\" + byte + b"]", b"*\\" + byte]))
        )
    assert matcher(b"".join(pieces))(key)
    assert LongPattern(b"".join(pieces)).matches(key)


@settings(max_examples=examples(50))
@given(patterns, st.lists(keys, max_size=5))
def test_a_long_pattern_does_not_depend_on_the_keys_before(pattern: bytes, tried: list[bytes]) -> None:
    long = LongPattern(pattern)
    assert [long.matches(key) for key in tried] == [matches(pattern, key) for key in tried]
