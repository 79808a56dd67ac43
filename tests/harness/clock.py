"""A clock that a test sets."""

from __future__ import annotations


class Clock:
    """A clock that is set by hand. It starts in the year 2033."""

    def __init__(self) -> None:
        self.now = 2_000_000_000_000

    def __call__(self) -> int:
        return self.now

    def forward(self, milliseconds: int) -> None:
        self.now += milliseconds
