"""Random interleaved sessions with both servers. All replies must be equal, and the keyspaces at the end too."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tests.differential.comparison import Sessions
from tests.differential.strategies import SESSIONS, Step, scripts, small_scripts
from tests.harness.profiles import examples
from tests.harness.resp_wire import Servers

PROTOCOLS = pytest.mark.parametrize("protocol", [2, 3], ids=["RESP2", "RESP3"])

# Two processes reply slowly. That is no reason to reject the test's data.
PATIENT = settings(
    suppress_health_check=[HealthCheck.too_slow], phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]
)


def few_letters(data: bytes) -> bytes:
    """Convert bytes to three letters, so that two values have much in common."""
    return bytes(ord("a") + byte % 3 for byte in data)


def feed(servers: Servers, protocol: int, script: list[Step]) -> None:
    """Send a script to both servers."""
    with Sessions(servers, SESSIONS, protocol) as sessions:
        for session, args in script:
            sessions.send(session, *args)
        sessions.end()


@PROTOCOLS
@settings(PATIENT, max_examples=examples(60))
@given(script=scripts)
@example(script=[(0, (b"SET", b"f", b"inf")), (0, (b"INCRBYFLOAT", b"f", b"-inf"))])
@example(script=[(0, (b"MULTI",)), (0, (b"MSET", b"a")), (0, (b"EXEC",))])
@example(script=[(0, (b"COMMAND", b"COUNT", b"x"))])
@example(script=[(0, (b"SCAN", b"x", b"FOO", b"1"))])
@example(script=[(0, (b"MSET", b"^", b"", b"]", b"", b"a", b"", b"-", b"")), (0, (b"KEYS", b"[a-]"))])
def test_random_sessions(servers: Servers, protocol: int, script: list[Step]) -> None:
    feed(servers, protocol, script)


@PROTOCOLS
@settings(PATIENT, max_examples=examples(30))
@given(script=small_scripts)
def test_random_sessions_with_floating_point_numbers(servers: Servers, protocol: int, script: list[Step]) -> None:
    feed(servers, protocol, script)


@settings(PATIENT, max_examples=examples(50))
@given(a=st.binary(max_size=30).map(few_letters), b=st.binary(max_size=30).map(few_letters))
def test_both_servers_choose_the_same_longest_common_subsequence(servers: Servers, a: bytes, b: bytes) -> None:
    with Sessions(servers, 1) as sessions:
        sessions.send(0, b"MSET", b"a", a, b"b", b)
        for options in ([], [b"LEN"], [b"IDX"], [b"IDX", b"WITHMATCHLEN"], [b"IDX", b"MINMATCHLEN", b"2"]):
            sessions.send(0, b"LCS", b"a", b"b", *options)
