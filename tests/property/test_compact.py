"""COMPACT's output, typed into an empty server, rebuilds the store."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.engines.embedded import EmbeddedEngine
from tests.harness.clock import Clock
from tests.harness.sessions import feed, new_session
from tests.harness.stores import new_store
from tests.property.strategies import args, sizes

lives = st.none() | st.integers(1, 10**12)
"""For how many milliseconds a key lives."""


@given(st.dictionaries(args, st.tuples(args, lives), max_size=8), sizes, st.sampled_from([b"\n", b"\r\n"]))
def test_compacts_output_rebuilds_the_store_in_its_order_with_its_expiries(
    drawn: dict[bytes, tuple[bytes, int | None]], pieces: list[int], ending: bytes
) -> None:
    clock = Clock()
    original, rebuilt = new_store(clock), new_store(clock)
    for key, (value, life) in drawn.items():
        original.set(key, value)
        if life is not None:
            original.expire_at(key, clock.now + life)
    printed = feed(new_session(EmbeddedEngine(original)), b"COMPACT" + ending)
    assert printed.count(ending) == max(1, len(drawn)), "one command a key"
    answer = feed(new_session(EmbeddedEngine(rebuilt)), printed, *pieces)
    assert answer == (b"OK" + ending) * len(drawn)
    assert rebuilt.items() == [
        (key, value, None if life is None else clock.now + life) for key, (value, life) in drawn.items()
    ]
