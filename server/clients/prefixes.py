"""Prefixes of keys, and which clients are sent the changed keys that begin with them (CLIENT TRACKING BCAST)."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Generic, TypeVar

from common.errors import CommandError, prefix_overlaps_existing, prefix_overlaps_provided

T = TypeVar("T")


class PrefixTable(Generic[T]):
    """Maps prefixes to what registered for them. Not thread-safe."""

    def __init__(self) -> None:
        self._by_prefix: dict[bytes, dict[T, None]] = {}
        self._lengths: Counter[int] = Counter()  # how many prefixes have each length

    def __len__(self) -> int:
        return len(self._by_prefix)

    def add(self, prefix: bytes, item: T) -> None:
        """Register an item for a prefix."""
        if prefix not in self._by_prefix:
            self._by_prefix[prefix] = {}
            self._lengths[len(prefix)] += 1
        self._by_prefix[prefix][item] = None

    def remove(self, prefix: bytes, item: T) -> None:
        """End the registration of an item for a prefix."""
        items = self._by_prefix[prefix]
        del items[item]
        if not items:
            del self._by_prefix[prefix]
            self._lengths[len(prefix)] -= 1
            if not self._lengths[len(prefix)]:
                del self._lengths[len(prefix)]

    def items(self, prefix: bytes) -> Collection[T]:
        """Return the items of a prefix."""
        return self._by_prefix[prefix].keys()

    def __contains__(self, prefix: bytes) -> bool:
        return prefix in self._by_prefix

    def matching(self, key: bytes) -> Iterator[bytes]:
        """Yield the prefixes with which a key begins. Takes a look-up for each length that prefixes have."""
        for length in self._lengths:
            if length <= len(key) and (prefix := key[:length]) in self._by_prefix:
                yield prefix


def check_collisions(prefixes: Sequence[bytes], existing: Collection[bytes]) -> None:
    """Raise `CommandError` if one of a client's prefixes begins with another one, as Redis does.

    ``existing`` are those that the client has, which do not overlap. Takes O(n log n) time.
    """
    overlapping = _overlapping(prefixes)
    ordered = sorted(existing)
    for place, prefix in enumerate(prefixes):
        if (other := _overlap(prefix, ordered)) is not None:
            raise CommandError(prefix_overlaps_existing(prefix, other))
        if place in overlapping:
            other = next(each for each in prefixes[place + 1 :] if overlap(prefix, each))
            raise CommandError(prefix_overlaps_provided(prefix, other))


def overlap(one: bytes, other: bytes) -> bool:
    """Return whether one of two prefixes begins with the other one."""
    return one.startswith(other) or other.startswith(one)


def _overlap(prefix: bytes, ordered: Sequence[bytes]) -> bytes | None:
    """Return the first of some sorted prefixes with which a prefix overlaps."""
    # Between a prefix and a longer one that begins with it there are only such that begin with it too. So the
    # neighbours are enough, and the empty prefix, which may be registered besides others, as in Redis.
    place = bisect_left(ordered, prefix)
    for other in (*ordered[:1], *ordered[max(0, place - 1) : place + 1]):
        if overlap(prefix, other):
            return other
    return None


def _overlapping(prefixes: Sequence[bytes]) -> set[int]:
    """Return the places of the prefixes that overlap with another one."""
    found: set[int] = set()
    chain: list[int] = []  # each begins with the one before it
    for place in sorted(range(len(prefixes)), key=prefixes.__getitem__):
        while chain and not prefixes[place].startswith(prefixes[chain[-1]]):
            chain.pop()
        if chain:
            found |= {chain[-1], place}
        chain.append(place)
    return found
