"""Random sessions, interleaved, against both servers: every reply must be the same, and what is left in the end."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.differential.comparison import Sessions
from tests.differential.strategies import SESSIONS, Step, scripts, small_scripts
from tests.differential.wire import Servers

PROTOCOLS = pytest.mark.parametrize("protocol", [2, 3], ids=["RESP2", "RESP3"])

# A connection's replies take as long as two processes need, which is not what a test's data should be judged by.
PATIENT = settings(
    suppress_health_check=[HealthCheck.too_slow], phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]
)


def converse(servers: Servers, protocol: int, script: list[Step]) -> None:
    """Say it all to both servers."""
    with Sessions(servers, SESSIONS, protocol) as sessions:
        for session, words in script:
            sessions.tell(session, *words)
        sessions.end()


@PROTOCOLS
@settings(PATIENT, max_examples=1000)
@given(script=scripts)
def test_random_sessions(servers: Servers, protocol: int, script: list[Step]) -> None:
    converse(servers, protocol, script)


@PROTOCOLS
@settings(PATIENT, max_examples=500)
@given(script=small_scripts)
def test_random_sessions_with_floating_point_numbers(servers: Servers, protocol: int, script: list[Step]) -> None:
    converse(servers, protocol, script)
