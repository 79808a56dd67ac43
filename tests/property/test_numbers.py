"""INCRBYFLOAT and integers: what is added up is what was there."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from tests.harness.sessions import execute, new_session

decimals = st.decimals(-(10**15), 10**15, places=17).map(lambda number: f"{number:f}".encode())


@given(st.lists(decimals, min_size=1, max_size=6))
def test_sums_of_decimals_are_exact_and_read_back_as_they_were_printed(steps: list[bytes]) -> None:
    session = new_session()
    total = Fraction(0)
    for step in steps:
        total += Fraction(step.decode())
        printed = execute(session, b"INCRBYFLOAT", b"n", step)
        assert isinstance(printed, bytes)
        assert Fraction(printed.decode()) == total
        assert printed == execute(session, b"GET", b"n") == execute(session, b"INCRBYFLOAT", b"n", b"0")
