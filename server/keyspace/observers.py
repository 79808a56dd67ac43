"""What can be observed on the store's mutation path: every change of the keyspace, with its cause.

Watches, the memory limit and the durable log (`server.engines.log`) are observers.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Protocol, TypeAlias

from server.keyspace.contents import ClearedContents


class Removal(Enum):
    """Why a key was removed."""

    DELETED = auto()
    """By a command: DEL, GETDEL, RENAME (the old name), EXPIRE with a time in the past."""

    EXPIRED = auto()
    """Its time to live was over. Found on access, or by the active expire cycle."""

    EVICTED = auto()
    """The memory limit was reached."""


Entry: TypeAlias = tuple[bytes, int | None]
"""A value, and when it expires."""


class KeyspaceObserver(Protocol):
    """Is called after each change, under the lock that guards the store.

    ``before`` is the state that was replaced, with which an observer can undo the change or compute a difference.
    """

    def on_set(self, key: bytes, value: bytes, expires_at: int | None, before: Entry | None) -> None:
        """A key has got this value. Its time to live is part of the change. Before, it may have been missing."""
        ...

    def on_set_many(self, keys: Sequence[bytes], values: Sequence[bytes], before: Sequence[bytes | None]) -> None:
        """Several keys have got these values, and no expiry. They had none before, and these values, None if missing.

        It takes the place of `on_set` for each of them, in this order. A key may be among them more than once.
        """
        ...

    def on_write_range(self, key: bytes, offset: int, part: bytes, before: bytes | None) -> None:
        """A part of a value was overwritten (APPEND, SETRANGE), and its expiry kept."""
        ...

    def on_expiry_change(self, key: bytes, expires_at: int | None, before: int | None) -> None:
        """An existing key has got another expiry, or none."""
        ...

    def on_remove(self, key: bytes, cause: Removal, before: Entry) -> None:
        """A key was removed. An expired one may have no expiry in ``before``."""
        ...

    def on_clear(self, cleared: ClearedContents) -> None:
        """All keys were removed (FLUSHALL)."""
        ...
