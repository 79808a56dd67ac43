"""The scripts that EVALSHA finds, by the SHA-1 of their text."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from common.limits import MIB
from server.scripts.header import Header

MAX_SCRIPTS = 10_000
"""Scripts that are kept. Redis 7.0 keeps all. Each takes some kilobytes of Lua's memory."""

MAX_SCRIPTS_SIZE = 32 * MIB
"""Bytes of the texts of these scripts."""

DIGEST_LENGTH = 40
"""Bytes of the SHA-1 of a script, in hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class Script:
    """A compiled script."""

    digest: bytes
    header: Header
    function: Any
    size: int


class ScriptCache:
    """The most recently used scripts. Its caller has the keyspace lock."""

    def __init__(self) -> None:
        self._scripts: OrderedDict[bytes, Script] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._scripts)

    @property
    def size(self) -> int:
        """The bytes of their texts."""
        return self._size

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._scripts

    def get(self, digest: bytes) -> Script | None:
        """Return a script, which counts as a use, or None."""
        script = self._scripts.get(digest)
        if script is not None:
            self._scripts.move_to_end(digest)
        return script

    def add(self, script: Script) -> None:
        """Add a script. Evict those that were not used for the longest time if there are too many."""
        self._scripts[script.digest] = script
        self._size += script.size
        while len(self._scripts) > MAX_SCRIPTS or (self._size > MAX_SCRIPTS_SIZE and len(self._scripts) > 1):
            self._evict()

    def evict_half(self) -> None:
        """Evict half of the scripts, those that were not used for the longest time."""
        for _ in range(len(self._scripts) // 2):
            self._evict()

    def _evict(self) -> None:
        _, evicted = self._scripts.popitem(last=False)
        self._size -= evicted.size

    def clear(self) -> None:
        """Remove all scripts."""
        self._scripts.clear()
        self._size = 0


def digest_of(text: bytes) -> bytes:
    """Return the SHA-1 of a text in lower case, which is the name of a script."""
    return hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
