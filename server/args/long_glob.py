"""Glob patterns that are too long to be compiled to a regular expression.

A pattern of n tokens matches only keys of at least n bytes. So its tokens are read only as far as the longest key needs
them, and most keys are decided by their lengths. A longer key is searched by the algorithm Shift-And: one integer has a
bit for each token of a part between two stars, and each byte of the key costs a few operations on it. So a match takes
the product of the lengths of key and pattern, divided by the bits of a machine word, and other threads can run
meanwhile.
"""

from __future__ import annotations

from server.args.glob_tokens import sets


class LongPattern:
    """A pattern that is read as far as it is needed. One thread at a time uses it."""

    def __init__(self, pattern: bytes) -> None:
        self._unread = sets(pattern)
        self._is_complete = False
        self._size = 0  # bytes that a key must have to match the tokens that were read
        self._parts = [_Part()]  # between the stars that were read

    def matches(self, key: bytes) -> bool:
        """Return whether the whole key matches."""
        if not self._fits(len(key)):
            return False
        first, *others = self._parts
        if not others:
            return self._size == len(key) and first.matches_at(key, 0)
        *middle, last = others
        end = len(key) - len(last)
        if not (first.matches_at(key, 0) and last.matches_at(key, end)):
            return False
        at = len(first)
        for part in middle:
            found = part.find(key, at, end)
            if found is None:
                return False
            at = found + len(part)
        return True

    def _fits(self, size: int) -> bool:
        """Read tokens until they need more bytes than this. Return whether all of the pattern needs no more."""
        while not self._is_complete and self._size <= size:
            match next(self._unread, "end"):
                case "end":
                    self._is_complete = True
                case None:
                    self._parts.append(_Part())
                case int() as accepted:
                    self._parts[-1].append(accepted)
                    self._size += 1
        return self._size <= size


class _Part:
    """The tokens between two stars. They match a fixed number of bytes."""

    def __init__(self) -> None:
        self._sets: list[int] = []
        self._masks: dict[int, int] = {}  # by byte: the tokens that match it, the first one at bit 0

    def __len__(self) -> int:
        return len(self._sets)

    def append(self, accepted: int) -> None:
        self._sets.append(accepted)

    def matches_at(self, key: bytes, at: int) -> bool:
        """Return whether the bytes from a position on match. There are enough of them."""
        return all(accepted >> byte & 1 for accepted, byte in zip(self._sets, key[at:], strict=False))

    def find(self, key: bytes, start: int, end: int) -> int | None:
        """Return the first position from ``start`` on at which it matches, ending before ``end``, or None."""
        state = 0
        last = 1 << (len(self) - 1)
        for at in range(start, end):
            state = (state << 1 | 1) & self._mask(key[at])
            if state & last:
                return at + 1 - len(self)
        return None

    def _mask(self, byte: int) -> int:
        if byte not in self._masks:
            digits = bytes(48 + (accepted >> byte & 1) for accepted in reversed(self._sets))
            self._masks[byte] = int(digits, 2)
        return self._masks[byte]
