"""Wait for states and run threads at once. No test waits for a time to pass: it polls, and fails after `TIMEOUT`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

TIMEOUT = 60.0
"""Seconds after which a state that was not reached counts as never reached. A busy machine takes more than 20."""

T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, seconds: float = TIMEOUT) -> T:
    """Poll until the condition is true and return what it returned. Fail the test after the timeout."""
    deadline = time.monotonic() + seconds
    while not (outcome := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:g} seconds in vain until {what}")
        time.sleep(0.01)
    return outcome


def watch(sample: Callable[[], float], seconds: float = 1.0) -> list[float]:
    """Take samples of something for a while, to see what it does while it is idle."""
    samples = [sample()]
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.01)
        samples.append(sample())
    return samples


def all_at_once(functions: Sequence[Callable[[], T]]) -> list[T]:
    """Run each function in a thread of its own, all starting at once. Raise what one of them raised."""
    barrier = threading.Barrier(len(functions))

    def started_together(function: Callable[[], T]) -> T:
        barrier.wait(TIMEOUT)
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(started_together, functions))
