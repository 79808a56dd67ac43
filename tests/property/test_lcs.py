"""LCS, held against the table that every textbook fills in."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from common.replies import Reply
from tests.harness.profiles import examples
from tests.harness.sessions import ClientSession, execute, new_session

values = st.lists(st.sampled_from([b"a", b"b", b"c", b"\xff"]), max_size=14).map(b"".join) | st.binary(max_size=80)


def longest(a: bytes, b: bytes) -> int:
    """Return the length of the longest common subsequence, by dynamic programming."""
    row = [0] * (len(b) + 1)
    for mine in a:
        before = row
        row = [0]
        for place, theirs in enumerate(b):
            row.append(before[place] + 1 if mine == theirs else max(before[place + 1], row[place]))
    return row[-1]


def is_subsequence(part: bytes, whole: bytes) -> bool:
    rest = iter(whole)
    return all(byte in rest for byte in part)


def session_with(a: bytes, b: bytes) -> ClientSession:
    session = new_session()
    execute(session, b"HELLO", b"3")
    execute(session, b"MSET", b"a", a, b"b", b)
    return session


@settings(max_examples=examples(150))
@given(values, values)
def test_the_subsequence_is_common_and_there_is_no_longer_one(a: bytes, b: bytes) -> None:
    session = session_with(a, b)
    found = execute(session, b"LCS", b"a", b"b")
    assert isinstance(found, bytes)
    assert is_subsequence(found, a)
    assert is_subsequence(found, b)
    assert len(found) == longest(a, b) == execute(session, b"LCS", b"a", b"b", b"LEN")


@settings(max_examples=examples(100))
@given(values, values, st.integers(-1, 4))
def test_the_matches_are_the_stretches_of_the_subsequence_from_last_to_first(a: bytes, b: bytes, shortest: int) -> None:
    session = session_with(a, b)
    reply = execute(session, b"LCS", b"a", b"b", b"IDX", b"WITHMATCHLEN")
    assert isinstance(reply, dict)
    assert reply[b"len"] == longest(a, b)
    matches = reply[b"matches"]
    assert isinstance(matches, list)
    ends = (len(a), len(b))
    stretches = []
    for match in matches:
        (first_a, last_a), (first_b, last_b), length = numbers(match)
        assert a[first_a : last_a + 1] == b[first_b : last_b + 1]
        assert length == last_a - first_a + 1 == last_b - first_b + 1 > 0
        assert (last_a < ends[0], last_b < ends[1]) == (True, True)
        ends = (first_a, first_b)
        stretches.append(a[first_a : last_a + 1])
    assert b"".join(reversed(stretches)) == execute(session, b"LCS", b"a", b"b")
    some = execute(session, b"LCS", b"a", b"b", b"IDX", b"MINMATCHLEN", b"%d" % shortest, b"WITHMATCHLEN")
    assert isinstance(some, dict)
    assert some[b"matches"] == [match for match in matches if numbers(match)[2] >= shortest]
    plain = execute(session, b"LCS", b"a", b"b", b"IDX")
    assert isinstance(plain, dict)
    assert plain[b"matches"] == [match[:2] for match in matches if isinstance(match, list)]


def walk_of_redis(a: bytes, b: bytes) -> list[list[list[int]]]:
    """Return the matches as Redis's lcsCommand finds them, cell by cell."""
    lengths = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, mine in enumerate(a, 1):
        for j, theirs in enumerate(b, 1):
            lengths[i][j] = lengths[i - 1][j - 1] + 1 if mine == theirs else max(lengths[i - 1][j], lengths[i][j - 1])
    matches: list[list[list[int]]] = []
    i, j = len(a), len(b)
    while i and j:
        if a[i - 1] == b[j - 1]:
            i, j = i - 1, j - 1
            if matches and matches[-1][0][0] == i + 1 and matches[-1][1][0] == j + 1:
                matches[-1][0][0], matches[-1][1][0] = i, j
            else:
                matches.append([[i, i], [j, j]])
        elif lengths[i - 1][j] > lengths[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return matches


@settings(max_examples=examples(150))
@given(values, values)
def test_the_walk_back_is_that_of_redis_whichever_value_is_longer(a: bytes, b: bytes) -> None:
    reply = execute(session_with(a, b), b"LCS", b"a", b"b", b"IDX")
    assert isinstance(reply, dict)
    assert reply[b"matches"] == walk_of_redis(a, b)


def numbers(match: Reply) -> tuple[list[int], list[int], int]:
    assert isinstance(match, list)
    in_a, in_b, length = match
    assert isinstance(in_a, list)
    assert isinstance(in_b, list)
    assert isinstance(length, int)
    return [each for each in in_a if isinstance(each, int)], [each for each in in_b if isinstance(each, int)], length
