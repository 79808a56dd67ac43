"""RANDOMKEY: a random key without an iteration over all keys for each.

A dict has no access by position, so finding a random key takes O(n) time. In a large keyspace one iteration therefore
chooses `POOL_SIZE` random keys, and each call takes one of them. A key that was created since the pool was filled is
not returned before the pool is filled again. In a small keyspace every key has the same probability at every call.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from itertools import islice

MAX_WALK = 16 * 1024
"""The number of keys up to which each call iterates over them. It takes at most 0.1 ms."""

POOL_SIZE = 4096


class RandomKeys:
    """The random keys that were chosen and not returned yet. Guarded as the store is."""

    def __init__(self) -> None:
        self._pool: list[bytes] = []

    def pick(self, keys: Collection[bytes]) -> bytes:
        """Return one of the keys, which are at least one."""
        if len(keys) <= MAX_WALK:
            self._pool.clear()
            return next(islice(keys, random.randrange(len(keys)), None))
        while True:
            while self._pool:
                key = self._pool.pop()
                if key in keys:
                    return key
            self._pool = list(_sample(keys))
            random.shuffle(self._pool)


def _sample(keys: Collection[bytes]) -> Iterator[bytes]:
    """Choose keys in one iteration, without a copy of them."""
    rest = iter(keys)
    before = -1
    for place in sorted(random.sample(range(len(keys)), POOL_SIZE)):
        yield next(islice(rest, place - before - 1, None))
        before = place
