"""COMPACT's output, typed into an empty server, rebuilds the store."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.engine import EmbeddedEngine
from server.store import Store
from tests.property.strategies import sizes, words
from tests.support import converse, new_session


@given(st.dictionaries(words, words, max_size=8), sizes, st.sampled_from([b"\n", b"\r\n"]))
def test_compacts_output_rebuilds_the_store_in_its_order(
    drawn: dict[bytes, bytes], pieces: list[int], ending: bytes
) -> None:
    original, rebuilt = Store(), Store()
    for key, value in drawn.items():
        original.set(key, value)
    printed = converse(new_session(EmbeddedEngine(original)), b"COMPACT" + ending)
    assert printed.count(ending) == max(1, len(drawn)), "one command a key"
    answer = converse(new_session(EmbeddedEngine(rebuilt)), printed, *pieces)
    assert answer == (b"OK" + ending) * len(drawn)
    assert rebuilt.items() == list(drawn.items())
