"""The store: keys and values, both bytes, in memory.

    session -> engine (takes the lock) -> command -> store

The store knows no lock, no time and no wire. It is a plain data structure, and whoever calls it holds the engine's
lock. That is the whole of its concurrency rule, and what makes a command, and a transaction of commands, one step.

Keys stand in the order in which they came to be: overwriting keeps a key's place, deleting gives it up. That order is
what COMPACT prints.
"""

from __future__ import annotations


class Store:
    """Map keys to values. Not thread-safe by itself: the engine that owns it serialises every call."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: bytes) -> bool:
        return key in self._values

    def get(self, key: bytes) -> bytes | None:
        """Return the key's value, or None where there is no such key."""
        return self._values.get(key)

    def set(self, key: bytes, value: bytes) -> None:
        """Give the key this value, whatever it had before."""
        self._values[key] = value

    def delete(self, key: bytes) -> bool:
        """Remove the key; tell whether it was there."""
        return self._values.pop(key, None) is not None

    def clear(self) -> None:
        """Remove every key."""
        self._values = {}

    def items(self) -> list[tuple[bytes, bytes]]:
        """Copy out every key with its value, oldest key first, as they are at this moment."""
        return list(self._values.items())

    def check(self) -> None:
        """Verify what must always hold; raise AssertionError where it does not. For tests and debugging."""
        for key, value in self._values.items():
            if type(key) is not bytes or type(value) is not bytes:
                raise AssertionError(f"keys and values are bytes, but {key!r} has {value!r}")
