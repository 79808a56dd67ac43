"""The deadlines, held against a plain dict."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from server.keyspace.expiration import Deadlines

keys = st.sampled_from([b"%d" % number for number in range(8)])
moments = st.integers(0, 6000) | st.integers(-(2**63), 2**63 - 1)


class DeadlinesMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.deadlines = Deadlines()
        self.model: dict[bytes, int] = {}

    @rule(key=keys, moment=moments)
    def place(self, key: bytes, moment: int) -> None:
        self.deadlines.place(key, moment)
        self.model[key] = moment

    @rule(key=keys)
    def discard(self, key: bytes) -> None:
        assert self.deadlines.discard(key) == (self.model.pop(key, None) is not None)

    @rule(now=moments, most=st.integers(1, 10), whole_seconds=st.booleans())
    def take_what_is_due(self, now: int, most: int, whole_seconds: bool) -> None:
        """As a sweep does that may stop early."""
        end = now // 1000 * 1000 - 1 if whole_seconds else now
        due = [key for key, moment in self.model.items() if moment <= end]
        taken: list[bytes] = []
        for key in self.deadlines.overdue(now) if whole_seconds else self.deadlines.due(now):
            assert key in self.model, "no key comes twice"
            assert self.deadlines.discard(key)
            self.deadlines.check()
            taken.append(key)
            del self.model[key]
            if len(taken) == most:
                break
        assert set(taken) <= set(due)
        assert len(taken) == min(most, len(due))

    @invariant()
    def they_are_sound_and_are_what_the_model_is(self) -> None:
        self.deadlines.check()
        assert self.deadlines.by_key == self.model


TestDeadlines = DeadlinesMachine.TestCase
TestDeadlines.settings = settings(max_examples=60, stateful_step_count=40)
