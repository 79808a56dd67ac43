"""The expiration index, compared with a plain dict."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from server.keyspace.expiration import TUPLE_SIZE, ExpirationIndex
from tests.harness.profiles import examples

keys = st.sampled_from([b"%d" % number for number in range(8)])
times = st.integers(0, 6000) | st.integers(-(2**63), 2**63 - 1)


class ExpirationIndexMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.index = ExpirationIndex()
        self.model: dict[bytes, int] = {}

    @rule(key=keys, expires_at=times)
    def set(self, key: bytes, expires_at: int) -> None:
        self.index.set(key, expires_at)
        self.model[key] = expires_at

    @rule(first=st.integers(0, 10), step=st.sampled_from([1, 40]))
    def set_many(self, first: int, step: int) -> None:
        """Set so many expiries that periods are divided, and seconds have many keys."""
        for number in range(first, TUPLE_SIZE + 10):
            self.set(b"many %d" % number, number * step)

    @rule(key=keys)
    def remove(self, key: bytes) -> None:
        assert self.index.remove(key) == (self.model.pop(key, None) is not None)

    @rule(now=times, most=st.integers(1, 10), whole_seconds=st.booleans())
    def pop_expired(self, now: int, most: int, whole_seconds: bool) -> None:
        """Pop expired keys as the active expire cycle does, which may stop early."""
        end = now // 1000 * 1000 - 1 if whole_seconds else now
        expired = [key for key, expires_at in self.model.items() if expires_at <= end]
        popped: list[bytes] = []
        for key in self.index.pop_expired_before_this_second(now) if whole_seconds else self.index.pop_expired(now):
            assert key in self.model, "no key is returned twice"
            assert key not in self.index.by_key
            self.index.check()
            popped.append(key)
            del self.model[key]
            if len(popped) == most:
                break
        assert set(popped) <= set(expired)
        assert len(popped) == min(most, len(expired))

    @rule(now=times)
    def expired(self, now: int) -> None:
        assert self.index.expired(now) == {key for key, expires_at in self.model.items() if expires_at <= now}

    @invariant()
    def it_is_consistent_and_equals_the_model(self) -> None:
        self.index.check()
        assert self.index.by_key == self.model


TestExpirationIndex = ExpirationIndexMachine.TestCase
TestExpirationIndex.settings = settings(max_examples=examples(30), stateful_step_count=40)
