"""Name the case that fails in a test of many cases.

`pytest.mark.parametrize` is the first choice. It costs about 5 ms a case on two cores, in which a session executes a
hundred commands, so a test of more than about 30 quick cases has a loop instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def case(*what: object) -> Iterator[None]:
    """Add the case to what is raised inside, so that the report of the failed test shows it."""
    try:
        yield
    except BaseException as problem:
        problem.add_note(f"the case: {', '.join(map(_shown, what))}")
        raise


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
