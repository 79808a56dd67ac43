"""What can be observed on the store's mutation path: every change of the keyspace, with its cause.

Watches are an observer. Memory accounting and a durable log would be further ones.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum, auto
from typing import Protocol


class Removal(Enum):
    """Why a key was removed."""

    DELETED = auto()
    """By a command: DEL, GETDEL, RENAME (the old name), EXPIRE with a time in the past."""

    EXPIRED = auto()
    """Its time to live was over. Found on access, or by the active expire cycle."""


class KeyspaceObserver(Protocol):
    """Is called after each change (``before_clear`` before it), under the lock that guards the store."""

    def on_set(self, key: bytes, value: bytes, expires_at: int | None) -> None:
        """A key has got this value. Its time to live is part of the change."""
        ...

    def on_expiry_change(self, key: bytes, expires_at: int | None) -> None:
        """An existing key has got another expiry, or none."""
        ...

    def on_remove(self, key: bytes, cause: Removal) -> None:
        """A key was removed."""
        ...

    def before_clear(self, keys: Collection[bytes]) -> None:
        """All keys are about to be removed (FLUSHALL)."""
        ...
